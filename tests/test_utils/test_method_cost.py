"""The tool that compares the cost of two methods."""
import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('method_cost', ROOT / 'tools/analysis_tools/method_cost.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tiny_config, tmp_path):
    dacs, plain = tiny_config(), tiny_config(method='Supervised')
    plain.model.network.backbone.init_cfg = dict(type='Pretrained', checkpoint='nowhere.pth')
    dacs.dump(tmp_path / 'dacs.py')
    plain.dump(tmp_path / 'plain.py')
    return str(tmp_path / 'dacs.py'), str(tmp_path / 'plain.py')


def test_times_are_taken_in_turn(tool, files, monkeypatch):
    trainers = [tool.Trainer(name, None, None, 'cpu', 'finetune') for name in files]
    assert [t.size for t in trainers] == [(64, 64)] * 2 and [t.batch_size for t in trainers] == [2, 2]
    order, timed = [], tool.Trainer.timed
    monkeypatch.setattr(tool.Trainer, 'timed', lambda self: order.append(self.name) or timed(self))
    result = tool.compare_times(*trainers, iterations=3, skip=1)
    assert order == ['dacs', 'plain', 'plain', 'dacs'] * 2
    assert [len(t) for t in result['times']] == [3, 3] and min(result['median']) > 0
    assert result['ratio'] > 1 or result['cpu_ratio'] > 1, 'two backward passes and a teacher cost more than one pass'
    assert int(trainers[0].model.teacher.steps) == 4, 'the average is part of an iteration'


def test_peak_counts_live_tensors(tool):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        kept = torch.ones(2**20)
        gone = torch.ones(2**19)
        del gone
        torch.ones(2**18)
    assert len(kept) == 2**20
    assert tool.peak_of(profile) == pytest.approx(4 * (2**20 + 2**19), rel=0.01)


def test_memory_of_a_method(tool, files):
    small = tool.peak_memory(files[1], None, 2, 'cpu', 'finetune')
    large = tool.peak_memory(files[1], (96, 96), 4, 'cpu', 'finetune')
    weights = sum(p.nbytes for p in tool.Trainer(files[1], None, None, 'cpu', 'finetune').model.parameters())
    assert 3 * weights < small < large < 5 * small  # 4.5 times the pixels, the same weights


def test_no_crop_size(tool, files):
    cfg = Config.fromfile(files[1])
    pipeline = cfg.train_dataloader.source.dataset.pipeline
    cfg.train_dataloader.source.dataset.pipeline = [t for t in pipeline if t.type != 'RandomCrop']
    with pytest.raises(ValueError, match='no crop of a fixed size'):
        tool.crop_size(cfg, 'source')


def test_arguments(tool, capsys):
    for arguments in (['one.py'], ['a.py', 'b.py', '--memory-only'], ['a.py', 'b.py', '--iters', '0']):
        with pytest.raises(SystemExit):
            tool.parse_args(arguments)
    assert 'must be positive' in capsys.readouterr().err
