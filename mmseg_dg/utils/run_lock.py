"""One run writes to a work dir: a lock file says which process on which host, and goes stale when
that is gone.

On the same machine (host name, boot and process namespace) the process is looked up. Elsewhere it
cannot be: the owner touches the file every few seconds, and a file that nobody touches for a while
has lost its owner. A job that slurm requeued takes over the lock of its own earlier start at once.
"""
import atexit
import contextlib
import json
import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.logging import print_log

LOCK = '.run_lock.json'
#: Seconds between touches, and how long a lock of another machine is watched before it counts as
#: left behind.
BEAT, WATCH = 5., 30.
#: Real path of a work dir -> the lock this process has on it.
_HELD: dict[str, 'RunLock'] = {}


def _read(path: str) -> str:
    """The text of a file; empty if it cannot be read."""
    try:
        return Path(path).read_text(encoding='utf-8').strip()
    except (OSError, UnicodeDecodeError):
        return ''


def _started(process: int) -> str:
    """When a process began, in ticks since the boot: tells it from a later one with the same
    number.
    """
    text = _read(f'/proc/{process}/stat')
    # the name in brackets may have blanks; behind it stand fields 3 and on, field 22 is the start
    return text.rpartition(')')[2].split()[19] if ')' in text else ''


def _namespace() -> str:
    """The namespace in which this process's number is unique (Linux: each container has its own);
    empty elsewhere.
    """
    try:
        return os.readlink('/proc/self/ns/pid')
    except OSError:
        return ''


def describe_this_process() -> dict:
    """What a lock file holds of its owner, and what tells it apart from every other process.

    ``host``, ``boot`` (an id of the machine's start) and ``namespace`` say where the number
    ``process`` counts, ``process_started`` which process it was; ``job`` and ``restart`` are
    slurm's, ``since`` is for people. What the system does not tell is empty text.
    """
    return dict(host=socket.gethostname(), process=os.getpid(),
                boot=_read('/proc/sys/kernel/random/boot_id'), namespace=_namespace(),
                process_started=_started(os.getpid()), job=os.environ.get('SLURM_JOB_ID', ''),
                restart=os.environ.get('SLURM_RESTART_COUNT', ''), since=time.strftime('%Y-%m-%d '
                                                                                       '%H:%M:%S'))


