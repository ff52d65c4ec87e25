"""The terminal shows what a user reads; long tables and tracebacks are in the log file."""
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.utils.console import LONG_TABLES, Progress, duration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def made(tmp_path):
    """``made()``: a logger with a file, made in the test, whose standard output it takes."""
    yield lambda: MMLogger.get_instance('console_test', log_file=str(tmp_path / 'run.log'))
    MMLogger._instance_dict.pop('console_test')


def test_tables_are_in_the_file_alone(made, tmp_path, capsys):
    logger = made()
    for begin in LONG_TABLES:
        logger.info(begin + ' and four hundred lines')
    logger.info('Iter(train) [1/2]')
    logger.warning('"FileClient" will be deprecated in future.')
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2 and str(tmp_path / 'run.log') in out and 'Iter(train)' in out
    text = (tmp_path / 'run.log').read_text()
    assert all(begin in text for begin in LONG_TABLES) and 'FileClient' in text


def test_without_a_file_nothing_is_left_out(capsys):
    MMLogger.get_instance('console_test_2').info(LONG_TABLES[1] + 'x')
    MMLogger._instance_dict.pop('console_test_2')
    assert LONG_TABLES[1] in capsys.readouterr().out


def test_the_traceback_of_a_users_error_is_in_the_file(made, tmp_path, capsys, monkeypatch):
    made()
    monkeypatch.setattr(sys, 'argv', ['train.py', 'c.py'])

    def main():
        raise ValueError('crop_size=3 is too small')

    with pytest.raises(SystemExit):
        run_tool(main)
    said = capsys.readouterr()
    assert 'Traceback' not in said.err + said.out and said.err.count('\n') == 1
    text = (tmp_path / 'run.log').read_text()
    assert 'Traceback' in text and 'in main' in text and 'crop_size=3' in text


def test_progress(monkeypatch, capsys, caplog):
    found = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda text, logger=None, level=logging.INFO: found.append(text))
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: False, raising=False)
    progress = Progress('counting labels', 4, quiet=0)
    progress.begin -= 60  # a minute for the first of four
    progress.update()
    assert found == ['counting labels: 1 of 4, 3 min 0 s left']
    progress.update(3)
    assert len(found) == 1, 'the end of a stage is said by who runs it'
    short = Progress('x', 2)
    short.update(2)
    assert len(found) == 1 and capsys.readouterr().err == ''
    assert (duration(7), duration(125), duration(11400)) == ('7 s', '2 min 5 s', '3 h 10 min')


CONFIG = """_base_ = '{root}/configs/custom/custom_uda.py'
model = dict(network=dict(backbone=dict(init_cfg=dict(checkpoint='pretrained/not_here.pth'))))
"""


@pytest.mark.ci
def test_a_mistake_under_mim_is_one_message(tmp_path):
    """mim would print a traceback of its own below the message."""
    pytest.importorskip('mim')
    (tmp_path / 'own.py').write_text(CONFIG.format(root=ROOT))
    mim = Path(sys.executable).with_name('mim')
    if not mim.is_file() or not Path('/proc/self/cmdline').exists():
        pytest.skip('no mim command beside this Python, or no /proc')
    done = subprocess.run([str(mim), 'train', 'mmseg_dg', 'own.py'], cwd=tmp_path, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONWARNINGS='ignore'))
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr, done.stderr
    assert 'not_here.pth' in done.stderr and done.stderr.count('error') == 1
    assert not (tmp_path / 'work_dirs').exists(), 'found before anything is built or written'


def test_a_variable_of_the_environment_is_named_once(tmp_path, monkeypatch):
    from mmengine.config import Config
    from mmengine.config import config as library
    monkeypatch.setenv('SOME_FOLDER', 'here')
    (tmp_path / 'a.py').write_text("a = '{{$SOME_FOLDER:there}}'\n")
    said = []
    inner = library.print_log.__closure__
    original = next(cell for cell in inner if callable(cell.cell_contents))
    monkeypatch.setattr(original, 'cell_contents', lambda text, **kwargs: said.append(text))
    assert [Config.fromfile(str(tmp_path / 'a.py')).a for _ in range(3)] == ['here'] * 3
    assert len(said) == 1 and 'SOME_FOLDER' in said[0]
    library.print_log('anything else')
    library.print_log('anything else')
    assert said[1:] == ['anything else'] * 2
