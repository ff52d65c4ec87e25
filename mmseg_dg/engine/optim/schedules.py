"""What the loops and hooks ask of a schedule: the closed forms of this package know the answers."""
from typing import Protocol, runtime_checkable


@runtime_checkable
class ClosedForm(Protocol):
    """A schedule whose values are a function of the iteration."""
    def stages(self) -> list[tuple[str, int, int]]:
        """(name, first iteration, first one after it) of each stage."""

    def group_at(self, index: int, iteration: int) -> tuple[float, float]:
        """(learning rate, weight decay) of parameter group ``index`` at a 0-based iteration."""

    def write(self) -> None:
        """Give the optimizer the values of the present iteration."""


@runtime_checkable
class TakesWarmup(Protocol):
    """A schedule with a stage for the decoder's warm-up."""
    def bind_warmup(self, warmup_iters: int) -> None:
        """Take over the length of the warm-up; ``DecoderWarmupHook`` calls it."""