def _alive(process: Any, started: Any) -> bool:
    """Whether the process that holds a lock still runs; a new process with its number is told
    apart by its start.

    Args:
        process: Its number, as read from the lock file.
        started: Its start (:func:`_started`), as read from the lock file.
    """
    if type(process) is not int or process <= 0:
        return False
    try:
        os.kill(process, 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's process
    now = _started(process)
    # the letter after the program's name in brackets; Z: ended, and not yet cleared away
    state = _read(f'/proc/{process}/stat').rpartition(')')[2].split()[:1]
    return state != ['Z'] and (not now or not started or now == started)


class RunLock:
    """The lock of one work dir.

    Args:
        folder: The work dir; it must exist.

    Attributes:
        path: The lock file.
        mine: The text this process wrote into it; None while it does not hold the lock.
    """
    def __init__(self, folder: Union[str, Path]) -> None:
        self.path = Path(folder) / LOCK
        self.mine: Optional[str] = None
        self._process = os.getpid()  # a forked child has this object and does not own the lock
        self._ended = threading.Event()  # set by release(): ends the thread that touches the file

    def acquire(self) -> None:
        """Take the lock, from a process that is gone if need be.

        Raises:
            BlockingIOError: Another run works in the folder; the message names its process and
                host.
        """
        for _ in range(100):  # others may create and remove locks meanwhile
            if self._create():
                return
            self._remove_if_stale()
        raise BlockingIOError(f'{self.path} comes and goes: other runs are starting in this folder')

    def _create(self) -> bool:
        """Make the file with its whole content in one step; False where there is one."""
        text = json.dumps(describe_this_process(), indent=1)
        part = self.path.with_name(f'{self.path.name}.{socket.gethostname()}.{os.getpid()}.part')
        part.write_text(text, encoding='utf-8')
        try:
            os.link(part, self.path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            try:
                with open(self.path, 'x', encoding='utf-8') as file:
                    file.write(text)
            except FileExistsError:
                return False
        finally:
            part.unlink(missing_ok=True)
        self.mine = text
        threading.Thread(target=self._beat, daemon=True, name='run lock').start()
        return True

    def _beat(self) -> None:
        """Touch the file as long as it is this process's lock: other machines see that it lives."""
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError):
                if _read(str(self.path)) == self.mine:
                    os.utime(self.path)

    def _remove_if_stale(self) -> None:
        """Remove the lock file if its owner is gone, so that :meth:`acquire` can try again.

        Other processes may do the same at this moment. Deleting the path could hit the new lock of
        a faster one; so the file is first renamed, which succeeds for one process only, and then
        compared with what was judged stale.

        Raises:
            BlockingIOError: The lock's owner is alive, or may be.
        """
        text = _read(str(self.path))
        try:
            owner = json.loads(text)
            owner = owner if isinstance(owner, dict) else {}
        except (ValueError, RecursionError):
            owner = {}  # cut off; its writer is watched below like one elsewhere
        reason = self._why_stale(owner)
        if reason is None:
            raise BlockingIOError(
                f'another run works in {self.path.parent}: process {owner.get("process", "?")} on '
                f'host {owner.get("host", "?")}, since {owner.get("since", "?")}. Wait for it, '
                'stop it, or give another --work-dir. (If you are sure that it is gone, delete '
                f'{self.path})')
        # named like a temporary file: if this process is killed here, the next run's
        # atomic_files.remove_parts deletes it
        aside = self.path.with_name(
            f'{self.path.name}.stale.{socket.gethostname()}.{os.getpid()}.part')
        with contextlib.suppress(FileNotFoundError):  # another process has removed it already
            os.replace(self.path, aside)
            if _read(str(aside)) != text:
                # another process was faster and this is its new lock: give it back. Where that
                # fails (a third lock is there, or no links are possible) its owner stops at its
                # next check().
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
            else:
                print_log(
                    f'{self.path.parent}: the lock of process {owner.get("process", "?")} on '
                    f'host {owner.get("host", "?")} is left over ({reason}); '
                    'taken', logger='current', level=logging.WARNING)
            aside.unlink(missing_ok=True)

    def _why_stale(self, owner: dict) -> Optional[str]:
        """Why the owner of a lock is gone; None while it may be alive.

        Args:
            owner: Content of the lock file (:func:`describe_this_process`); empty where it could
                not be read.
        """
        me = describe_this_process()
        if me['job'] and owner.get('job') == me['job'] and owner.get('restart') != me['restart']:
            return 'an earlier start of this slurm job'
        if owner.get('host') == me['host'] and owner.get(
                'boot') and me['boot'] and owner['boot'] != me['boot']:
            return 'the machine was started again since'
        # in a container process numbers are its own: they compare within one namespace only
        if all(owner.get(key) == me[key] for key in ('host', 'boot', 'namespace')) and owner:
            if owner.get('process') == me['process'] and owner.get(
                    'process_started') == me['process_started']:
                return 'this process'
            alive = _alive(owner.get('process'), owner.get('process_started'))
            return None if alive else 'there is no such process any more'
        return self._watch()

    def _watch(self) -> Optional[str]:
        """Wait up to ``WATCH`` seconds to see whether the owner, on another machine, still touches
        the file. None if so, else why the lock is stale.
        """
        with contextlib.suppress(OSError):
            before, until = self._touched(), time.monotonic() + WATCH
            print_log(
                f'{self.path.parent} has a lock of another machine; watching for {WATCH:.0f} '
                's whether its run is alive', logger='current')
            while time.monotonic() < until:
                time.sleep(0.25)
                if self._touched() != before:
                    return None
            return f'nobody touched it for {WATCH:.0f} s'
        return 'it is gone'  # the file cannot be opened any more

    def _touched(self) -> int:
        """When the file was last touched, in nanoseconds."""
        # opening asks a network file system for the present state
        with open(self.path, encoding='utf-8') as file:
            return os.fstat(file.fileno()).st_mtime_ns

    def check(self) -> None:
        """Make sure that the lock is still this process's, before a checkpoint is written: another
        run may have taken it from a process that was stopped for long.

        Raises:
            BlockingIOError: Another run has taken the folder.
        """
        if self.mine is not None and _read(str(self.path)) != self.mine:
            raise BlockingIOError(f'{self.path.parent} was taken by another run (see {self.path}), '
                                  'or its lock was deleted: this run writes no more into it')

    def release(self) -> None:
        """Free the folder; a lock that is another's by now stays."""
        self._ended.set()  # in a forked process only its own copy, which nobody waits for
        if os.getpid() != self._process:
            return  # a forked process: the lock is its parent's
        if self.mine is not None and _read(str(self.path)) == self.mine:
            self.path.unlink(missing_ok=True)
        self.mine = None


def hold(folder: Union[str, Path]) -> RunLock:
    """Lock a work dir for this process, until :func:`release` or its end; a second call gives the
    same lock.

    Raises:
        BlockingIOError: As :meth:`RunLock.acquire`.
        OSError: The folder cannot be made or written to.
    """
    key = os.path.realpath(folder)
    if key not in _HELD:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lock = RunLock(folder)
        lock.acquire()
        _HELD[key] = lock
    return _HELD[key]


def current_lock(folder: Union[str, Path]) -> Optional[RunLock]:
    """The lock this process has on a work dir; None without one."""
    return _HELD.get(os.path.realpath(folder))


def release(folder: Union[str, Path]) -> None:
    """Free a work dir, if this process holds it."""
    lock = _HELD.pop(os.path.realpath(folder), None)
    if lock is not None:
        lock.release()


@atexit.register
def _release_all() -> None:
    """Release all locks of this process when it ends."""
    for key in list(_HELD):
        with contextlib.suppress(OSError):
            _HELD.pop(key).release()
