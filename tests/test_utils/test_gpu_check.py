"""The check for whoever has a GPU: without one it says so, and its logic is that of the CPU."""
import importlib.util
import json
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('gpu_check', ROOT / 'tools/dev/gpu_check.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Fake:
    """A worker whose steps take as long as its checkout and precision say."""
    closed = 0

    def __init__(self, checkout, settings):
        options = settings['options']
        if options.get('optim_wrapper.type') == 'AmpOptimWrapper':
            raise ValueError('no accelerator\nfor float16')
        self.half = 'optim_wrapper.type' in options
        self.time = (0.1 if self.half else 0.2) * (2 if checkout != ROOT else 1)
        self.info = dict(batch_size=2, streams=2, precision='any')

    def __call__(self, command):
        return dict(plain=[self.time, self.time], allocated=2**20, syncs={'a.py:3': 2} if self.half else {})[command]

    def close(self):
        Fake.closed += 1


def test_without_a_gpu_it_says_so(tool, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert tool.main([]) == 2
    assert 'no GPU' in capsys.readouterr().err


def test_rows_and_ratios(tool, tmp_path):
    args = tool.parse_args(['--against', str(tmp_path), '--iters', '3'])
    results = tool.check(args, Fake)
    name = tmp_path.name
    assert list(results) == ['fp32', f'fp32, {name}', 'bf16', f'bf16, {name}', 'fp16', 'teacher', 'compile']
    assert results['fp32']['images_per_second'] == pytest.approx(20) and results['bf16']['ms'] == pytest.approx(100)
    assert results['fp16'] == dict(error='for float16')
    text = '\n'.join(tool.lines_of(results, args.against))
    assert '| bf16 | 40.00 | 100.0 | 1 | 2 |' in text and 'bf16: waits 2x at a.py:3' in text
    assert f'fp32: 2.00 times the images of {name} (aim 1.5: reached)' in text
    assert '| fp16 | failed: for float16' in text
    assert Fake.closed == 6


def test_eight_minutes_are_kept(tool):
    clock = iter(range(0, 10**6, 100))  # each look at the clock is 100 s later
    results = tool.check(tool.parse_args([]), Fake, lambda: next(clock))
    assert 'ms' in results['fp32'] and 'no time left of 8 minutes' in results['compile']['skipped']


@pytest.mark.ci
def test_on_a_cpu(tool, tmp_path, capsys):
    code = tool.main(['--device', 'cpu', '--quick', '--only', 'fp32', 'teacher', '--json', str(tmp_path / 'o.json')])
    assert code == 0 and 'no measurements of speed' in capsys.readouterr().out
    rows = json.loads((tmp_path / 'o.json').read_text())['rows']
    assert set(rows) == {'fp32', 'teacher'} and all(row['ms'] > 0 and row['syncs'] is None for row in rows.values())


def test_table_of_costs(capsys):
    """Its arithmetic, without a step."""
    spec = importlib.util.spec_from_file_location('cost_table', ROOT / 'tools/dev/cost_table.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert all((ROOT / 'configs' / config).is_file() for config in tool.METHODS.values())
    found = {'MiT-B0': {'source only': dict(seconds=2., memory=2**20), 'HRDA': dict(seconds=5., memory=3 * 2**20)}}
    rows = tool.table(found).splitlines()
    assert rows[2] == '| source only | 1.00 (2.00 s) | 1.00 (1 MiB) |' and rows[3] == '| DeFT |  |  |'
    assert rows[-1] == '| HRDA | 2.50 (5.00 s) | 3.00 (3 MiB) |'
    options = tool.options_of(tool.NETWORKS['MiT-B0'], tool.METHODS['HRDA'], [128, 128])
    assert options['model.network.decode_head.head.in_channels'] == [32, 64, 160, 256]
    assert options['model.network.hr_crop_size'] == [64, 64]


def test_a_row_that_fails_at_its_end_costs_no_other(tool):
    class Ends(Fake):
        """Fails when memory is asked for, with half precision."""

        def __call__(self, command):
            if command == 'allocated' and self.half:
                raise RuntimeError('worker is gone\nno memory figure')
            return super().__call__(command)

    results = tool.check(tool.parse_args(['--iters', '2']), Ends)
    assert results['bf16'] == dict(error='no memory figure') and results['fp32']['images_per_second'] > 0
