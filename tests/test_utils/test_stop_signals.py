"""Signals are noted, and the command that goes on is the right one."""
import os
import signal
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmseg_dg.apis import launch
from mmseg_dg.utils import stop_signals


@pytest.fixture(autouse=True)
def _handlers():
    before = {name: signal.getsignal(getattr(signal, name)) for name in stop_signals.SIGNALS}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)
    stop_signals.forget()


@pytest.mark.parametrize('name', stop_signals.SIGNALS)
def test_before_the_first_iteration_a_signal_ends_at_once_and_later_it_is_noted(name):
    stop_signals.listen()
    with pytest.raises(stop_signals.StoppedEarly, match=name):
        os.kill(os.getpid(), getattr(signal, name))
    os.kill(os.getpid(), getattr(signal, name))  # again, while it is leaving: nothing more happens
    stop_signals.forget()
    stop_signals.training_begins()
    os.kill(os.getpid(), getattr(signal, name))
    assert stop_signals.noted() == name
    agreed = stop_signals.AgreedStop()
    assert agreed(3) and agreed(3)


def test_a_second_interrupt_does_not_wait_but_the_same_one_twice_is_one(monkeypatch):
    stop_signals.listen()
    stop_signals.training_begins()
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # terminal and launcher both send it
    monkeypatch.setattr(stop_signals, '_SAME_SIGNAL', -1.)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_answer_of_an_iteration_does_not_change_within_it():
    stop_signals.listen()
    stop_signals.training_begins()
    agreed = stop_signals.AgreedStop()
    assert not agreed(1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert not agreed(1) and agreed(2)


@pytest.mark.parametrize('words, launcher, command', [
    ('t/train.py c.py', 'none', 'python t/train.py c.py --resume'),
    ('t/train.py c.py --work-dir w --overwrite --amp', 'none', 'python t/train.py c.py --resume --work-dir w --amp'),
    ('t/train.py c.py --resume --cfg-options a=1', 'none', 'python t/train.py c.py --resume --cfg-options a=1'),
    ('t/train.py --resume c.py --work-dir w', 'none', 'python t/train.py c.py --resume --work-dir w'),
    ('t/train.py c.py --resume FILE --resume-weights-only', 'none', 'python t/train.py c.py --resume'),
    ('t/train.py c.py --launcher pytorch --resume', 'pytorch', 'bash t/dist_train.sh c.py 4 --resume'),
    ('t/train.py c.py --launcher slurm --amp', 'slurm', 'bash t/slurm_train.sh part job c.py --resume --amp'),
])
def test_the_command_that_goes_on(words, launcher, command, tmp_path, monkeypatch):
    file = tmp_path / 'iter_3.pth'
    file.touch()
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    monkeypatch.setenv('SLURM_JOB_PARTITION', 'part')
    monkeypatch.setenv('SLURM_JOB_NAME', 'job')
    words = [str(file) if word == 'FILE' else word for word in words.split()]
    assert launch.command_to_continue(words, Config(dict(launcher=launcher), filename=None)) == command


def test_options_that_exclude_each_other(tmp_path):
    for request, weights, overwrite in (('auto', False, True), (None, True, False)):
        with pytest.raises(ValueError, match='--resume'):
            launch.set_resume(Config(dict(work_dir=str(tmp_path))), request, weights, overwrite)


class Slow(torch.utils.data.Dataset):

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return index


def test_workers_outlive_the_signals_of_their_job():
    """slurm signals every process of a job; the workers serve the iteration that is under way."""
    loader = torch.utils.data.DataLoader(Slow(), batch_size=1, num_workers=1)
    stop_signals.shield_workers([loader])
    batches = iter(loader)
    next(batches)
    worker = batches._workers[0]
    for name in ('SIGUSR1', 'SIGINT', 'SIGTERM'):
        os.kill(worker.pid, getattr(signal, name))
    assert len(list(batches)) == 39 and worker.exitcode in (None, 0)
    worker.join(60)
    assert worker.exitcode == 0


@pytest.mark.ci
def test_persistent_workers_do_not_hold_up_the_end_of_their_process(tmp_path):
    """A shielded worker passes over the SIGTERM by which multiprocessing ends it: its process waited ten minutes."""
    script = tmp_path / 'loader.py'
    script.write_text(
        'import mmseg_dg, torch\n'
        'from torch.utils.data import DataLoader\n'
        'from mmseg_dg.utils.stop_signals import shield_workers\n'
        'loader = DataLoader(list(range(8)), batch_size=2, num_workers=2, persistent_workers=True)\n'
        'shield_workers([loader])\n'
        'it = iter(loader)\n'
        'print(next(it).tolist(), flush=True)\n')
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and '[0, 1]' in done.stdout, done.stderr
