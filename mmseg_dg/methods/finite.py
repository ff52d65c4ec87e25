"""Is everything in a training step finite? One flag, made on the device, that gates optimizer and
averages.

A step is finite if its images, every loss of every pass and the gradients are. One that is not
changes neither parameters nor optimizer nor averages nor buffers. On the CPU the flag is read in
every step; on a GPU it stays there and the host reads it when it logs, validates or saves
(:meth:`FiniteWatch.read`).

Shapes: B images, C channels, H x W pixels.
"""
import math
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional, Union

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from torch import Tensor, nn

from mmseg_dg.ops.precision import at_least_float32

from .optimizer_gate import gated, has_scaler, is_fused
from .tensor_list import TensorList

#: What may follow a step that is not finite.
ACTIONS = ('stop', 'skip')
#: A loss scaler below this has skipped so often that it is no overflow: the gradients themselves
#: are not finite.
LOWEST_SCALE = 2.0**-10


class NonFiniteError(FloatingPointError):
    """Training met NaN or infinite numbers; the message names iteration, pass, term and files."""


@torch.no_grad()
def finite_flag(tensors: Iterable[Tensor]) -> Tensor:
    """Whether the joint Euclidean norm of ``tensors``, of any shape, is finite in float32; bool
    0-d, True where there is none.

    Two fused kernels and no transfer: nothing waits for the device. A norm above 1.8e19, whose
    square is no float32, counts as not finite: optimizers that average squares would carry the
    infinity on.
    """
    groups: dict[tuple, list[Tensor]] = {}  # by device and dtype, as the kernels take them
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            tensor = at_least_float32(tensor.detach())
            groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    flags = [
        torch.isfinite(torch.stack(torch._foreach_norm(group)).float().square().sum())
        for group in groups.values()
    ]
    if not flags:
        return torch.ones((), dtype=torch.bool)
    return torch.stack([flag.to(flags[0].device) for flag in flags]).all()


class Batch(NamedTuple):
    """Images of one stream of a step.

    Attributes:
        stream: Its name.
        files: Of each image, or ``#i`` where a sample does not say.
        finite: bool (B,), of each image.
    """
    stream: str
    files: list[str]
    finite: Tensor


