"""A CPU process keeps what it frees."""
import subprocess
import sys

import pytest
import torch

from mmseg_dg.utils import allocator

FAULTS = '''
import resource, sys
import torch
from mmseg_dg.utils.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == 'keep':
    assert keep_freed_memory()
make = lambda: torch.ones(16 * 2**20)
make()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    make()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
'''


@pytest.mark.ci
@pytest.mark.skipif(not sys.platform.startswith('linux') or not allocator.keep_freed_memory(), reason='not glibc')
def test_pages_are_cleared_once():
    """Four blocks of 64 MiB: 65536 pages of 4 KiB, or those of one at most where pages were kept."""
    faults = [int(subprocess.run([sys.executable, '-c', FAULTS, way], capture_output=True, text=True,
                                 check=True).stdout.split()[-1]) for way in ('keep', 'give')]
    assert faults[1] > 3 * faults[0]


def test_what_the_environment_says_stays(monkeypatch):
    monkeypatch.setenv('MALLOC_ARENA_MAX', '2')
    assert not allocator.keep_freed_memory()
    monkeypatch.delenv('MALLOC_ARENA_MAX')
    with torch.device('meta'):
        assert not allocator.keep_freed_memory(torch.nn.Linear(2, 2))
    monkeypatch.setattr(sys, 'platform', 'darwin')
    assert not allocator.keep_freed_memory()
