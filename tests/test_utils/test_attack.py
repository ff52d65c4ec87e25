"""The attack runs, and counts a fault that is there."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

ATTACK = Path(__file__).resolve().parents[2] / 'tools' / 'dev' / 'attack.py'


@pytest.mark.ci
def test_a_small_attack(tmp_path):
    rows = ['hostile files', 'fuzzed checkpoints', 'damaged .mat files', 'damaged caches', 'full disks']
    done = subprocess.run([sys.executable, str(ATTACK), '--quick', '--scale', '0.1', '--rows', *rows, '--out',
                           str(tmp_path / 'report.json')], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    report = json.loads((tmp_path / 'report.json').read_text())
    assert [row['trials'] for row in report['rows'].values()] == [6, 50, 6, 4, 1]


def test_a_crash_and_an_error_without_the_name_are_failures(monkeypatch):
    import os
    monkeypatch.syspath_prepend(str(ATTACK.parent))
    import _attack_files

    def unhelpful():
        raise ValueError('something is wrong')

    assert _attack_files._alone(lambda: '', 'x') == ''
    assert 'does not help' in _attack_files._alone(unhelpful, 'x.pth')
    assert 'ended with' in _attack_files._alone(os.abort, 'x.pth')
    assert 'KeyError' in _attack_files._alone(lambda: {}['x'], 'x')
