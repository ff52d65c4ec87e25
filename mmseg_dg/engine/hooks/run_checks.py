"""Hooks that can refuse a run before iteration 0."""
from typing import Any

from mmengine.hooks import Hook


class CheckingHook(Hook):
    """Base of hooks that have no use in some runs; the report before iteration 0 has what they say
    against one.
    """
    def check_run(self, runner: Any) -> Any:
        """Look at model and arguments; called while the training loop is built and again before
        iteration 0. The checks do not use what it returns.

        Raises:
            ValueError: The run needs another hook, or other arguments of this one.
        """
