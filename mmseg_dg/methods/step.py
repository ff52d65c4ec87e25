"""One training step = a list of passes, back-propagated one after the other, and one optimizer
step.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, NamedTuple, Optional

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmseg_dg.utils.seeding import StepGenerator, derive_seed, seed_everything

from .finite import FiniteWatch, StepCheck


class Pass(NamedTuple):
    """One forward pass and the backward pass of its losses.

    Attributes:
        name: For messages and for ``on_backward`` callbacks.
        fn: Returns named tensors; the sum of those whose name contains ``loss`` is back-propagated.
            A pass without one (pseudo-labels) back-propagates nothing.
        retain_graph: Keep the graph because a later pass back-propagates through it again.
    """
    name: str
    fn: Callable[[], dict[str, Tensor]]
    retain_graph: bool = False


class StepState(dict):
    """What one pass leaves for a later one (features, pseudo-labels); cleared by the stepper after
    the step.

    Attributes:
        context: Position of the step in the run, for terms that change over training.
    """
    context: Optional['StepContext'] = None


@dataclass(frozen=True)
class StepContext:
    """Where a step stands in the run; every random decision of the step derives from it.

    Attributes:
        seed: Seed of the run.
        rank: Process number.
        iteration: 0-based iteration of the run.
        total: Iterations of the run, None where unknown.
    """
    seed: int
    rank: int = 0
    iteration: int = 0
    total: Optional[int] = None

    def derive(self, *purpose) -> int:
        return derive_seed(self.seed, self.rank, self.iteration, *purpose)

    @classmethod
    def from_global_state(cls) -> 'StepContext':
        """A context for callers outside a training loop: drawn from torch's global generator."""
        return cls(seed=int(torch.randint(2**31, ())))


class StepRecord(NamedTuple):
    """Everything a picture of the step needs: batch, draws, and the state the passes left."""
    batch: dict[str, Any]
    draws: Any
    state: dict[str, Any]


def total_loss(values: dict[str, Tensor]) -> Optional[Tensor]:
    """Sum of the entries whose name contains ``loss``; None if there is none."""
    losses = [v for k, v in values.items() if 'loss' in k]
    return sum(losses[1:], losses[0]) if losses else None


def run_step(method, data: Any, optim_wrapper: OptimWrapper, draws: Any = None,
             context: Optional[StepContext] = None, sync_gradients: Optional[Callable[[],
                                                                                      None]] = None,
             on_backward: Optional[Callable[[str], None]] = None, preprocess: bool = True,
             watch: Optional[FiniteWatch] = None) -> dict[str, Tensor]:
    """Run all passes of one iteration and step the optimizer once.

    A pass is run under the optim wrapper's context (autocast), back-propagated at once, and its
    graph freed before the next, so that one graph is alive at a time unless a pass asks to retain
    it.

    Args:
        method: A training method (``draw_step``, ``passes``, ``data_preprocessor``).
        data: ``{stream: batch}`` or a list of such micro-batches, whose gradients are averaged.
        optim_wrapper: mmengine's, with any precision; its own accumulation must be off.
        draws: Recorded decisions (a list of them for micro-batches); None draws afresh.
        context: Position in the run.
        sync_gradients: Called once, after the last backward and before unscaling, clipping and
            stepping.
        on_backward: Called with the pass's name after its backward (used to record gradient norms).
        preprocess: Apply the method's data preprocessor; False for batches that are normalised
            already (replays).
        watch: Gates a step whose numbers are not finite, and tells; None stops at it.

    Returns:
        Detached named values, averaged over micro-batches, and their total under ``loss``. Of a
        step that ``watch`` left out only those that are finite.

    Raises:
        NonFiniteError: Images, a loss or gradients are NaN or infinite, and ``watch`` does not
            leave such steps out. Parameters, buffers and optimizer are as they were before the
            step.
    """
    context = context or StepContext.from_global_state()
    batches: Sequence[dict] = data if isinstance(data, (list, tuple)) else [data]
    given = draws if isinstance(draws, list) else [draws] * len(batches)
    if len(given) != len(batches):
        raise ValueError(f'{len(batches)} micro-batches need as many draws, got {len(given)}')
    watch = watch or FiniteWatch()
    found: dict[str, list[Tensor]] = {}
    optim_wrapper.zero_grad()
    check = watch.begin(method, optim_wrapper, context.iteration)
    for k, (micro, micro_draws) in enumerate(zip(batches, given)):
        batch = method.data_preprocessor(micro, True) if preprocess else micro
        check.see_batch(batch)
        if watch.images_refused(check):
            break
        if micro_draws is None:
            micro_draws = method.draw_step(batch, StepGenerator(context.derive('draws', k)))
        seed_everything(context.derive('passes', k))
        state = StepState()
        state.context = context
        for step_pass in method.passes(batch, micro_draws, state):
            learned = _run_pass(method, step_pass, optim_wrapper, len(batches), found, check)
            if learned and on_backward is not None:
                on_backward(step_pass.name)
        if method.keep_step_record and k == 0:
            method.step_record = StepRecord(batch, micro_draws, dict(state))
        state.clear()
    if sync_gradients is not None and found:
        sync_gradients()
    skipped = watch.step(check, optim_wrapper, partial(_step, optim_wrapper))
    method.note_step(skipped)
    values = _merged(found, len(batches))
    total = total_loss(values)
    values = values if total is None else dict(loss=total, **values)
    if check.left_out:  # a log's averages must not take NaN in
        method.step_record = None
        return {name: value for name, value in values.items() if bool(torch.isfinite(value))}
    return values


def _run_pass(method, step_pass: Pass, optim_wrapper: OptimWrapper, parts: int,
              found: dict[str, list[Tensor]], check: StepCheck) -> bool:
    """Forward and backward of one pass; its graph is gone when this returns. Adds its values to
    ``found``.

    Returns:
        Whether there was a loss to back-propagate.
    """
    with optim_wrapper.optim_context(method):
        outputs = step_pass.fn()
    if 'loss' in outputs:
        raise ValueError(f"pass '{step_pass.name}' returns the key 'loss', which names the step's "
                         "total: rename it")
    loss = total_loss(outputs)
    learned = loss is not None and loss.requires_grad
    if learned:
        optim_wrapper.backward(loss / parts, retain_graph=step_pass.retain_graph)
    check.see_pass(step_pass.name, outputs, learned)
    for name, value in outputs.items():
        found.setdefault(name, []).append(value.detach().mean())
    return learned


def _merged(found: dict[str, list[Tensor]], parts: int) -> dict[str, Tensor]:
    """One value per name: losses as they enter the step's gradient, others averaged over where they
    occurred.

    A method may log a value in some micro-batches only (DiffMatch: the loss at noise times that
    were drawn).
    """
    return {
        name: sum(values) / (parts if 'loss' in name else len(values))
        for name, values in found.items()
    }


def _step(optim_wrapper: OptimWrapper) -> bool:
    """Step the optimizer; False when a loss scaler found infinities and left the parameters alone.
    """
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    if scaler is None or not scaler.is_enabled():
        optim_wrapper.step()
        return True
    stepped = []
    before = scaler.get_scale()
    handle = optim_wrapper.optimizer.register_step_post_hook(lambda *_: stepped.append(True))
    try:
        optim_wrapper.step()
    finally:
        handle.remove()
    # fused optimizers are always called and skip by themselves; a dynamic scale then falls
    return bool(stepped) and scaler.get_scale() >= before
