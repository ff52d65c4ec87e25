"""Where the time of one training step goes, by part; the parts add up to the step."""
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import torch

#: Methods of a training method whose time is a part of its own, wherever they are called.
PARTS = {'mix_batch': 'mixing', 'distance_loss': 'feature distance', 'projected_loss': 'feature distance',
         'strong_batch': 'mixing', '_teacher_logits': 'teacher', 'evaluated_pseudo_labels': 'teacher',
         'draw_step': 'draws'}


class Stopwatch:
    """Seconds by part; a part that runs inside another one is taken out of it.

    Args:
        synchronize: Called at every boundary (a GPU finishes what it was asked first).

    Attributes:
        seconds: Part -> [seconds on the clock, CPU seconds of this process] since :meth:`begin`.
    """

    def __init__(self, synchronize: Callable[[], None] = lambda: None) -> None:
        self.synchronize = synchronize
        self.seconds: dict[str, list[float]] = {}
        self._open: list[str] = []  # parts that run now, the innermost last
        self._since = (0., 0.)  # up to this moment all time is charged to a part

    def begin(self) -> None:
        """Begin a step; what was measured before is forgotten."""
        self.seconds = defaultdict(lambda: [0., 0.])
        self._since = self._now()

    def _now(self) -> tuple[float, float]:
        """Seconds on the clock and CPU seconds of this process."""
        self.synchronize()
        return time.perf_counter(), time.process_time()

    def _charge(self, name: str) -> None:
        """Add the time since the last boundary to a part; now is the next boundary."""
        now = self._now()
        for k in (0, 1):
            self.seconds[name][k] += now[k] - self._since[k]
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The block is part ``name``, except what runs in a part inside it."""
        self._charge(self._open[-1] if self._open else 'other')
        self._open.append(name)
        try:
            yield
        finally:
            self._charge(self._open.pop())

    def end(self) -> dict[str, tuple[float, float]]:
        """End the step: part -> (seconds on the clock, CPU seconds).

        What no part claimed is ``other`` (losses' bookkeeping, the finite check).
        """
        self._charge('other')
        return {name: (wall, cpu) for name, (wall, cpu) in self.seconds.items()}

    def around(self, owner: Any, method: str, name: Optional[str] = None) -> None:
        """Time every call of ``owner.method`` from now on as part ``name`` (None: the method's name)."""
        call = getattr(owner, method)

        def timed(*args, **kwargs):
            with self.part(name or method):
                return call(*args, **kwargs)

        setattr(owner, method, timed)


class _Timed(torch.nn.Module):
    """A data preprocessor that is timed as part ``data``; its attributes are those of the one inside."""

    def __init__(self, inner: torch.nn.Module, watch: Stopwatch) -> None:
        super().__init__()
        self.inner, self.watch = inner, watch

    def __getattr__(self, name: str) -> Any:
        try:  # a module's own: ``inner``, its buffers
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)

    def forward(self, *args, **kwargs) -> Any:
        with self.watch.part('data'):
            return self.inner(*args, **kwargs)


def watch_method(watch: Stopwatch, method: Any, optim: Any, hooks: list) -> None:
    """Put the parts of a step under the watch: every pass forward and backward, teacher, optimizer, averages.

    Args:
        watch: Begun and ended by the caller around a step.
        method: A training method; its ``passes`` and some methods are replaced on the instance.
        optim: Its optim wrapper.
        hooks: Hooks that run before and after the step.
    """
    current = ['']  # name of the last pass that ran forward, which is the one that runs backward
    passes, backward = method.passes, optim.backward

    def timed_passes(*args, **kwargs):
        """The method's passes (name, function that runs forward, ...), their functions timed."""
        return [step_pass._replace(fn=timed_forward(step_pass)) for step_pass in passes(*args, **kwargs)]

    def timed_forward(step_pass):
        def forward():
            current[0] = step_pass.name
            teacher = step_pass.name in ('pseudo_labels', 'teacher')
            with watch.part('teacher' if teacher else f'{step_pass.name} forward'):
                return step_pass.fn()
        return forward

    def timed_backward(*args, **kwargs):
        with watch.part(f'{current[0]} backward'):
            return backward(*args, **kwargs)

    method.passes, optim.backward = timed_passes, timed_backward
    method.data_preprocessor = _Timed(method.data_preprocessor, watch)
    for name, part in PARTS.items():
        if callable(getattr(method, name, None)):
            watch.around(method, name, part)
    watch.around(optim, 'step', 'optimizer')
    watch.around(optim, 'zero_grad', 'optimizer')
    for hook in hooks:
        name = 'EMA' if 'EMA' in type(hook).__name__ else 'hooks'
        watch.around(hook, 'before_train_iter', name)
        watch.around(hook, 'after_train_iter', name)
