"""What ``tools/train.py`` and ``tools/test.py`` share: options, the final config, processes, the
runner.

Both also run as ``.mim/tools/*.py``. ``mim train`` looks for the characters ``--gpus`` in the help
text and then passes ``--gpus N``, or ``--device cpu`` for ``--gpus 0``;
``torch.distributed.launch``, which mim uses, passes ``--local-rank``.
"""
import argparse
import ast
import copy
import difflib
import inspect
import logging
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.dist import barrier
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmseg_dg.apis import config_rows
from mmseg_dg.registry import RUNNERS
from mmseg_dg.utils.loaders import loaders_by_name
from mmseg_dg.utils.run_lock import hold
from mmseg_dg.utils.run_names import name_run
from mmseg_dg.utils.stop_signals import STOPPED
from mmseg_dg.utils.work_dir import holds_checkpoints, refuse_to_mix
from mmseg_dg.weights.files import missing_weights

ConfigLike = Union[str, Path, Config]
DISTRIBUTED_WRAPPER = 'MethodDistributedWrapper'


class ConfigOptions(DictAction):
    """``KEY=VALUE`` pairs; unlike mmengine's action it also takes Python literals such as
    ``"[{'type': 'A'}]"``.
    """
    @staticmethod
    def _parse_iterable(val: str):
        if val.strip()[:1] in ('[', '(', '{'):
            try:
                return ast.literal_eval(val.strip())
            except (ValueError, SyntaxError):
                pass  # words without quotes, as in [a,b]: mmengine's own reading
        return DictAction._parse_iterable(val)

    def __call__(self, parser, namespace, values, option_string=None):
        for pair in values or ():
            if '=' not in pair:
                parser.error(f'{option_string}: {pair!r} is not of the form key=value')
            # mmengine would store the text, or recurse without end
            if re.search(r'[=\[(,\s]dict\(', pair):
                parser.error(f'{option_string}: write dicts as Python literals, '
                             'e.g. key="[{\'type\': \'A\', \'x\': 1}]", not as dict(type=...)')
        super().__call__(parser, namespace, values, option_string)


def add_common_args(parser: argparse.ArgumentParser) -> None:
    """Options of both tools."""
    parser.add_argument(
        '--work-dir', help='where logs and checkpoints go (default: '
        'work_dirs/<config>[_<row>][_<subset>])')
    add_row_args(parser)
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='override settings of the config, e.g. train_cfg.max_iters=100')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how several processes were started')
    parser.add_argument(
        '--gpus', type=int, default=None,
        help='for "mim train": 0 means CPU; several processes need --launcher '
        'pytorch')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default=None, help='"cpu" hides the '
                        'GPUs')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_row_args(parser: argparse.ArgumentParser) -> None:
    """``--row`` and ``--subset``: which variant of the config is meant."""
    parser.add_argument(
        '--row', metavar='NAME', help='variant of the config, from the '
        'ablations.yml beside it (tools/rows.py '
        'CONFIG lists them)')
    parser.add_argument('--subset', metavar='NAME', help='labeled subset: the lists in '
                        '<data_root>/splits/NAME')


