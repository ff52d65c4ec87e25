"""Hooks that can refuse a run before iteration 0."""
from typing import Any

from mmengine.hooks import Hook


class CheckingHook(Hook):
    """Base of hooks that have no use in some runs; the report before iteration 0 has what they say
    against one.
    """
    def check_run(self, runner: Any) -> Any:
        """Look at model and arguments.

        Raises:
            ValueError: The run needs another hook, or other arguments of this one.
        """
