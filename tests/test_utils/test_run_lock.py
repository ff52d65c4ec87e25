"""One run per work dir, and locks of runs that are gone."""
import json
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from mmseg_dg.utils import run_lock
from mmseg_dg.utils.atomic_files import remove_parts
from mmseg_dg.utils.run_lock import LOCK, RunLock, describe_this_process


@pytest.fixture
def alive():
    """Another process, which lives as long as the test."""
    process = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b'\n')


def written(folder, **changes):
    (folder / LOCK).write_text(json.dumps(dict(describe_this_process(), **changes)))


def test_a_second_run_is_refused_with_process_and_host(tmp_path, alive):
    written(tmp_path, process=alive, process_started=run_lock._started(alive))
    with pytest.raises(BlockingIOError) as error:
        RunLock(tmp_path).acquire()
    me = describe_this_process()
    assert f'process {alive} on host {me["host"]}' in str(error.value) and LOCK in str(error.value)


def test_it_is_given_free(tmp_path):
    lock = run_lock.hold(tmp_path / 'new')
    assert run_lock.hold(tmp_path / 'new') is lock and run_lock.current_lock(tmp_path / 'new') is lock
    owner = json.loads((tmp_path / 'new' / LOCK).read_text())
    assert owner['process'] == os.getpid()
    lock.check()
    run_lock.release(tmp_path / 'new')
    assert list((tmp_path / 'new').iterdir()) == []


@pytest.mark.parametrize('changes', [
    dict(process=2**22 + 1, process_started='7'),  # no such process
    dict(process_started='1'),  # its number was given to another process
    dict(boot='another'),  # the machine was started again
    dict(process='text'), dict(process=-1), dict(process=10**30)])
def test_locks_of_processes_that_are_gone_are_taken(tmp_path, changes):
    written(tmp_path, **dict(dict(process=os.getppid()), **changes))
    lock = RunLock(tmp_path)
    lock.acquire()
    assert json.loads((tmp_path / LOCK).read_text())['process'] == os.getpid()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_kill_while_a_lock_is_taken_leaves_what_the_next_run_removes(tmp_path, monkeypatch):
    written(tmp_path, process=2**22 + 1, process_started='7')

    def kill(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_lock, 'print_log', kill)  # the old lock is moved aside and not yet removed
        with pytest.raises(KeyboardInterrupt):
            RunLock(tmp_path).acquire()
    assert len(list(tmp_path.iterdir())) == 1
    lock = RunLock(tmp_path)
    lock.acquire()
    remove_parts(tmp_path)
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('text', ['', '{"host', '[1]', 'null', '[' * 100000])
def test_a_damaged_lock_counts_as_left_over_when_nobody_touches_it(tmp_path, monkeypatch, text):
    monkeypatch.setattr(run_lock, 'WATCH', 0.6)
    (tmp_path / LOCK).write_text(text)
    RunLock(tmp_path).acquire()


def test_another_machine_is_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, 'WATCH', 1.)
    written(tmp_path, host='elsewhere')
    begin = time.monotonic()
    RunLock(tmp_path).acquire()  # nobody touches it
    assert time.monotonic() - begin >= 1.
    written(tmp_path, host='elsewhere')
    beat = multiprocessing.get_context('fork').Process(target=touch, args=(str(tmp_path / LOCK), ))
    beat.start()
    try:
        with pytest.raises(BlockingIOError, match='host elsewhere'):
            RunLock(tmp_path).acquire()
    finally:
        beat.kill()
        beat.join()


def touch(path):
    while True:
        os.utime(path)
        time.sleep(0.1)


def test_the_owner_touches_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, 'BEAT', 0.05)
    lock = RunLock(tmp_path)
    lock.acquire()
    os.utime(tmp_path / LOCK, (1, 1))
    deadline = time.monotonic() + 20
    while (tmp_path / LOCK).stat().st_mtime == 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / LOCK).stat().st_mtime > 1
    lock.release()


def test_an_earlier_start_of_the_same_slurm_job(tmp_path, monkeypatch):
    monkeypatch.setenv('SLURM_JOB_ID', '17')
    monkeypatch.setenv('SLURM_RESTART_COUNT', '1')
    written(tmp_path, host='elsewhere', restart='')
    RunLock(tmp_path).acquire()


def test_an_owner_whose_lock_was_taken_writes_no_more(tmp_path):
    lock = RunLock(tmp_path)
    lock.acquire()
    written(tmp_path, host='elsewhere')
    with pytest.raises(BlockingIOError, match='writes no more'):
        lock.check()
    lock.release()
    assert (tmp_path / LOCK).exists(), 'it is the other run\'s now'
