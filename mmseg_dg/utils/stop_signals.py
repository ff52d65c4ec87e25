"""SIGTERM, SIGINT and SIGUSR1 end a run in good order: the iteration ends, a checkpoint is written,
the process goes.

Python runs a handler between two byte codes; this one only notes the signal. The checkpoint hook
looks at the note when an iteration ends, together with all other processes.
"""
import atexit
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any, Optional

#: Exit status of a run that was asked to stop and left a checkpoint (``EX_TEMPFAIL``: "try again").
STOPPED = 75
SIGNALS = ('SIGTERM', 'SIGINT', 'SIGUSR1')
#: A terminal's Ctrl-C reaches the launcher and, through it, each process twice: what follows at
#: once is the same one.
_SAME_SIGNAL = 5.

_noted: Optional[str] = None  # name of the signal that asked this process to stop
_when = 0.  # time.monotonic() of that signal
_training = False  # an iteration is under way, at whose end the run can stop
_release_registered = False  # release_workers() is called at exit


class StoppedEarly(BaseException):
    """Raised by the handler while there is no iteration to end: nothing is lost by leaving at once.
    """


def noted() -> Optional[str]:
    """Name of the signal that asked this process to stop; None without one."""
    return _noted


def forget() -> None:
    """Forget signals that came before, and that a training had begun: a new run begins."""
    global _noted, _training
    _noted, _training = None, False


def training_begins() -> None:
    """From now on a signal lets the iteration end; before, it ends the process at once."""
    global _training
    _training = True


def _note(number: int, frame: Optional[FrameType]) -> None:
    """Signal handler: remember the first signal; :class:`AgreedStop` asks for it when an iteration
    ends. A second Ctrl-C interrupts at once.

    Raises:
        StoppedEarly: No iteration is under way (:func:`training_begins`).
        KeyboardInterrupt: A second Ctrl-C.
    """
    global _noted, _when
    now = time.monotonic()
    if _noted is not None:  # launchers repeat themselves, also while the process is leaving
        if number == signal.SIGINT and now - _when > _SAME_SIGNAL:
            signal.default_int_handler(number, frame)  # asked a second time, by a person: now
        return
    _noted, _when = signal.Signals(number).name, now
    if not _training:  # no iteration is under way at whose end one could stop
        raise StoppedEarly(_noted)


def listen() -> None:
    """Note the signals (:data:`SIGNALS`) from now on.

    Nothing is done in a thread other than the main one, in which alone Python allows handlers, and
    for signals this system does not have.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    forget()
    for name in SIGNALS:
        if name in signal.Signals.__members__:
            signal.signal(signal.Signals[name], _note)


def shield_worker(worker: int, then: Any = None) -> None:
    """First call of a data loading worker: slurm signals every process of a job, workers too.

    They serve the iteration that is under way; the run ends them itself. The first SIGTERM is
    therefore passed over (but for ten minutes at most, should the run be unable to end them), a
    second one ends the worker. SIGINT and SIGUSR1 are ignored.

    Args:
        worker: Number of the worker, handed on.
        then: The loader's own ``worker_init_fn``, called first; None without one.
    """
    if then is not None:
        then(worker)

    def pass_over(number: int, frame: Optional[FrameType]) -> None:
        """The first SIGTERM: the next one ends the worker, and so does an alarm in 600 s."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(600)

    signal.signal(signal.SIGTERM, pass_over)
    for name in ('SIGINT', 'SIGUSR1'):
        if name in signal.Signals.__members__:
            signal.signal(signal.Signals[name], signal.SIG_IGN)


class Shielded:
    """``worker_init_fn`` of a loader with :func:`shield_worker` in front; picklable for workers
    that are spawned.
    """
    def __init__(self, then: Any) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        if os.name == 'posix':
            shield_worker(worker, self.then)
        elif self.then is not None:
            self.then(worker)


def release_workers(patience: float = 5.) -> None:
    """End the data loading workers of this process; called when it exits.

    multiprocessing sends each of them one SIGTERM then and waits for its end, but a shielded worker
    passes the first one over. They are therefore asked until they are gone (signals that come fast
    count as one), and killed after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    posix = 'SIGCHLD' in signal.Signals.__members__
    if posix and threading.current_thread() is threading.main_thread():
        # torch's own handler takes a worker that ends by a signal for a fault, and raises
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # torch's workers are daemons
    children = [child for child in multiprocessing.active_children() if child.daemon]
    while children:
        for child in children:
            if time.monotonic() > deadline:
                child.kill()
            else:
                child.terminate()
            child.join(0.02)
        children = [child for child in children if child.is_alive()]


def shield_workers(loaders: Iterable[Any]) -> None:
    """Let the workers that dataloaders will start pass over signals (:func:`shield_worker`).

    Workers that run already are not changed. Their end at the exit of the process is taken over by
    :func:`release_workers`.
    """
    global _release_registered
    # registered after multiprocessing's own function, so that it is called before it
    if not _release_registered:
        atexit.register(release_workers)
        _release_registered = True
    for loader in loaders:
        if loader.num_workers > 0 and not isinstance(loader.worker_init_fn, Shielded):
            loader.worker_init_fn = Shielded(loader.worker_init_fn)


class AgreedStop:
    """Whether all processes stop after the current iteration: they ask each other on the CPU, once
    an iteration.

    One process may have been signaled, or one earlier than another. The exchange is between hosts
    (gloo): no device waits for it.
    """
    def __init__(self) -> None:
        import torch.distributed as dist
        self._group: Any = None  # None: the default group, which is gloo's already
        self._asked, self._answer = -1, False  # the last iteration asked about, and its answer
        self._several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if self._several and dist.get_backend() != 'gloo':
            self._group = dist.new_group(backend='gloo')

    def __call__(self, iteration: int) -> bool:
        """Whether any process was asked to stop before this was first called for ``iteration``.

        Every process must call it for the same iterations, since the first call for one waits for
        the others. Further calls for the same iteration give the same answer.
        """
        if iteration != self._asked:  # not asked yet in this iteration
            self._asked = iteration
            self._answer = noted() is not None
            if self._several:
                import torch
                import torch.distributed as dist
                flag = torch.tensor([int(self._answer)])
                dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._group)  # 1 if any has 1
                self._answer = bool(flag.item())
        return self._answer
