"""What a forward pass of training gives: losses, which are differentiated, and logs."""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from torch import Tensor


@dataclass(frozen=True)
class PassResult:
    """Losses and logs by name, apart: what is back-propagated does not depend on how it is called.

    Attributes:
        losses: Their sum is back-propagated; any shape with one element, with or without a graph.
        logs: Numbers that are only logged (accuracies, shares); they may be NaN.

    Raises:
        ValueError: A name is in both.
    """
    losses: dict[str, Tensor] = field(default_factory=dict)
    logs: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        both = sorted(self.losses.keys() & self.logs.keys())
        if both:
            raise ValueError(f'{both} are losses and logs: give each a name of its own')

    @classmethod
    def from_mmseg(cls, values: Mapping[str, Tensor]) -> 'PassResult':
        """Values as MMSegmentation's heads and losses name them: a loss has ``loss`` in its name.

        The one place where a name decides what is differentiated, because mmengine's
        ``parse_losses`` reads configs (``loss_decode.loss_name``) in the same way.
        """
        losses = {name: value for name, value in values.items() if 'loss' in name}
        return cls(losses, {name: value for name, value in values.items() if name not in losses})

    def named(self) -> dict[str, Tensor]:
        """All values by name, losses first."""
        return {**self.losses, **self.logs}

    def total(self) -> Optional[Tensor]:
        """Sum of the losses, in their order, 0-d; None without any."""
        losses = list(self.losses.values())
        return sum(losses[1:], losses[0]) if losses else None

    def prefixed(self, prefix: str) -> 'PassResult':
        """The same under log names of a pass: ``source.decode.loss_ce`` and so on."""
        return PassResult({f'{prefix}.{name}': value
                           for name, value in self.losses.items()},
                          {f'{prefix}.{name}': value
                           for name, value in self.logs.items()})

    def weighted(self, weight: float) -> 'PassResult':
        """Losses times ``weight``, logs as they are."""
        return PassResult({name: value * weight for name, value in self.losses.items()}, self.logs)

    def joined(self, *others: 'PassResult') -> 'PassResult':
        """This result and others, in this order, as one.

        Raises:
            ValueError: A name is used twice.
        """
        losses, logs = dict(self.losses), dict(self.logs)
        for other in others:
            # losses with losses, logs with logs
            for joined, added in ((losses, other.losses), (logs, other.logs)):
                twice = sorted(joined.keys() & added.keys())
                if twice:
                    raise ValueError(f'{twice} are computed twice in one pass: give each a name of '
                                     'its own')
                joined.update(added)
        return PassResult(losses, logs)