def finish_args(args: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Check what argparse cannot and set the environment variables that follow from the options."""
    if args.launcher == 'none' and (args.gpus or 0) > 1:
        parser.error('--gpus > 1 needs --launcher pytorch (or slurm); or use tools/dist_train.sh')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch sees no GPU (torch.cuda.is_available() is False)')
    if (args.device == 'cpu' or args.gpus == 0) and torch.cuda.is_available():
        # the tools hide the GPUs before mmengine looks for them, which it does once, when it is
        # imported
        parser.error('a GPU is still visible; set CUDA_VISIBLE_DEVICES=-1 to run on the CPU')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def _dotted_keys(node, prefix: str = '') -> Iterator[str]:
    """Every key of a nested config, ``a.b.0.c``; list positions are numbers."""
    items = node.items() if isinstance(
        node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        yield f'{prefix}{key}'
        yield from _dotted_keys(value, f'{prefix}{key}.')


def warn_unknown_options(cfg: Config, options: dict) -> list:
    """Warn about overrides of keys that the config does not have: usually a typing error, which
    mmengine accepts.

    Keys that ``Runner`` knows but a config may leave out (``load_from``, ``randomness.seed``, ...)
    are fine.

    Returns:
        The unknown keys.
    """
    known = set(_dotted_keys(cfg._cfg_dict.to_dict()))
    known |= set(inspect.signature(
        Runner.__init__).parameters) | {'runner_type', 'model_wrapper_cfg', 'compile'}
    known |= {f'randomness.{name}' for name in inspect.signature(Runner.set_randomness).parameters}
    if any(key.startswith('train_cfg.') for key in options):
        # here, because the tools that train nothing need no loops
        from mmseg_dg.engine.loops import MultiStreamTrainLoop
        known |= {
            f'train_cfg.{name}'
            for name in inspect.signature(MultiStreamTrainLoop.__init__).parameters
        }
    unknown = [key for key in options if key not in known and not key.endswith('_delete_')]
    for key in unknown:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        print_log(
            f'--cfg-options: the config has no key "{key}"; it is added. Did you mean '
            f'"{close[0]}"?', logger='current', level=logging.WARNING)
    return unknown


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply ``--row``, ``--subset``, ``--cfg-options``, ``--launcher`` and
    ``--work-dir``.
    """
    cfg = config_rows.load_config(args.config, getattr(args, 'row', None),
                                  getattr(args, 'subset', None))
    if args.cfg_options is not None:
        warn_unknown_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / config_rows.name_of(cfg))
    return cfg


def add_run_args(parser: argparse.ArgumentParser) -> None:
    """Options of training: what becomes of a run that the work dir already holds."""
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='FILE',
        help='go on from the newest readable checkpoint of the work dir, or from '
        'FILE')
    parser.add_argument(
        '--resume-weights-only', action='store_true',
        help='with --resume: take weights and iteration, begin with a new '
        'optimizer')
    parser.add_argument(
        '--overwrite', action='store_true',
        help='remove the checkpoints of an earlier run in the work dir and begin '
        'again')


def set_resume(cfg: Config, request: Optional[str], weights_only: bool = False,
               overwrite: bool = False) -> None:
    """``--resume`` (newest checkpoint of the work dir) or ``--resume FILE``; without it the config
    decides.

    Where the work dir has no checkpoint yet, a plain ``--resume`` starts the run as configured: so
    a job that is started again and again needs one command only.

    Args:
        cfg: Changed in place.
        request: None, ``'auto'`` or a file.
        weights_only: ``--resume-weights-only``.
        overwrite: ``--overwrite``.

    Raises:
        FileNotFoundError: FILE does not exist.
        ValueError: Options that exclude each other.
    """
    if overwrite and request is not None:
        raise ValueError('--overwrite begins again and --resume goes on: give one of them')
    if weights_only and request is None and not cfg.get('resume'):
        raise ValueError('--resume-weights-only says how to resume: give --resume or --resume '
                         'FILE as well')
    if overwrite:
        cfg.overwrite, cfg.resume = True, False
    if weights_only:
        cfg.resume_weights_only = True
    if request is None:
        return
    if request != 'auto':
        if not Path(request).is_file():
            raise FileNotFoundError(f'--resume: there is no checkpoint {request}')
        cfg.resume, cfg.load_from = True, request
    elif any(holds_checkpoints(folder) for folder in {cfg.work_dir, checkpoint_folder(cfg)}):
        # which one, the runner finds out when all processes are there
        cfg.resume, cfg.load_from = True, None
    else:
        print_log(f'--resume: no checkpoint in {cfg.work_dir} yet; starting from the '
                  'beginning', logger='current')


def checkpoint_folder(cfg: Config) -> str:
    """Where the run of a config keeps its checkpoints: the work dir, unless its hook has an
    ``out_dir``.
    """
    out_dir = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('out_dir')
    return cfg.work_dir if out_dir is None else os.path.join(out_dir, Path(cfg.work_dir).name)


