"""The tool that says what a training step costs, by part."""
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

TOOLS = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(TOOLS), *sys.path])
    return load('_benchmark_worker')


@pytest.mark.ci
def test_a_config_costs_what_itself_costs(tiny_config, tmp_path):
    tool, config = load('benchmark'), tmp_path / 'dacs.py'
    tiny_config().dump(config)
    result = tool.main([str(config), '--compare', str(config), '--device', 'cpu', '--threads', '1', '--iters', '9',
                        '--json', str(tmp_path / 'out.json'), '--picture', str(tmp_path / 'out.png')])
    assert result['ratio']['median'] == pytest.approx(1, abs=0.1)
    for side, steps in zip(result['sides'], result['steps']):
        for step in steps:
            for kind in (0, 1):
                total = sum(part[kind] for part in step['parts'].values())
                assert total == pytest.approx(step['step'][kind], rel=0.05)
        assert {'data', 'source forward', 'source backward', 'mix forward', 'mix backward', 'teacher', 'mixing',
                'optimizer', 'EMA', 'other'} <= set(side['parts'])
        assert len(side['operators']) == 10 and side['memory'] > 0 and side['flops'] > 0
        assert 0 < side['share_of_peak']['matmul'] < 1.5
    assert (tmp_path / 'out.json').is_file() and (tmp_path / 'out.png').stat().st_size > 1000


def test_a_part_inside_another_counts_once(worker, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(worker.Stopwatch, '_now', lambda self: (float(next(clock)), 0.))
    watch = worker.Stopwatch()
    watch.begin()
    with watch.part('outer'), watch.part('inner'):
        pass
    assert {name: wall for name, (wall, _) in watch.end().items()} == {'other': 2, 'outer': 2, 'inner': 1}


@pytest.mark.parametrize('groups, per_output', [(1, 9 * 8), (8, 9)])
def test_flops_of_a_convolution_backward(worker, groups, per_output):
    conv = torch.nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=False)
    image = torch.randn(2, 8, 6, 6, requires_grad=True)
    with FlopCounterMode(display=False, custom_mapping=worker.CORRECTED) as counter:
        conv(image).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * per_output * 8 * 2 * 36


def test_another_checkout_must_be_one(tmp_path):
    with pytest.raises(ValueError, match='is no checkout of this package'):
        load('benchmark').Worker(tmp_path, {})
