"""What hooks ask of a training loop: which iteration is about to be judged or saved."""
from abc import abstractmethod
from typing import Any

from mmengine.runner import BaseLoop


class AnnouncingLoop(BaseLoop):
    """Base of training loops that say when an iteration is judged or saved, and call
    ``after_iteration`` when both is done.

    Hooks that meet another loop do as mmengine's.
    """

    #: Micro-batches per iteration.
    accumulate: int = 1

    @abstractmethod
    def state_is_due(self) -> bool:
        """Whether the iteration that is about to end is validated or saved."""


def state_is_due(loop: Any) -> bool:
    """As :meth:`AnnouncingLoop.state_is_due`; never of another loop."""
    return isinstance(loop, AnnouncingLoop) and loop.state_is_due()