def check_weights(cfg: Config) -> None:
    """Refuse a training whose files of weights are not there, before its model is built.

    Raises:
        FileNotFoundError: The files, each with what to do about it.
    """
    found = list(dict.fromkeys(str(error) for _, error in missing_weights(cfg)))
    if found:
        raise FileNotFoundError('\n'.join(found))


def claim_work_dir(cfg: Config) -> None:
    """Lock the work dir and refuse to mix runs, before anything is written there; in process 0.

    Raises:
        BlockingIOError: Another run works in it.
        FileExistsError: It holds checkpoints of a run, and neither resume nor overwrite was asked
            for.
    """
    if cfg.launcher != 'none' and process_number():
        return
    hold(cfg.work_dir)
    if not cfg.get('resume') and not cfg.get('overwrite'):
        refuse_to_mix(checkpoint_folder(cfg))


def command_to_continue(words: Sequence[str], cfg: Config) -> str:
    """The command line that goes on with a run, from the one that started it.

    Args:
        words: ``sys.argv`` of tools/train.py.
        cfg: The run's config; its launcher decides what starts the processes.
    """
    kept, skip = [], False
    options = list(words[1:])
    for place, word in enumerate(options):
        if skip:
            skip = False
        # its FILE, if any, is the next word that is no option (and not the config)
        elif word == '--resume':
            following = options[place + 1] if place + 1 < len(options) else '-'
            skip = (not following.startswith('-') and following != cfg.filename
                    and Path(following).is_file() and not following.endswith('.py'))
        elif word not in ('--overwrite', '--resume-weights-only') and not word.startswith(
            ('--resume=', '--launcher=', '--local-rank', '--local_rank')):
            skip = word == '--launcher'
            kept += [] if skip else [word]
    config = next((i for i, word in enumerate(kept) if word.endswith('.py')), 0)
    first = [kept.pop(config)] if kept else []
    rest = ['--resume', *kept] if kept and kept[-1:] != ['--cfg-options'] else [*kept, '--resume']
    tools = Path(words[0]).parent
    if cfg.launcher == 'pytorch':
        start = [
            'bash',
            str(tools / 'dist_train.sh'), *first,
            os.environ.get('LOCAL_WORLD_SIZE', '1')
        ]
    elif cfg.launcher == 'slurm':
        start = [
            'bash',
            str(tools / 'slurm_train.sh'),
            os.environ.get('SLURM_JOB_PARTITION', 'PARTITION'),
            os.environ.get('SLURM_JOB_NAME', 'JOB'), *first
        ]
    else:
        start = ['python', words[0], *first]
        rest += ['--launcher', cfg.launcher] if cfg.launcher not in ('none', None) else []
    return shlex.join([*start, *rest])


def say_how_to_continue(cfg: Config, reason: str, words: Sequence[str]) -> int:
    """Log, as the last line, the command that goes on with a stopped run; returns the exit status
    for it.
    """
    if not process_number():
        print_log(f'stopped by {reason}, nothing is lost (exit status {STOPPED})', logger='current')
        print_log(f'continue with: {command_to_continue(words, cfg)}', logger='current')
        if os.environ.get('MMSEG_DG_STATUS_FILE'):
            Path(os.environ['MMSEG_DG_STATUS_FILE']).write_text(str(STOPPED), encoding='utf-8')
    return STOPPED


def process_number() -> int:
    """Number of this process in the run, from what launchers set: known before the processes have
    met.
    """
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return int(next((os.environ[name] for name in names if os.environ.get(name)), 0))


