"""Recorded official steps, replayed: two tiny ones that ship, in the second lane the full-size one."""
import dataclasses
import json
import math
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from recorded import SMALL

from mmseg_dg.apis.replay import Replay
from mmseg_dg.apis.replay_comparison import (
    TOLERANCES,
    Deviation,
    _largest,
    _largest_tensor,
    compare_float64,
    compare_step,
    judge,
    not_compared,
)
from mmseg_dg.apis.replay_record import load_record

TOOL = Path(__file__).parents[2] / 'tools' / 'replay_official.py'
FULL_SIZE = Path(__file__).parents[1] / 'replay_configs' / 'replay_daformer_mitb0.py'
#: Of the tiny records no pixel lies near a tie, so that both steps are equal to rounding.
STRICT = {'losses': 1e-5, 'accuracies': 1e-6, 'gradient norms': 1e-3, 'gradients': 1e-3, 'gradient sums': 1e-3,
          'movement': 2e-3, 'parameter norms': 1e-5, 'logits': 1e-5, 'features': 1e-5, 'labels': 0., 'weights': 1e-6}
BUFFERS = {0: 1e-5, 1: 1e-3}  # scale attention's zero-gradient biases move by +-lr


def tiny(kind, dtype=torch.float32, change=None, **kwargs):
    """A replay of a tiny record, its config changed by ``change(config)`` first."""
    record, student, imnet = load_record(str(SMALL / f'{kind}_tiny_step.pt'))
    config = Config.fromfile(SMALL / f'replay_{kind}_tiny.py')
    if change is not None:
        change(config)
    return Replay(config, record, student, imnet, dtype=dtype, **kwargs)


def check_of(kind):
    return json.loads((SMALL / 'tiny_fp64_check.json').read_text())[kind]


def compare(kind, ours, replay, index):
    return judge(compare_step(ours, replay.record['steps'][index], check_of(kind)['zero_gradient_params']), index,
                 dict(STRICT, buffers=BUFFERS[index]))


@pytest.fixture(scope='module', params=['daformer', 'hrda'])
def replayed(request):
    """(kind, record, [our step 0, our step 1]) in float32, one backward per loss as the official code does."""
    replay = tiny(request.param)
    return request.param, replay, [replay.step(0), replay.step(1)]


@pytest.mark.claim('DAFormer')
@pytest.mark.claim('HRDA')
@pytest.mark.parametrize('index', [0, 1])
def test_a_recorded_step_is_equal_in_all_it_holds(replayed, index):
    kind, replay, steps = replayed
    deviations = compare(kind, steps[index], replay, index)
    assert [d for d in deviations if not d.equal] == []
    recorded = replay.record['steps'][index]
    assert not_compared(steps[index], recorded) == []
    compared = {d.quantity for d in deviations}
    assert {'logged losses', 'logged accuracies', 'gradient norms after backward 2', 'student movement',
            'ema movement', 'student_buffers', 'ema_buffers', 'pseudo_label', 'src_feat_last',
            'modes of teacher and reference'} <= compared
    if index == 0:
        assert {'gradients after backward 2', 'ema_head_logits', 'mixed_img', 'mix_masks'} <= compared
    assert len(steps[index].grad_norms_after) == 3


@pytest.mark.claim('HRDA')
def test_double_precision_equals_the_official_double_precision():
    ours = tiny('hrda', torch.float64).step(0)
    deviations = judge(compare_float64(ours, check_of('hrda'), 0, check_of('hrda')['zero_gradient_params']), 0)
    assert [d.quantity.split(' after')[0] for d in deviations] == ['float64 losses', 'float64 gradient norms']
    assert all(d.equal for d in deviations), deviations


def test_shared_backward_gives_the_same_gradients():
    replay = tiny('daformer', shared_backward=True)
    ours = replay.step(0)
    assert len(ours.grad_norms_after) == 2
    recorded = replay.record['steps'][0]['grad_norms_after'][-1]
    assert ours.grad_norms_after[-1] == pytest.approx(recorded, rel=1e-4)


# ---------------------------------------------------------------------- the comparison notices what is changed
def optimizer(**values):
    return lambda config: config.optim_wrapper.optimizer.update(values)


def custom_keys(**values):
    return lambda config: config.optim_wrapper.paramwise_cfg.custom_keys.update(values)


def distance(**values):
    return lambda config: config.model.feature_distance.update(values)


def one_head(config):
    config.model.network.backbone.num_heads = [1, 1, 1, 1]


def decayed_norms(config):
    config.optim_wrapper.paramwise_cfg = dict(custom_keys=dict(head=dict(lr_mult=10.)))


def detail_weight(config):
    config.model.network.decode_head.hr_loss_weight = 0.11


def dilation(config):
    config.model.network.decode_head.fusion.dilations = (1, 5, 12, 18)