class StepCheck:
    """What one step gathers: images, losses by pass and term, gradients after each pass, buffers as
    they were.

    Args:
        method: The method that trains.
        iteration: Of the run, 0-based.
        remember: Keep the buffers (running statistics), so that :meth:`restore` can bring them
            back.
        gradients: Look at the gradients too (not under a loss scaler, which does so itself).
        deferred: The host does not read the flags of this step before :meth:`FiniteWatch.read`.
        listed: The method's tensors, where they are known.
    """
    def __init__(self, method: nn.Module, iteration: int = 0, remember: bool = True,
                 gradients: bool = True, deferred: bool = False,
                 listed: Optional[TensorList] = None) -> None:
        self.iteration, self.checks_gradients, self.deferred = iteration, gradients, deferred
        self.left_out = False  # the step changed nothing, as far as the host knows
        listed = listed or TensorList.of(method)
        self.parameters: list[tuple[str, Tensor]] = [(name, p) for name, p in listed.parameters
                                                     if p.requires_grad]
        self.batches: list[Batch] = []
        self.losses: list[tuple[str, str, Tensor]] = []  # (pass, term, loss without graph)
        self.gradients: list[tuple[str, Tensor]] = []  # (pass, 0-d bool: all are finite)
        buffers = listed.buffers() if remember else ()
        # (buffer, its values before the step, its version: whether something wrote it since)
        self._saved = [(b, b.detach().clone(), b._version) for b in buffers]

    # ------------------------------------------------------------------ gathering
    @torch.no_grad()
    def see_batch(self, batch: Any) -> None:
        """Note files and finiteness of the images of every stream, ``{stream: {'inputs': (B, C, H,
        W), 'data_samples': [...]}}``; anything else is passed over.
        """
        for stream, part in batch.items() if isinstance(batch, dict) else ():
            images = part.get('inputs') if isinstance(part, dict) else None
            if isinstance(images, Tensor) and images.is_floating_point() and images.dim() > 1:
                # one number per image, (B, C * H * W) -> (B,): NaN and infinities survive a sum
                finite = torch.isfinite(at_least_float32(images).flatten(1).sum(1))
                self.batches.append(
                    Batch(stream, file_names(part.get('data_samples'), len(images)), finite))

    def see_pass(self, name: str, losses: dict[str, Tensor], learned: bool) -> None:
        """Note a pass's losses (of any shape) and, where it was back-propagated, whether the
        gradients are finite now.
        """
        self.losses += [(name, term, value.detach()) for term, value in losses.items()]
        if learned and self.checks_gradients:
            self.gradients.append((name, finite_flag(self._grads())))

    def _grads(self) -> list[Tensor]:
        """Gradients, of any shape, of the parameters that have one now."""
        return [p.grad for _, p in self.parameters if p.grad is not None]

    def images_finite(self) -> Tensor:
        """bool 0-d: of all images of this process."""
        flags = [part.finite.all() for part in self.batches]
        return torch.stack(flags).all() if flags else torch.ones((), dtype=torch.bool)

    @torch.no_grad()
    def decide(self) -> Tensor:
        """The flag: bool 0-d on the device, the same in every process; call it after gradients are
        synchronized.
        """
        flags = [self.images_finite()]
        if self.losses:
            flags.append(
                torch.isfinite(torch.stack([value.float().mean()
                                            for *_, value in self.losses])).all())
        if self.gradients:
            # entries are (pass, flag after it); with several processes the gradients have been
            # synchronized since the last one
            several = get_world_size() > 1
            flags.append(finite_flag(self._grads()) if several else self.gradients[-1][1])
        device = flags[-1].device
        return everywhere(torch.stack([flag.to(device) for flag in flags]).all())

    # ------------------------------------------------------------------ undoing
    @torch.no_grad()
    def restore(self, unless: Optional[Tensor] = None) -> None:
        """Buffers as they were before the step; with ``unless`` (bool 0-d, on the device) only
        where it is False. Integers that nobody wrote are left alone: a write to DeFT's ``stage``
        would make the host read it, and wait for the device.
        """
        for buffer, before, version in self._saved:
            # ``_version`` counts writes; BatchNorm moves its statistics without counting
            if buffer.is_floating_point() or buffer._version != version:
                buffer.copy_(before if unless is None else torch.where(unless, buffer, before))
        self._saved = []

    # ------------------------------------------------------------------ telling
    def findings(self) -> list[str]:
        """Which images, losses and gradients of this process are not finite, one line each; reads
        the device.
        """
        lines = []
        for part in self.batches:
            wrong = [name for name, good in zip(part.files, part.finite.tolist()) if not good]
            lines += [
                f'stream "{part.stream}": the image {name} has NaN or infinite '
                'values' for name in wrong
            ]
        for name, term, value in self.losses:
            number = float(value.float().mean())
            if not math.isfinite(number):
                lines.append(f"pass '{name}': {term} is {number}")
        # flags are of gradients summed up so far: the first bad pass has spoiled those after it
        first = next((name for name, good in self.gradients if not bool(good)), None)
        if first is not None:
            names = [
                name for name, p in self.parameters
                if p.grad is not None and not bool(finite_flag([p.grad]))
            ]
            listed_names = f': {len(names)} tensors, first {", ".join(names[:3])}' if names else ''
            lines.append(f"pass '{first}': its gradients are not finite{listed_names}")
        return lines


def file_names(samples: Any, count: int) -> list[str]:
    """Image paths of data samples, ``#i`` where one does not say."""
    samples = list(samples or ())
    return [
        str(samples[i].metainfo.get('img_path', f'#{i}')) if i < len(samples) else f'#{i}'
        for i in range(count)
    ]


def everywhere(flag: Tensor) -> Tensor:
    """True where it is True in all processes (0-d or any shape); nothing is transferred to the
    host.
    """
    if get_world_size() == 1:
        return flag
    number = flag.to(torch.int32)
    all_reduce(number, op='min')
    return number.bool()


