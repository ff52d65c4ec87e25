"""Several processes: their number, what they need, and how they end."""
import os

import torch
from mmengine.config import Config
from mmengine.dist import barrier

from .changes import use_plain_batch_norm

DISTRIBUTED_WRAPPER = 'MethodDistributedWrapper'


def process_number() -> int:
    """Number of this process in the run, 0 for the first or only one.

    It is read from the environment, where launchers (torchrun, Slurm, MPI) set it, since mmengine's
    ``get_rank`` is 0 everywhere until the process group is there.
    """
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return int(next((os.environ[name] for name in names if os.environ.get(name)), 0))


def prepare_processes(cfg: Config) -> None:
    """Set what a run of several processes needs; on the CPU also start the process group (gloo).

    mmengine's launcher always calls ``torch.cuda.set_device``, so it cannot start CPU processes; a
    runner that finds a process group does not make one. Methods run several backward passes per
    step, which torch's own wrapper does not know: see :mod:`mmseg_dg.engine.distributed`.

    Args:
        cfg: Changed in place; ``launcher='none'``, a run of one process, leaves it alone.

    Raises:
        ValueError: A launcher other than ``pytorch`` without a GPU.
    """
    if cfg.launcher == 'none':
        return
    if cfg.get('model_wrapper_cfg') is None:
        import mmseg_dg.engine.distributed  # noqa: F401  registers the wrapper in mmengine's root registry
        cfg.model_wrapper_cfg = dict(type=DISTRIBUTED_WRAPPER)
    if torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(f'--launcher {cfg.launcher} needs GPUs; on CPUs use --launcher pytorch '
                         '(tools/dist_train.sh)')
    if str(cfg.model_wrapper_cfg.type).endswith('DistributedDataParallel'):
        # the runner passes device_ids, which torch refuses for CPU parameters
        cfg.model_wrapper_cfg.device_ids = None
    use_plain_batch_norm(cfg)
    cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})['backend'] = 'gloo'
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')


def leave_together() -> None:
    """Wait until all processes of a stopped run are here: launchers kill the others as soon as one
    leaves with a status other than 0, perhaps while they still write.
    """
    barrier()


def close_processes() -> None:
    """Leave the process group, so that the processes end without a warning."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