def enable_amp(cfg: Config) -> None:
    """``--amp``: float16 with loss scaling on a GPU, bfloat16 without scaling on the CPU.

    Raises:
        ValueError: The config's optimizer wrapper is neither ``OptimWrapper`` nor one with mixed
            precision.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    kind = kind if isinstance(kind, str) else kind.__name__
    if kind in ('AmpOptimWrapper', 'BF16OptimWrapper'):
        print_log(f'--amp: the config already has {kind}', logger='current', level=logging.WARNING)
    elif kind != 'OptimWrapper':
        raise ValueError(f'--amp needs optim_wrapper.type "OptimWrapper" in {cfg.filename}, not '
                         f'"{kind}"')
    elif torch.cuda.is_available():
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    else:
        wrapper.type = 'BF16OptimWrapper'


def enable_lr_scaling(cfg: Config) -> None:
    """``--auto-scale-lr``: the runner multiplies every rate by processes x batch /
    ``auto_scale_lr.base_batch_size``.

    The batch is that of the method's first stream (source, labeled), whose size the papers name,
    times ``accumulate``.

    Raises:
        ValueError: The config has no ``base_batch_size``.
    """
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise ValueError(f'--auto-scale-lr needs auto_scale_lr.base_batch_size in {cfg.filename}: '
                         'the number of samples per step its learning rate was made for')
    cfg.auto_scale_lr.enable = True


def replace_type(node: Union[dict, list, tuple], old: str, new: str):
    """The same config with every ``type=old`` written ``type=new``; dicts are changed in place."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = replace_type(value, old, new)
        if node.get('type') == old:
            node['type'] = new
    elif isinstance(node, (list, tuple)):
        node = type(node)(replace_type(item, old, new) for item in node)
    return node


def use_plain_batch_norm(cfg: Config) -> None:
    """SyncBatchNorm runs on GPUs only: make it BatchNorm in the model and in ``sync_bn``, and say
    so.
    """
    asked = [f'sync_bn={cfg.sync_bn!r}'] if cfg.get('sync_bn') else []
    asked += [
        f'norm_cfg type {kind}' for kind in ('SyncBN', 'MMSyncBN') if _has_type(cfg.model, kind)
    ]
    if not asked:
        return
    for kind in ('SyncBN', 'MMSyncBN'):
        cfg.model = replace_type(cfg.model, kind, 'BN')
    cfg.sync_bn = None
    print_log(
        f'{" and ".join(asked)}: without a GPU this becomes plain BatchNorm, whose statistics are '
        "those of each process's own batch; a larger batch_size per process makes up for "
        'it', logger='current', level=logging.WARNING)


def _has_type(node, kind: str) -> bool:
    if isinstance(node, dict):
        return node.get('type') == kind or any(_has_type(value, kind) for value in node.values())
    return isinstance(node, (list, tuple)) and any(_has_type(item, kind) for item in node)


