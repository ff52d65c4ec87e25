"""The recorded official DAFormer step, replayed."""
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_dg.apis.replay import Replay, _largest, _largest_tensor, compare_step, load_record

CONFIG = Path(__file__).parents[1] / 'replay_configs' / 'replay_daformer_mitb0.py'


@pytest.fixture(scope='module')
def replayed(shared):
    """(record, [our step 0, our step 1]) in float32, one backward per loss as the official code does."""
    record, student, imnet = load_record(str(shared / 'golden' / 'trainstep_daformer_nodrop.pt'))
    replay = Replay(Config.fromfile(CONFIG), record, student, imnet)
    return record, [replay.step(0), replay.step(1)]


@pytest.fixture(scope='module')
def zero_gradient(shared):
    check = json.loads((shared / 'golden' / 'trainstep_fp64_check.json').read_text())
    return check['daformer']['zero_gradient_params']


def test_step_0_losses(replayed):
    record, ours = replayed
    for name, value in record['steps'][0]['log_vars'].items():
        if 'loss' in name:
            assert ours[0].log_vars[name] == pytest.approx(value, rel=1e-5), name


def test_step_0_every_gradient_norm_after_every_backward(replayed, zero_gradient):
    record, ours = replayed
    assert len(ours[0].grad_norms_after) == 3
    for mine, theirs in zip(ours[0].grad_norms_after, record['steps'][0]['grad_norms_after']):
        assert set(theirs) - set(zero_gradient) <= set(mine)
        for name, value in theirs.items():
            if name not in zero_gradient:
                assert mine[name] == pytest.approx(value, rel=1e-3), name


def test_step_0_small_gradients_in_full(replayed, zero_gradient):
    record, ours = replayed
    for mine, theirs in zip(ours[0].gradients_after, record['steps'][0]['grad_samples_after']):
        for name, value in theirs.items():
            if name in zero_gradient or name.endswith('attn.kv.bias'):  # its key half has zero gradient
                continue
            difference = (mine[name] - value).norm() / value.norm()
            assert difference < 2e-3, name


def test_step_0_pseudo_labels_and_mix(replayed):
    record, ours = replayed
    recorded, state = record['steps'][0], ours[0].state
    assert torch.equal(state['pseudo_label'], recorded['pseudo_label'].long())
    torch.testing.assert_close(state['pseudo_weight'], recorded['pseudo_weight'], rtol=1e-6, atol=0)
    torch.testing.assert_close(state['mixed_image'], recorded['mixed_img'], rtol=0, atol=2e-5)
    assert torch.equal(state['mixed_label'], recorded['mixed_lbl'].squeeze(1).long())
    torch.testing.assert_close(state['mixed_weight'], recorded['mixed_weight'], rtol=1e-6, atol=0)
    assert torch.equal(state['distance_mask'], recorded['fd_mask'].squeeze(1))


def test_student_and_teacher_after_step_0(replayed, zero_gradient):
    record, ours = replayed
    recorded = record['steps'][0]
    for mine, key in ((ours[0].student, 'student_param_norms'), (ours[0].teacher, 'ema_param_norms')):
        for name, value in recorded[key].items():
            # a parameter that starts at zero and gets a rounding-noise gradient moves by +-lr in Adam's first step
            if name not in zero_gradient:
                assert mine[name].double().norm().item() == pytest.approx(value, rel=1e-5, abs=1e-6), name
    for mine, key in ((ours[0].student_buffers, 'student_buffers'), (ours[0].teacher_buffers, 'ema_buffers')):
        assert set(recorded[key]) <= set(mine)
        for name, value in recorded[key].items():
            torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=1e-6, msg=f'{key} {name}')


def test_step_1_within_the_tolerances_of_the_record(replayed, zero_gradient):
    record, ours = replayed
    for name, value in record['steps'][1]['log_vars'].items():
        if 'loss' in name:
            assert ours[1].log_vars[name] == pytest.approx(value, rel=1e-3), name
    deviations = {d.quantity: d for d in compare_step(ours[1], record['steps'][1], zero_gradient)}
    for i in range(3):
        assert deviations[f'gradient norms after backward {i}'].relative < 1e-2
    assert deviations['ema_buffers'].relative < 1e-3 and deviations['student_buffers'].relative < 1e-2
    assert deviations['ema parameter norms'].relative < 1e-4


def test_shared_backward_gives_the_same_gradients(shared, replayed, zero_gradient):
    record, student, imnet = load_record(str(shared / 'golden' / 'trainstep_daformer_nodrop.pt'))
    ours = Replay(Config.fromfile(CONFIG), record, student, imnet, shared_backward=True).step(0)
    assert len(ours.grad_norms_after) == 2
    for name, value in record['steps'][0]['grad_norms_after'][-1].items():
        if name not in zero_gradient:
            assert ours.grad_norms_after[-1][name] == pytest.approx(value, rel=1e-3), name


def test_missing_start_weights_are_named(tmp_path):
    torch.save({}, tmp_path / 'trainstep_daformer_x.pt')
    with pytest.raises(FileNotFoundError, match='init_student'):
        load_record(str(tmp_path / 'trainstep_daformer_x.pt'))


def test_not_a_number_is_no_match():
    assert _largest('x', {'a': float('nan')}, {'a': 1.0}).relative == float('inf')
    assert _largest('x', {'a': 0.0}, {'a': float('nan')}).relative == 0.0  # the official empty feature distance
    assert _largest('x', {'a': 0.5}, {'a': float('nan')}).relative == float('inf')
    assert _largest_tensor('x', {'a': torch.tensor([float('nan')])}, {'a': torch.ones(1)}).relative == float('inf')
