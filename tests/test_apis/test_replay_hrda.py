"""A step of our own HRDA, written down in the format of the official records and replayed."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_dg.apis.replay import Replay
from mmseg_dg.apis.replay_comparison import _largest, compare_step
from mmseg_dg.apis.replay_record import load_record, official_log_name, to_batch, to_draws
from mmseg_dg.ops import draw_crop_box
from mmseg_dg.registry import MODELS
from mmseg_dg.weights.official_names import official_gradients

CONFIG = Path(__file__).parents[1] / 'replay_configs' / 'replay_hrda_mitb0.py'
CROP, DETAIL = 128, 64
GRADIENTLESS = [f'decode_head.scale_attention.embed_layers.{i}.proj.bias' for i in range(4)]


def start_weights(width):
    """(official student start, official ImageNet start) of the network of the config, width of its attention given."""
    init_default_scope('mmseg_dg')
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIG).model.network
    cfg.decode_head.attention_channels = width
    network = MODELS.build(cfg)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    torch.nn.init.normal_(network.decode_head.head.conv_seg.weight, 0, 0.3)
    teacher = {k: v.clone() + 1 for k, v in network.named_buffers()}
    imnet = {k: v + 0.01 * torch.randn_like(v) for k, v in network.named_parameters() if k.startswith('backbone.')}
    return (dict(state_dict=official_gradients(network.state_dict()),
                 ema_buffers_before_iter0=official_gradients(teacher)), dict(state_dict=official_gradients(imnet)))


def batch(masked):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 19, (2, 1, 2, 2), generator=generator)
    labels[0] = 13  # a thing class, for the feature distance
    result = dict(img=torch.randn(2, 3, CROP, CROP, generator=generator),
                  target_img=torch.randn(2, 3, CROP, CROP, generator=generator),
                  gt_semantic_seg=labels.repeat_interleave(CROP // 2, 2).repeat_interleave(CROP // 2, 3))
    if masked:
        mask = torch.ones(2, 1, CROP, CROP, dtype=torch.uint8)
        mask[:, :, :10] = 0
        result['valid_pseudo_mask'] = mask
    return result


def record_draws(labels):
    """Draws as the recorder lists them: raw ``randint`` values, the source crop first, the mixed crop last."""
    rng, classes = np.random.RandomState(5), torch.unique(labels)
    count = len(classes)
    picks = [torch.as_tensor(rng.choice(count, (count + 1) // 2, replace=False)) for _ in range(2)]
    offsets = [rng.randint(0, (CROP - DETAIL + 1) // 8) for _ in range(4)]
    crop = [dict(kind='np.random.randint', args=(0, 8), value=v) for v in offsets]
    return [dict(kind='random.uniform', value=0.9), dict(kind='random.uniform', value=0.9), *crop[:2],
            *(dict(kind='np.random.choice', value=p) for p in picks),
            *(dict(kind='kornia.ColorJitter', brightness_factor=torch.tensor([b]), contrast_factor=torch.tensor([0.9]),
                   hue_factor=torch.tensor([0.1]), saturation_factor=torch.tensor([1.1]),
                   order=torch.tensor([2, 0, 3, 1])) for b in (1.1, 0.95)),
            *(dict(kind='np.random.uniform', value=s) for s in (0.4, 1.0)), *crop[2:]], offsets


def settings(crop=(DETAIL, DETAIL)):
    return dict(uda=dict(type='DACS', alpha=0.999, pseudo_threshold=0.2, pseudo_weight_ignore_top=0,
                         pseudo_weight_ignore_bottom=0), hr_crop_size=crop)


def make_record(folder, masked=True, width=64, crop=(DETAIL, DETAIL)):
    """Run one step of our method and write it down with its start weights."""
    student, imnet = start_weights(width)
    data = batch(masked)
    draws, offsets = record_draws(data['gt_semantic_seg'])
    step = dict(iter=0, batch=data, draws=draws, strong_scalars=dict(color_jitter_p=0.2))
    record = dict(kind='hrda', drop=False, crop=CROP, steps=[step], cfg=settings(crop))
    ours = Replay(Config.fromfile(CONFIG), record, student, imnet).step(0)
    step.update(
        log_vars=ours.log_vars, grad_norms_after=ours.grad_norms_after, student_buffers=ours.student_buffers,
        ema_buffers=ours.teacher_buffers, pseudo_weight=ours.state['pseudo_weight'],
        student_param_norms={k: v.double().norm().item() for k, v in ours.student.items()},
        ema_param_norms={k: v.double().norm().item() for k, v in ours.teacher.items()})
    for name, content in (('nodrop', record), ('init_student', student), ('init_imnet', imnet)):
        torch.save(content, folder / f'trainstep_hrda_{name}.pt')
    return offsets


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp('record')
    offsets = make_record(folder)
    return load_record(str(folder / 'trainstep_hrda_nodrop.pt')), offsets


def test_round_trip(written):
    (record, student, imnet), _ = written
    ours = Replay(Config.fromfile(CONFIG), record, student, imnet).step(0)
    deviations = compare_step(ours, record['steps'][0], skip=GRADIENTLESS)
    assert len(deviations) >= 8 and all(d.relative < 1e-4 for d in deviations), deviations
    assert set(k for k in ours.log_vars if 'loss' in k) == {
        'decode.loss_seg', 'decode.hr.loss_seg', 'src.loss_imnet_feat_dist', 'mix.decode.loss_seg',
        'mix.decode.hr.loss_seg'}


def test_the_recorded_passes_are_three_and_named_officially(written):
    (record, _, _), _ = written
    norms = record['steps'][0]['grad_norms_after']
    assert len(norms) == 3
    assert {'backbone.block1.0.attn.kv.weight', 'decode_head.head.conv_seg.weight',
            'decode_head.scale_attention.fuse_layer.bn.weight'} <= set(norms[2])
    assert norms[0]['decode_head.head.conv_seg.weight'] == norms[1]['decode_head.head.conv_seg.weight'], 'encoder only'
    assert norms[0]['backbone.block4.1.norm1.weight'] != norms[1]['backbone.block4.1.norm1.weight']


def test_draws_become_boxes(written):
    (record, student, imnet), offsets = written
    replay = Replay(Config.fromfile(CONFIG), record, student, imnet)
    data = to_batch(record['steps'][0]['batch'], replay.method)
    draws = to_draws(record['steps'][0], data, replay.method)
    y, x = offsets[0] * 8, offsets[1] * 8
    assert draws.crop_box_source == (y, y + DETAIL, x, x + DETAIL)
    assert draws.crop_box_mix[0::2] == (offsets[2] * 8, offsets[3] * 8)
    assert draws.crop_box_source == draw_crop_box((CROP, CROP), (DETAIL, DETAIL), 8, _Fixed(offsets[:2]))


class _Fixed:
    def __init__(self, values):
        self.values = list(values)

    def randint(self, low, high):
        return self.values.pop(0)


def test_other_boxes_give_other_losses(written):
    """So that the comparison would notice exchanged or shifted crops."""
    (record, student, imnet), _ = written
    step = dict(record['steps'][0])
    values = [d['value'] for d in step['draws'] if d['kind'] == 'np.random.randint']
    exchanged = iter(values[2:] + values[:2])
    step['draws'] = [dict(d, value=next(exchanged)) if d['kind'] == 'np.random.randint' else d for d in step['draws']]
    ours = Replay(Config.fromfile(CONFIG), dict(record, steps=[step]), student, imnet).step(0)
    losses = {k: v for k, v in step['log_vars'].items() if 'loss' in k}
    assert _largest('losses', ours.log_vars, losses, 'losses').relative > 1e-3


def test_the_mask_of_the_record_counts(written):
    (record, _, _), _ = written
    weight = record['steps'][0]['pseudo_weight']
    assert not weight[:, :10].any() and weight[:, 10:].min() > 0


def test_record_without_mask_and_with_a_wide_attention(tmp_path):
    make_record(tmp_path, masked=False, width=24, crop=DETAIL)
    record, student, imnet = load_record(str(tmp_path / 'trainstep_hrda_nodrop.pt'))
    replay = Replay(Config.fromfile(CONFIG), record, student, imnet)
    assert not replay.method.use_valid_mask
    assert replay.method.student.decode_head.scale_attention.channels == 24
    assert replay.method.student.hr_crop_size == (DETAIL, DETAIL)


@pytest.mark.parametrize('values, message', [([1, 2, 3], 'goes on with'), ([1, 2, 3, 9], 'goes on with'),
                                             ([1, 2, 3, 4, 5], 'left over')])
def test_draws_that_do_not_fit_the_crop_are_refused(written, values, message):
    (record, student, imnet), _ = written
    replay = Replay(Config.fromfile(CONFIG), record, student, imnet)
    step = record['steps'][0]
    draws = [d for d in step['draws'] if d['kind'] != 'np.random.randint']
    step = dict(step, draws=draws + [dict(kind='np.random.randint', value=v) for v in values])
    with pytest.raises(ValueError, match=message):
        to_draws(step, to_batch(step['batch'], replay.method), replay.method)


def test_official_log_names():
    assert official_log_name('source.decode.hr.loss_ce') == 'decode.hr.loss_seg'
    assert official_log_name('source.decode.lr.acc_seg') == 'decode.lr.acc_seg'
    assert official_log_name('mix.decode.hr.loss_ce') == 'mix.decode.hr.loss_seg'


@pytest.mark.claim('HRDA')
def test_names_of_the_official_run(recorded):
    """Logged values and parameters of the official HRDA step, as far as its published list goes."""
    check = recorded('fp64_names')['hrda']
    table = recorded('param_groups')['param_table']['hrda']
    network = MODELS.build(Config.fromfile(CONFIG).model.network)
    ours = official_gradients(dict(network.named_parameters()))
    assert {k[len('model.'):] for k in table if k.startswith('model.')} == set(ours)
    assert set(check['zero_gradient_params']) == set(GRADIENTLESS) <= set(ours)
    assert {k for k in check['logged'] if 'hr' in k} == {
        f'{p}decode.hr.{v}' for p in ('', 'mix.') for v in ('loss_seg', 'acc_seg')}
