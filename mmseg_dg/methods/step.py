"""One training step = a list of passes, back-propagated one after the other, and one optimizer
step.
"""
from collections.abc import Sequence
from functools import partial
from typing import Any, Callable, NamedTuple, Optional

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmseg_dg.utils.pass_result import PassResult
from mmseg_dg.utils.seeding import StepGenerator, seed_everything

from .finite import FiniteWatch, StepCheck
from .optimizer_gate import has_scaler
from .step_state import StepContext, StepRecord, StepRecorder, StepState

__all__ = [
    'Pass', 'PassResult', 'StepContext', 'StepRecord', 'StepRecorder', 'StepState', 'run_step'
]

#: Brings the gradients of several processes together.
Synchronize = Callable[[], None]
#: Told the name of a pass after its backward.
OnBackward = Callable[[str], None]


class Pass(NamedTuple):
    """One forward pass and the backward pass of its losses.

    Attributes:
        name: For messages and for ``on_backward`` callbacks.
        fn: Gives losses, whose sum is back-propagated, and logs. A pass without losses
            (pseudo-labels) back-propagates nothing.
        retain_graph: Keep the graph because a later pass back-propagates through it again.
    """
    name: str
    fn: Callable[[], PassResult]
    retain_graph: bool = False


class _StepValues:
    """Losses and logs of all micro-batches of a step.

    Args:
        micro_batches: Their number.
    """
    def __init__(self, micro_batches: int) -> None:
        self.micro_batches = micro_batches
        self.losses: dict[str, list[Tensor]] = {}
        self.logs: dict[str, list[Tensor]] = {}

    def add(self, result: PassResult) -> None:
        """Collect losses and logs of a pass by name, detached, each as the mean of its elements."""
        for ours, theirs in ((self.losses, result.losses), (self.logs, result.logs)):
            for name, value in theirs.items():
                ours.setdefault(name, []).append(value.detach().mean())

    def merged(self) -> dict[str, Tensor]:
        """One 0-d value per name, and ``loss``, the sum of the losses.

        Losses as they enter the step's gradient, divided by the number of micro-batches; logs
        averaged over where they occurred: a method may log a value in some micro-batches only
        (DiffMatch: the loss at noise times that were drawn).
        """
        losses = {name: _sum(values) / self.micro_batches for name, values in self.losses.items()}
        logs = {name: _sum(values) / len(values) for name, values in self.logs.items()}
        result = PassResult(losses, logs)
        total = result.total()
        return result.named() if total is None else dict(loss=total, **result.named())


def run_step(method: Any, data: Any, optim_wrapper: OptimWrapper, draws: Any = None,
             context: Optional[StepContext] = None, sync_gradients: Optional[Synchronize] = None,
             on_backward: Optional[OnBackward] = None, preprocess: bool = True,
             watch: Optional[FiniteWatch] = None) -> dict[str, Tensor]:
    """Run all passes of one iteration and step the optimizer once.

    A pass is run under the optim wrapper's context (autocast), back-propagated at once, and its
    graph freed before the next: one is alive at a time unless a pass asks to retain it.

    Args:
        method: A training method (``draw_step``, ``passes``, ``data_preprocessor``).
        data: ``{stream: batch}`` or a list of such micro-batches, whose gradients are averaged.
        optim_wrapper: mmengine's, with any precision; its own accumulation must be off.
        draws: Recorded decisions (a list of them for micro-batches); None draws afresh.
        context: Position in the run.
        sync_gradients: Called once, after the last backward, before unscaling and clipping.
        on_backward: Called with the pass's name after its backward (used to record gradient norms).
        preprocess: Apply the method's data preprocessor; False for normalized batches (replays).
        watch: Gates a step whose numbers are not finite, and tells; None stops at it.

    Returns:
        Detached named values, averaged over micro-batches, and the sum of the losses under
        ``loss``. Of a step that ``watch`` left out only those that are finite.

    Raises:
        NonFiniteError: Images, a loss or gradients are NaN or infinite, and ``watch`` does not
            leave such steps out. Parameters, buffers and optimizer are as they were before the
            step.
    """
    context = context or StepContext.from_global_state()
    micro_batches = _micro_batches(data, draws)
    watch = watch or FiniteWatch()
    values = _StepValues(len(micro_batches))
    method.recorder.record = None
    optim_wrapper.zero_grad()
    check = watch.begin(method, optim_wrapper, context.iteration)
    for number, (part, part_draws) in enumerate(micro_batches):
        # True: as in training, padded to a common size
        batch = method.data_preprocessor(part, True) if preprocess else part
        check.see_batch(batch)
        if watch.images_refused(check):
            break
        _run_passes(method, batch, part_draws, number, context, optim_wrapper, values, check,
                    on_backward)
    # no values: the first micro-batch was refused before any pass, in every process alike
    if sync_gradients is not None and (values.losses or values.logs):
        sync_gradients()
    skipped = watch.step(check, optim_wrapper, partial(_step, optim_wrapper))
    method.note_step(skipped)
    merged = values.merged()
    if check.left_out:  # a log's averages must not take NaN in
        method.recorder.record = None
        return {name: value for name, value in merged.items() if bool(torch.isfinite(value))}
    return merged