@pytest.mark.parametrize('kind, change, noticed, least', [
    ('daformer', custom_keys(head=dict(lr_mult=1.)), ['student movement'], 0.5),
    ('daformer', optimizer(weight_decay=0.), ['student movement'], 5e-3),
    ('daformer', decayed_norms, ['student movement'], 2e-3),
    ('daformer', distance(weight=0.0051), ['logged losses'], 1e-2),
    ('daformer', distance(min_ratio=0.76), ['logged losses', 'fd_mask', 'fd_gt_rescaled'], 2e-3),
    ('daformer', one_head, ['gradients after backward 0', 'logged losses', 'ema_head_logits'], 1e-2),
    ('daformer', dilation, ['logged losses', 'gradient norms after backward 0'], 1e-3),
    ('hrda', detail_weight, ['logged losses'], 1e-2),
], ids=['head rate', 'no decay', 'norms decayed', 'distance weight', 'distance ratio', 'one head', 'dilation',
        'detail weight'])
def test_a_changed_setting_is_noticed(kind, change, noticed, least):
    replay = tiny(kind, change=change)
    deviations = {d.quantity: d for d in compare(kind, replay.step(0), replay, 0)}
    for quantity in noticed:
        assert deviations[quantity].relative > least and not deviations[quantity].equal, quantity
    if noticed == ['student movement']:
        others = [d for d in deviations.values() if not d.equal and d.kind not in ('movement', 'parameter norms')]
        assert others == [], 'the gradients do not depend on the optimizer'


def shift_source_crop(draws):
    y1, y2, x1, x2 = draws.crop_box_source
    return dataclasses.replace(draws, crop_box_source=(y1 - 8, y2 - 8, x1, x2))


def more_blur(draws):
    return dataclasses.replace(draws, sigma=[s + 0.01 for s in draws.sigma])


def other_hue(draws):
    return dataclasses.replace(draws, jitter_params=[p._replace(hue=p.hue + 0.002) for p in draws.jitter_params])


@pytest.mark.parametrize('kind, values, redraw, noticed', [
    ('daformer', dict(pseudo_threshold=0.97), None, 'pseudo_weight'),
    ('daformer', dict(ignore_top=3), None, 'pseudo_weight'),
    ('hrda', dict(use_valid_mask=False), None, 'pseudo_weight'),
    ('hrda', {}, shift_source_crop, 'logged losses'),
    ('daformer', {}, more_blur, 'mixed_img'),
    ('daformer', {}, other_hue, 'mixed_img'),
], ids=['threshold', 'top band', 'no mask', 'detail crop', 'blur', 'hue'])
def test_a_changed_step_is_noticed(kind, values, redraw, noticed, monkeypatch):
    """What a replay takes from the record (margins, threshold, draws), changed behind its back."""
    replay = tiny(kind)
    for name, value in values.items():
        setattr(replay.method, name, value)
    if redraw is not None:
        from mmseg_dg.apis import replay as module
        given = module.to_draws

        monkeypatch.setattr(module, 'to_draws', lambda *args: redraw(given(*args)))
    deviations = {d.quantity: d for d in compare(kind, replay.step(0), replay, 0)}
    assert not deviations[noticed].equal and deviations[noticed].relative > 1e-3


def test_another_teacher_momentum_is_noticed_in_the_second_step():
    replay = tiny('daformer')
    replay.step(0)
    replay.record = dict(replay.record, cfg=dict(uda=dict(replay.record['cfg']['uda'], alpha=0.3)))
    deviations = {d.quantity: d for d in compare('daformer', replay.step(1), replay, 1)}
    assert deviations['ema movement'].relative > 0.1 and not deviations['ema movement'].equal


# ---------------------------------------------------------------------- the tool
def run_tool(monkeypatch, capsys, *words):
    monkeypatch.setattr('sys.argv', [str(TOOL), *map(str, words)])
    status = runpy.run_path(str(TOOL))['main']()
    output = capsys.readouterr()
    return status, output.out, output.err


def test_the_tool_gives_a_verdict_and_an_exit_status(monkeypatch, capsys, tmp_path):
    words = SMALL / 'hrda_tiny_step.pt', SMALL / 'replay_hrda_tiny.py', '--steps', 1
    status, text, _ = run_tool(monkeypatch, capsys, *words, '--json', tmp_path / 'r.json')
    assert status == 0 and 'verdict: EQUAL within the tolerances, 25 quantities in 1 step(s)' in text
    report = json.loads((tmp_path / 'r.json').read_text())
    assert report['verdict'] == 'equal' and len(report['steps'][0]['deviations']) == 25
    status, text, _ = run_tool(monkeypatch, capsys, *words, '--tolerance', 'losses=0', 'mixed_img=0')
    assert status == 1 and text.splitlines()[-1].startswith('verdict: DIFFERS in 2 of 25 quantities: step 0 logged')
    assert text.count('DIFFERS ') == 3
    status, text, _ = run_tool(monkeypatch, capsys, *words, '--tolerance', 'losses=0', '--skip', 'logged *')
    assert status == 0 and '23 quantities' in text


