"""Runs the converters in this process."""
import runpy
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / 'tools/dataset_converters'


@pytest.fixture
def command(monkeypatch, capsys):
    """``command('gta', root, ...)`` runs a converter; returns its exit code and its output."""

    def run(name, *arguments):
        arguments = [str(a) for a in arguments]
        monkeypatch.setattr(sys, 'argv', [name, *arguments, '--num-workers', '1'])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        return ended.value.code, capsys.readouterr().out

    return run
