"""``run.json`` beside a training's log: command, commit, versions, and what this attempt cost."""
import json
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmseg_dg.apis.provenance import commit, versions
from mmseg_dg.utils.atomic_files import write_text

from .processes import process_number

#: Beside the log of each attempt, ``<work dir>/<timestamp>/run.json``.
RECORD = 'run.json'


@contextmanager
def recorded(runner: Any, words: Sequence[str]) -> Iterator[None]:
    """Inside, a training runs: at the beginning process 0 writes ``run.json`` (command, commit,
    versions), and when it ends or stops adds ``wall_seconds`` and ``cpu_seconds``, which is None in
    a run of several processes.

    An attempt that is killed leaves a record without seconds.

    Args:
        runner: Its ``log_dir`` is where the record goes.
        words: ``sys.argv`` of tools/train.py.
    """
    if process_number():
        yield
        return
    path = Path(runner.log_dir) / RECORD
    record: dict[str, Any] = dict(command=list(words), commit=commit(), versions=versions())
    write_text(path, json.dumps(record, indent=1) + '\n')
    began, used = time.monotonic(), _cpu_seconds()
    try:
        yield
    finally:
        # the CPU time of other processes is not known here
        cpu = _cpu_seconds() - used if not runner.distributed else None
        record.update(wall_seconds=time.monotonic() - began, cpu_seconds=cpu)
        write_text(path, json.dumps(record, indent=1) + '\n')


def _cpu_seconds() -> float:
    """CPU-seconds of this process, its threads, and its workers that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