def test_the_tool_refuses_what_it_cannot_compare(monkeypatch, capsys, tmp_path):
    config = SMALL / 'replay_daformer_tiny.py'
    status, _, error = run_tool(monkeypatch, capsys, tmp_path / 'daformer_tiny_step.pt', config)
    assert status == 2 and 'daformer_tiny_step.pt is missing' in error
    status, _, error = run_tool(monkeypatch, capsys, SMALL / 'daformer_tiny_step.pt', config, '--steps', 1,
                                '--tolerance', 'loses=1')
    assert status == 2 and "no such quantity: ['loses']" in error
    for words in (['--steps', 0], ['--tolerance', 'losses'], ['--tolerance', 'losses=-1']):
        with pytest.raises(SystemExit) as error:
            run_tool(monkeypatch, capsys, SMALL / 'daformer_tiny_step.pt', config, *words)
        assert error.value.code == 2


def test_missing_start_weights_are_named(tmp_path):
    torch.save({}, tmp_path / 'trainstep_daformer_x.pt')
    with pytest.raises(FileNotFoundError, match='init_student'):
        load_record(str(tmp_path / 'trainstep_daformer_x.pt'))


# ---------------------------------------------------------------------- numbers
def test_parameters_without_gradient_are_left_out_everywhere(replayed):
    kind, replay, steps = replayed
    skipped = 'decode_head.head.embed_layers.1.proj.bias' if kind == 'hrda' else 'decode_head.conv_seg.bias'
    recorded = dict(replay.record['steps'][0])
    for name in ('grad_norms_after', 'grad_samples_after'):
        recorded[name] = [dict(x, **({skipped: x[skipped] * 2} if skipped in x else {})) for x in recorded[name]]
    for name in ('grad_sum_after_mix', 'student_param_norms', 'student_param_delta_norms', 'ema_param_norms'):
        recorded[name] = dict(recorded[name], **{skipped: recorded[name][skipped] * 2 + 100})
    names = [*check_of(kind)['zero_gradient_params']]
    limits = dict(STRICT, buffers=1e-5)
    wrong = [d for d in judge(compare_step(steps[0], recorded, names), 0, limits) if not d.equal]
    assert len(wrong) == 10 and all(d.where == skipped for d in wrong)
    assert all(d.equal for d in judge(compare_step(steps[0], recorded, [*names, skipped]), 0, limits))
    assert all(d.equal for d in judge(compare_step(steps[0], recorded, [*names, skipped[:-3] + '*']), 0, limits))


def test_what_a_record_holds_beside_the_known_is_named(replayed):
    _, replay, steps = replayed
    recorded = dict(replay.record['steps'][0], new_thing=1, log_vars=dict(replay.record['steps'][0]['log_vars'], x=1.))
    assert not_compared(steps[0], recorded) == ['new_thing', "log_vars['x']"]


def test_not_a_number_is_no_match():
    assert _largest('x', {'a': float('nan')}, {'a': 1.0}, 'losses').relative == math.inf
    # the official empty feature distance
    assert _largest('x', {'a': 0.0}, {'a': float('nan')}, 'losses').relative == 0.0
    assert _largest('x', {'a': 0.5}, {'a': float('nan')}, 'losses').relative == math.inf
    nan = {'a': torch.tensor([float('nan')])}
    assert _largest_tensor('x', nan, {'a': torch.ones(1)}, 'buffers').relative == math.inf
    assert _largest_tensor('x', {'a': torch.ones(2)}, {'a': torch.ones(1)}, 'buffers').relative == math.inf
    assert not judge([Deviation('x', math.inf, '', 'losses')], 0)[0].equal


def test_tolerances_of_a_kind_a_quantity_and_a_later_step():
    found = [Deviation('gradient norms after backward 0', 5e-3, '', 'gradient norms'), Deviation('b', 0., '', 'masks')]
    assert [d.equal for d in judge(found, 0)] == [False, True] and judge(found, 3)[0].equal
    assert judge(found, 0)[0].tolerance == TOLERANCES['gradient norms'][0]
    assert judge(found, 0, {'gradient norms': 1e-2, 'gradient norms after backward 0': 1e-3})[0].tolerance == 1e-3
    assert len(judge(found, 0, skip=['grad*'])) == 1
    with pytest.raises(ValueError, match='no such quantity'):
        judge(found, 0, {'gradient': 1.})


# ---------------------------------------------------------------------- full size
@pytest.mark.ci
def test_the_full_size_record(shared):
    record, student, imnet = load_record(str(shared / 'golden' / 'trainstep_daformer_nodrop.pt'))
    check = json.loads((shared / 'golden' / 'trainstep_fp64_check.json').read_text())['daformer']
    replay = Replay(Config.fromfile(FULL_SIZE), record, student, imnet)
    for index in (0, 1):
        ours = replay.step(index)
        deviations = judge(compare_step(ours, record['steps'][index], check['zero_gradient_params']), index)
        assert [d for d in deviations if not d.equal] == []
        assert not_compared(ours, record['steps'][index]) == []