class Pending(NamedTuple):
    """A step whose flags the host has not read, bool (2,): step and parameters after it finite."""
    check: StepCheck
    flags: Tensor


class FiniteWatch:
    """Gates steps that are not finite, and tells.

    Args:
        action: ``'stop'`` raises at the first; ``'skip'`` leaves them out and counts.
        in_a_row: With ``'skip'``: raise after so many, one after the other.
        deferred: Leave flags on the device until :meth:`read`. None: on a GPU, where the optimizer
            allows it.

    Attributes:
        skipped: Steps that were left out so far.
        current: Of these, how many in a row up to now.
        describe: Completes the message of an iteration: set by the loop, which knows draws, folders
            and commands.
        report: Told about each skipped step (a logger).

    Raises:
        ValueError: Unknown action, or ``in_a_row`` below 1.
    """
    def __init__(self, action: str = 'stop', in_a_row: int = 10,
                 deferred: Optional[bool] = None) -> None:
        if action not in ACTIONS:
            raise ValueError(f"on_nonfinite={action!r}: use 'stop' (an error at the first step "
                             "with NaN or infinite numbers) or 'skip' (leave such steps out)")
        if isinstance(in_a_row, bool) or not isinstance(in_a_row, int) or in_a_row < 1:
            raise ValueError(f'max_nonfinite_in_a_row={in_a_row!r} counts steps, at least 1')
        self.action, self.in_a_row, self.deferred = action, in_a_row, deferred
        self.skipped = self.current = 0  # steps left out: in the run, and in a row just now
        self.describe: Callable[[StepCheck], list[str]] = lambda check: []
        self.report: Callable[[str], None] = lambda text: None
        self._pending: list[Pending] = []  # flags that lie on the device, not yet read
        self._listed: Optional[tuple[nn.Module, TensorList]] = None  # a method and its tensors
        self._last_good: Optional[Tensor] = None  # bool 0-d: step and parameters were finite

    # ------------------------------------------------------------------ one step
    def begin(self, method: nn.Module, optim_wrapper: Any, iteration: int) -> StepCheck:
        """Before the first pass of a step: what will gather its images, losses and gradients.

        With a loss scaler gradients may overflow, which it handles itself: they are not checked.
        """
        scaled = has_scaler(optim_wrapper)
        if self._listed is None or self._listed[0] is not method:  # once per run
            self._listed = method, TensorList.of(method)
        listed = self._listed[1]
        deferred = self._defers(listed.on_gpu, optim_wrapper.optimizer) and not scaled
        return StepCheck(method, iteration, remember=not deferred or self.action == 'skip',
                         gradients=not scaled, deferred=deferred, listed=listed)

    def _defers(self, on_gpu: bool, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the host asks for the flag later instead of in every step."""
        if self.deferred is not None:
            return self.deferred
        # a step is left out exactly, without the host, only by fused optimizers; the others would
        # move by momentum
        return on_gpu and (self.action == 'stop' or is_fused(optimizer))

    def images_refused(self, check: StepCheck) -> bool:
        """Whether images are not finite and passes need not run; False if the host must not ask."""
        return not check.deferred and not bool(everywhere(check.images_finite()))

    def step(self, check: StepCheck, optim_wrapper: Any,
             take: Callable[[], bool]) -> Union[bool, Tensor]:
        """Step the optimizer if all is finite; else restore buffers, and report or stop.

        Args:
            check: Of this step.
            optim_wrapper: Its optimizer holds the gradients.
            take: Steps; returns False where a loss scaler skipped, which is no error.

        Returns:
            Whether averages should stay as they are (bool; on a GPU a 0-d bool tensor).

        Raises:
            NonFiniteError: See the class.
        """
        ok = check.decide()
        if check.deferred:
            return self._gated_step(check, optim_wrapper.optimizer, take, ok)
        if not bool(ok):
            check.restore()
            self._not_finite(check)
            return True
        stepped = take()
        if not stepped and optim_wrapper.loss_scaler.get_scale() < LOWEST_SCALE:
            self._raise(check, [
                'the loss scaler fell to '
                f'{optim_wrapper.loss_scaler.get_scale():.3g} and gradients still '
                'overflow: they are not finite at any scale'
            ])
        if stepped:  # a step of finite gradients can still be too large
            if not bool(finite_flag(p for _, p in check.parameters)):
                self._raise(check, state_findings(check.parameters))
            self.current = 0
        return not stepped

    def _gated_step(self, check: StepCheck, optimizer: torch.optim.Optimizer,
                    take: Callable[[], bool], ok: Tensor) -> Tensor:
        """Take the step on the device if ``ok``, without waiting for the device.

        Args:
            check, optimizer: Of this step.
            take: Steps the optimizer; its result is about loss scalers, which are not deferred.
            ok: 0-d bool on the device: images, losses and gradients are finite.

        Returns:
            0-d bool: whether the step was left out or led to parameters that are not finite.
        """
        if self._last_good is not None and self.action == 'stop':
            # after a bad step no further one is taken until the host has read of it
            ok = ok & self._last_good
        with gated(optimizer, [p.grad for _, p in check.parameters if p.grad is not None], ok):
            take()
        check.restore(unless=ok)
        parameters_finite = finite_flag(p for _, p in check.parameters).to(ok.device)
        self._last_good = ok & parameters_finite
        # detached: the host reads them later, when ``p.grad`` is that of another step
        check.parameters = [(name, p.detach()) for name, p in check.parameters]
        self._pending.append(Pending(check, torch.stack([ok, parameters_finite])))
        return ~self._last_good

    # ------------------------------------------------------------------ what the host does about it
    def read(self) -> None:
        """Look at the flags of all steps since the last time: the only moment the host waits for
        the device.

        Raises:
            NonFiniteError: See the class.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        for step, (ok, state) in zip(pending, torch.stack([p.flags for p in pending]).tolist()):
            if not ok:
                self._not_finite(step.check)
            elif not state:
                self._raise(step.check, state_findings(step.check.parameters))
            else:
                self.current = 0

    @property
    def waiting(self) -> int:
        """Steps whose flags were not read."""
        return len(self._pending)

    def _not_finite(self, check: StepCheck) -> None:
        """Report a step that was not finite; stop the run, or count the step as left out."""
        lines = gathered(check.findings())
        if self.action == 'stop':
            self._raise(check, lines, shared=True)
        check.left_out = True
        self.skipped += 1
        self.current += 1
        head = (f'iteration {check.iteration + 1} is left out (number {self.skipped}, '
                f'{self.current} in a row), it is not finite:')
        self.report('\n'.join([head, *(f'  {line}' for line in lines)]))
        if self.current >= self.in_a_row:
            self._raise(check, [
                *lines, f'{self.current} iterations in a row were not finite '
                '(max_nonfinite_in_a_row)'
            ], shared=True)

    def _raise(self, check: StepCheck, lines: list[str], shared: bool = False) -> None:
        """End the training over a step; ``shared``: the lines are of all processes already."""
        lines = lines if shared else gathered(lines)
        text = [f'iteration {check.iteration + 1} is not finite:', *(f'  {line}' for line in lines)]
        raise NonFiniteError('\n'.join(text + self.describe(check)))


def state_findings(parameters: Iterable[tuple[str, Tensor]]) -> list[str]:
    """A line that names parameters (of any shape) which the step itself left without finite
    values.
    """
    names = [name for name, p in parameters if not bool(finite_flag([p]))]
    return [
        f'losses and gradients are finite, but the step makes {len(names)} parameters NaN or '
        f'infinite, first {", ".join(names[:3])}: the learning rate is too high'
    ]


def gathered(lines: list[str]) -> list[str]:
    """The findings of all processes; a process that has none leaves them to the others."""
    if get_world_size() == 1:
        return lines or ['a number of the step is NaN or infinite']
    by_process = all_gather_object(lines)
    return [f'process {rank}: {line}' for rank, part in enumerate(by_process) for line in part
            ] or ['the gradients are NaN or infinite after their sum over processes']