def prepare_processes(cfg: Config) -> None:
    """Set what a run of several processes needs; on the CPU also start the process group (gloo).

    mmengine's launcher always calls ``torch.cuda.set_device``, so it cannot start CPU processes; a
    runner that finds a process group does not make one. Methods run several backward passes per
    step, which torch's own wrapper does not
    know: see :mod:`mmseg_dg.engine.distributed`.

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


def _set_pipeline(dataset: ConfigDict, pipeline) -> None:
    """Give the innermost dataset(s) another pipeline, inside ``RepeatDataset``, ``ConcatDataset``
    and the like.
    """
    inner = dataset.get('datasets') or ([dataset.dataset] if 'dataset' in dataset else [])
    for item in inner:
        _set_pipeline(item, pipeline)
    if not inner:
        dataset.pipeline = pipeline


def enable_tta(cfg: Config) -> None:
    """``--tta``: test every image at several scales and flips, as ``tta_pipeline`` of the config
    says.

    Raises:
        ValueError: The config has no ``tta_pipeline``.
    """
    if 'tta_pipeline' not in cfg:
        raise ValueError(
            f'--tta: {cfg.filename} has no tta_pipeline. Add one whose last step is '
            "dict(type='TestTimeAug', transforms=[...]), as in configs/_base_ of mmsegmentation")
    for loader in loaders_by_name(cfg.test_dataloader).values():
        _set_pipeline(loader.dataset, cfg.tta_pipeline)
    wrapper = cfg.get('tta_model') or ConfigDict(type='SegTTAModel')
    wrapper.module = cfg.model
    cfg.model = wrapper


#: Metrics without ``output_dir``.
_SAVE_NOTHING = {'LabelFreeMetric', 'CalibrationMetric'}


def save_predictions(cfg: Config, folder: str) -> None:
    """``--out``: predicted label maps as PNG; the multi-domain loop makes one folder per domain in
    it.

    Raises:
        ValueError: There is no evaluator to write them.
    """
    def visit(node) -> int:
        if isinstance(node, (list, tuple)):
            return sum(visit(item) for item in node)
        # domains by name, or mmengine's wrapper around metrics
        if node.get('type', 'Evaluator') == 'Evaluator':
            return sum(visit(item) for key, item in node.items() if key != 'type')
        if str(node.type).split('.')[-1] in _SAVE_NOTHING:
            return 0
        node.output_dir = folder
        return 1

    def with_saver(node):
        """A domain without a metric that saves gets one that does nothing else."""
        if isinstance(node, dict) and not {'type', 'metrics'} & set(node):
            return ConfigDict({name: with_saver(item) for name, item in node.items()})
        metrics = node if isinstance(node,
                                     (list,
                                      tuple)) else node['metrics'] if 'metrics' in node else [node]
        metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        names = {str(metric['type']).split('.')[-1] for metric in metrics}
        if not names <= _SAVE_NOTHING:
            return node
        return [*metrics, ConfigDict(type='ConfusionMatrixMetric', format_only=True)]

    if cfg.get('test_evaluator'):
        cfg.test_evaluator = with_saver(cfg.test_evaluator)

    if not visit(cfg.get('test_evaluator') or {}):
        raise ValueError(f'--out: {cfg.filename} has no metric in test_evaluator that could save '
                         'predictions')


def show_predictions(cfg: Config, folder: str) -> None:
    """``--show-dir``: every image painted with prediction and label, named by its path below the
    image folder.
    """
    hook = cfg.setdefault('default_hooks',
                          ConfigDict()).setdefault('visualization',
                                                   ConfigDict(type='SegVisualizationHook'))
    hook.draw, hook.interval = True, 1
    visualizer = cfg.setdefault('visualizer',
                                ConfigDict(type='SegmentationVisualizer', name='visualizer'))
    if str(visualizer.get('type')).split('.')[-1] == 'SegLocalVisualizer':
        # the same, with names that tell equal file names apart
        visualizer.type = 'SegmentationVisualizer'
    visualizer.setdefault('vis_backends', [dict(type='LocalVisBackend')])
    visualizer.save_dir = folder


def build_runner(config: ConfigLike, work_dir: Optional[str] = None,
                 options: Optional[dict[str, Any]] = None) -> Runner:
    """The runner a config describes; several in one process do not disturb each other.

    Args:
        config: File, name of one of the package's configs, or :class:`mmengine.config.Config`; a
            row of a config is ``mmseg_dg.apis.load_config(config, row=...)``.
        work_dir: Where logs and checkpoints go; None keeps the config's, or
            ``work_dirs/<config>[_<row>][_<subset>]``.
        options: Dotted settings to override, as ``--cfg-options`` does, e.g.
            ``{'train_cfg.max_iters': 100}``.
    """
    cfg = config_of_run(config, work_dir, options)
    name_run(cfg)
    return RUNNERS.build(cfg) if cfg.get('runner_type') else Runner.from_cfg(cfg)


def config_of_run(config: ConfigLike, work_dir: Optional[str] = None,
                  options: Optional[dict[str, Any]] = None) -> Config:
    """The config that :func:`build_runner` builds, with its work dir; the arguments are the same.
    """
    cfg = read_config(config)
    if options:
        cfg.merge_from_dict(options)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / config_rows.name_of(cfg))
    return cfg


def read_config(config: ConfigLike) -> Config:
    """A config of one's own, from a file or from another config."""
    # a deep copy: the runner writes into parts of what it is given, the visualizer's folder for one
    return copy.deepcopy(config) if isinstance(config, Config) else config_rows.load_config(config)


def leave_together() -> None:
    """Wait until all processes of a stopped run are here: launchers kill the rest when one leaves
    with a status.
    """
    barrier()


def close_processes() -> None:
    """Leave the process group, so that the processes end without a warning."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