def _micro_batches(data: Any, draws: Any) -> list[tuple[dict, Any]]:
    """Each micro-batch with its recorded draws; with None where the step is to draw them.

    Args:
        data: One micro-batch, or a list of them.
        draws: Recorded draws, one per micro-batch; what is no list (None too) is for all of them.

    Raises:
        ValueError: Another number of draws than of micro-batches.
    """
    batches: Sequence[dict] = data if isinstance(data, (list, tuple)) else [data]
    recorded = draws if isinstance(draws, list) else [draws] * len(batches)
    if len(recorded) != len(batches):
        raise ValueError(f'{len(batches)} micro-batches need as many draws, got {len(recorded)}')
    return list(zip(batches, recorded))


def _run_passes(method: Any, batch: dict, draws: Any, number: int, context: StepContext,
                optim_wrapper: OptimWrapper, values: _StepValues, check: StepCheck,
                on_backward: Optional[OnBackward]) -> None:
    """All passes of micro-batch ``number``. They share one state, which only the step's record
    outlives (where a hook wants one).

    Args:
        method, context, optim_wrapper, on_backward: As of :func:`run_step`.
        batch: The micro-batch, preprocessed.
        draws: Recorded ones, or None to draw them here.
        number: Of the micro-batch, from 0; the first one alone is recorded for hooks.
        values: Gets losses and logs of every pass.
        check: Is shown every pass: notes its losses and, after a backward, looks whether the
            gradients are finite.
    """
    if draws is None:
        draws = method.draw_step(batch, StepGenerator(context.derive('draws', number)))
    # dropout and the like inside passes: the same whether draws are fresh or recorded
    seed_everything(context.derive('passes', number))
    state = method.state_type(context=context)
    for step_pass in method.passes(batch, draws, state):
        learned = _run_pass(method, step_pass, optim_wrapper, values, check)
        if learned and on_backward is not None:
            on_backward(step_pass.name)
    if number == 0 and method.recorder.wanted:
        # taken_draws: with what passes chose themselves, so that a replay can be given it
        method.recorder.record = StepRecord(batch, method.taken_draws(draws, state), state)


def _run_pass(method: Any, step_pass: Pass, optim_wrapper: OptimWrapper, values: _StepValues,
              check: StepCheck) -> bool:
    """Forward and backward of one pass; its graph is gone when this returns. Adds its values to
    ``values``.

    Returns:
        Whether there was a loss to back-propagate.
    """
    with optim_wrapper.optim_context(method):
        result = step_pass.fn()
    if not isinstance(result, PassResult):
        raise TypeError(f"pass '{step_pass.name}' returns a {type(result).__name__}: return "
                        'PassResult(losses={...}, logs={...}), which says what is differentiated')
    if 'loss' in result.named():
        raise ValueError(f"pass '{step_pass.name}' returns the key 'loss', which names the step's "
                         "total: rename it")
    loss = result.total()
    learned = loss is not None and loss.requires_grad
    if loss is not None and learned:
        # the step's objective: the sum over passes, the mean over micro-batches
        optim_wrapper.backward(loss / values.micro_batches, retain_graph=step_pass.retain_graph)
    check.see_pass(step_pass.name, result.losses, learned)
    values.add(result)
    return learned


def _step(optim_wrapper: OptimWrapper) -> bool:
    """Step the optimizer; False when a loss scaler found infinities and left the parameters alone.
    """
    if not has_scaler(optim_wrapper):
        optim_wrapper.step()
        return True
    scaler = optim_wrapper.loss_scaler
    stepped = []  # whether the scaler called the optimizer at all
    before = scaler.get_scale()
    handle = optim_wrapper.optimizer.register_step_post_hook(lambda *_: stepped.append(True))
    try:
        optim_wrapper.step()
    finally:
        handle.remove()
    # fused optimizers are always called and skip by themselves; a dynamic scale then falls
    return bool(stepped) and scaler.get_scale() >= before


def _sum(values: list[Tensor]) -> Tensor:
    """Sum of at least one tensor; no 0 is added to the first."""
    return sum(values[1:], values[0])
