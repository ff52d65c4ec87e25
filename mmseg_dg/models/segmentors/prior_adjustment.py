"""The debiased adjustment of mask diffusion: a class prior, and where and how strongly it corrects
logits.

RECONSTRUCTION. Confirmed is only that the paper adjusts the reverse probability of every sampling
step toward unbiased predictions, and that a factor t appears in its derivation. What is built here
are the derivations R1 and R2 of docs/behavior/diffmatch.md#debiased-adjustment.

Shapes: B images, K classes, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Optional, Union

import torch
from torch import Tensor, nn

from mmseg_dg.ops import at_least_float32
from mmseg_dg.ops.diffusion import class_prior, prior_logits

WHERE = ('none', 'loss', 'sampling')
PRIORS = ('labeled', 'ema', 'uniform')


class PriorAdjustment(nn.Module):
    """Adds ``a_k(t) = tau w(t) log pi_k`` to logits in the loss, or subtracts it at every sampling
    step.

    ``'loss'`` makes the raw logits those of a world with equally frequent classes (logit-adjusted
    loss), so that sampling needs no change; ``'sampling'`` corrects a network that was trained
    without. With w = 1 and tau = 1 both give the label-shift posterior exactly; with w = t the
    correction fades as the noisy label becomes readable.

    Args:
        num_classes: K.
        where: ``'none'``, ``'loss'`` (default of the reconstruction, when an adjustment is wanted)
            or ``'sampling'``.
        weighting: ``'t'`` or ``'one'``.
        tau: Strength.
        prior: ``'labeled'``: pixel frequencies of the labeled images, counted once by
            ``ClassPriorHook`` and frozen; ``'ema'``: the same as a start, then a moving average
            that mixes in pseudo-labels; ``'uniform'``; or a list of K positive numbers.
        momentum: Of the moving average, in [0, 1].
        floor: Least probability of a class (labeled subsets may lack some).
        on_pseudo_labels: With ``where='loss'``, adjust the losses on pseudo-labels too (the
            default). A teacher trained that way already predicts as if classes were equally
            frequent, so that each round of pseudo-labels shifts a little further to rare classes;
            False compares them with raw logits.

    Attributes:
        prior: (K,) float64 buffer, sum 1; kept in checkpoints even where nothing is adjusted, so
            that a trained network can be tested with ``where='sampling'``.
        counted: (K,) float64 buffer, frequencies of the labeled images; ``prior`` starts as a copy
            of it.
        ready: uint8 buffer, 1 once they have been counted.

    Raises:
        ValueError: Unknown or out-of-range arguments.
    """
    given: Optional[Tensor]
    counted: Tensor
    prior: Tensor
    ready: Tensor

    def __init__(self, num_classes: int, where: str = 'none', weighting: str = 't',
                 tau: float = 1.0, prior: Union[str, Sequence[float]] = 'labeled',
                 momentum: float = 0.999, floor: float = 1e-4,
                 on_pseudo_labels: bool = True) -> None:
        super().__init__()
        if where not in WHERE:
            raise ValueError(f'adjustment.where must be one of {WHERE}, got {where!r}: other '
                             'forms, such as the consistency of CBDM, are absent '
                             '(docs/diffmatch.md, "Not built")')
        if weighting not in ('t', 'one'):
            raise ValueError(f"adjustment.weighting must be 't' or 'one', got {weighting!r}")
        if not 0 <= momentum <= 1:
            raise ValueError(f'adjustment.momentum must lie in [0, 1], got {momentum}')
        if not 0 <= floor <= 1 / num_classes:
            raise ValueError(f'adjustment.floor must lie in [0, 1/{num_classes}], got {floor}')
        self.num_classes, self.where, self.weighting, self.tau = num_classes, where, weighting, tau
        self.kind = prior if isinstance(prior, str) else 'given'
        self.momentum, self.floor, self.on_pseudo_labels = momentum, floor, on_pseudo_labels
        # the prior in use, and the class frequencies of the labels: 1/K until they are counted
        self.register_buffer('prior',
                             torch.full((num_classes, ), 1 / num_classes, dtype=torch.float64))
        self.register_buffer('counted',
                             torch.full((num_classes, ), 1 / num_classes, dtype=torch.float64))
        self.register_buffer('ready', torch.zeros((), dtype=torch.uint8))
        # a prior of the config is not read from checkpoints
        self.register_buffer('given', _given_prior(prior, num_classes), persistent=False)
        # whether ``probabilities`` has read ``ready`` as 1; it is then not read again, because each
        # reading waits for the GPU
        self._seen_ready = False

    @property
    def probabilities(self) -> Tensor:
        """The prior in use, (K,) float64.

        Raises:
            ValueError: It should have been counted, but was not.
        """
        if self.given is not None:
            return self.given
        if not self._seen_ready:
            if not int(self.ready):
                raise ValueError(
                    f'adjustment.prior={self.kind!r} has not been counted: add '
                    "dict(type='ClassPriorHook') to custom_hooks, or give adjustment.prior as a "
                    'list')
            self._seen_ready = True
        return self.prior

    def set_class_counts(self, counts: Tensor) -> None:
        """Set ``counted`` and ``prior`` from pixel counts (K,) of the labeled images, and ``ready``
        to 1.

        Raises:
            ValueError: Not one count per class.
        """
        if len(counts) != self.num_classes:
            raise ValueError(f'{len(counts)} class counts for {self.num_classes} classes: the '
                             'labeled dataset has other classes than the network')
        self.counted.copy_(class_prior(counts.detach(), self.floor))
        self.prior.copy_(self.counted)
        self.ready.fill_(1)

    @torch.no_grad()
    def observe(self, pseudo_counts: Tensor) -> None:
        """One step of the moving average (``prior='ema'``; otherwise nothing happens).

        The prior moves toward the mean of the labeled images' frequencies and those of the
        pseudo-labels.

        Args:
            pseudo_counts: Pixels per class of the confident pseudo-labels, (K,); all 0 leaves the
                prior alone.
        """
        if self.kind != 'ema':
            return
        pseudo_counts = pseudo_counts.double()
        target = (self.counted + class_prior(pseudo_counts, self.floor)) / 2
        moved = self.momentum * self.probabilities + (1 - self.momentum) * target
        # torch.where instead of an if, which would wait for a GPU to tell the sum
        self.prior.copy_(torch.where(pseudo_counts.sum() > 0, moved, self.prior))

    def in_loss(self, logits: Tensor, t: Tensor) -> Tensor:
        """What the loss sees: logits (B, K, h, w) at times t (B,); half precision is corrected in
        float32.
        """
        return self._corrected(logits, t, 1) if self.where == 'loss' else logits

    def in_sampling(self, logits: Tensor, t: Tensor) -> Tensor:
        """What a sampling step decides by: logits (B, K, h, w) at times t (B,)."""
        return self._corrected(logits, t, -1) if self.where == 'sampling' else logits

    def _corrected(self, logits: Tensor, t: Tensor, sign: int) -> Tensor:
        """Logits (B, K, h, w) plus (``sign`` 1) or minus (-1) the ``a_k(t)`` of the class docstring
        at the times ``t`` (B,), at least float32.
        """
        # in bfloat16 the log of a small prior (1e-4) would have an error of 0.02
        logits = at_least_float32(logits)
        return logits + sign * prior_logits(self.probabilities, t.to(logits.device), self.tau,
                                            self.weighting, logits.dtype)


def _given_prior(prior: Union[str, Sequence[float]], num_classes: int) -> Optional[Tensor]:
    """The prior that the config fixes, (K,) float64 with sum 1: a list, normalized, or
    ``'uniform'``. None for ``'labeled'`` and ``'ema'``, which are found in training.

    Raises:
        ValueError: An unknown name, or numbers that are no prior of K classes.
    """
    if isinstance(prior, str):
        if prior not in PRIORS:
            raise ValueError(f'adjustment.prior must be one of {PRIORS} or a list of {num_classes} '
                             f'numbers, got {prior!r}')
        return torch.full(
            (num_classes, ), 1 / num_classes, dtype=torch.float64) if prior == 'uniform' else None
    values = [float(p) for p in prior]
    if len(values) != num_classes or min(values) <= 0:
        raise ValueError(f'adjustment.prior must be {num_classes} positive numbers, got {values}')
    return torch.tensor([v / sum(values) for v in values], dtype=torch.float64)
