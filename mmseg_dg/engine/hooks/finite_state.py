"""No checkpoint with NaN is written, none is read."""
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from mmseg_dg.methods.finite import NonFiniteError
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.finite_state import PARTS, nonfinite_summary, refuse_nonfinite


@HOOKS.register_module()
class FiniteStateHook(Hook):
    """Looks at every checkpoint before it is written, and after it is read; the loops of this
    package install it.

    Raises:
        NonFiniteError: The state that should be saved is not finite; the file is not written.
        ValueError: A file that is resumed, tested or trained on is not finite.
    """

    priority = 'VERY_LOW'  # after hooks that change what is saved

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to write NaN or infinite weights, averages or optimizer states (``PARTS``)."""
        # names and counts of NaN and infinite values as a text; empty where there are none
        wrong = nonfinite_summary({key: checkpoint[key] for key in PARTS if key in checkpoint})
        if wrong:
            raise NonFiniteError(f'the checkpoint of iteration {runner.iter} is not written: NaN '
                                 f'or infinite values in {wrong}. Earlier checkpoints in '
                                 f'{runner.work_dir} are as they were')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a file with NaN or infinite values."""
        refuse_nonfinite(checkpoint, loaded_file(runner))


def loaded_file(runner: Any) -> str:
    """The checkpoint a runner is loading, for messages: the one it was told, or the newest of its
    work dir.
    """
    source = runner._load_from  # mmengine's: the argument load_from, None without one
    return str(source or find_latest_checkpoint(runner.work_dir) or 'the checkpoint')


def install_finite_state(runner: Any) -> None:
    """Register :class:`FiniteStateHook`, unless the runner has one: several loops ask for it."""
    if not any(isinstance(hook, FiniteStateHook) for hook in runner.hooks):
        runner.register_hook(FiniteStateHook())
