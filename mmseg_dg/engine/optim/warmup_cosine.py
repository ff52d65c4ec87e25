"""Cosine decay as a closed form of the iteration."""
import math
from typing import Optional, Union

from mmengine.optim import OptimWrapper
from torch.optim import Optimizer

from mmseg_dg.registry import PARAM_SCHEDULERS

from .warmup_poly import WarmupPolyLR, warmup_factor


def cosine_factor(iteration: int, total: int) -> float:
    """``(1 + cos(pi t / total)) / 2``: 1 at the start, 0 at ``total`` and beyond."""
    return 0.5 * (1.0 + math.cos(math.pi * min(iteration / total, 1.0)))


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(WarmupPolyLR):
    """Cosine decay to ``min_lr`` with a multiplied linear warm-up, exact at every iteration.

    ``lr(t) = [(base - min_lr) (1 + cos(pi t / total)) / 2 + min_lr] * warmup(t)``. Unlike
    mmengine's recursive ``CosineAnnealingLR`` it is a function of the iteration alone, so a resumed
    run continues to the last bit, and the length comes from the loop. Source:
    docs/behavior/ddep.md#pretraining and docs/behavior/ddep.md#finetuning.

    Args:
        optimizer: Optimizer or optim wrapper.
        warmup_iters: Iterations of linear warm-up; 0 for none.
        warmup_ratio: Factor at iteration 0.
        min_lr: Learning rate at ``total``.
        total: Iterations of the whole schedule; None reads ``max_iters`` of the running train loop.
        last_step: Iteration before the first; only mmengine's resume sets it.
        verbose: Print every change of the rate.
        end: Not used (mmengine passes its own idea of the end to every scheduler it builds).
        warmup_share: Instead of ``warmup_iters``: the part of the schedule that is warm-up, 0 to 1.

    Raises:
        ValueError: ``total`` is unknown or not positive, the warm-up is longer than the schedule or
            given twice.
    """
    def __init__(self, optimizer: Union[Optimizer, OptimWrapper], warmup_iters: int = 0,
                 warmup_ratio: float = 1e-6, min_lr: float = 0.0, total: Optional[int] = None,
                 last_step: int = -1, verbose: bool = False, end: Optional[int] = None,
                 warmup_share: Optional[float] = None) -> None:
        super().__init__(optimizer, warmup_iters=warmup_iters, warmup_ratio=warmup_ratio,
                         min_lr=min_lr, total=total, last_step=last_step, verbose=verbose, end=end,
                         warmup_share=warmup_share)

    def value_at(self, base: float, iteration: int) -> float:
        """The rate of a group with base rate ``base`` at ``iteration`` (0-based)."""
        decayed = (base - self.min_lr) * cosine_factor(iteration, self.total) + self.min_lr
        return decayed * warmup_factor(iteration, self.warmup_iters, self.warmup_ratio)
