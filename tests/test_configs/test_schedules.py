"""The learning rate of every parameter group at every iteration, and who is in which group."""

import numpy as np
import pytest
import torch

from .catalog import build_on_meta, distinct, folder_of, load, parts_of, read, settings

TOTAL, WARMUP = 40000, 1500
PAPER = settings('daformer', 'hrda')


def decays_linearly(cfg):
    """The schedule of DAFormer and whatever inherits it; other systems' schedules are tested beside their configs."""
    scheduler = cfg.param_scheduler[0]
    return scheduler.type == 'WarmupPolyLR' and scheduler.get('power') == 1.0 and 'max_iters' in cfg.train_cfg


def specified_lr(base, t, total=TOTAL, warmup=WARMUP, minimum=0.0, ratio=1e-6):
    """docs/behavior/daformer_hrda.md#optimizer-and-schedule, as a formula of the iteration; independent of the
    scheduler's code."""
    t = np.asarray(t, dtype=np.float64)
    lr = (base - minimum) * (1 - t / total) + minimum
    if warmup:
        lr = np.where(t < warmup, lr * (1 - (1 - t / warmup) * (1 - ratio)), lr)
    return lr


def build_optim_wrapper(name, model=None):
    from mmseg_dg.registry import OPTIM_WRAPPER_CONSTRUCTORS
    cfg = load(name)
    model = build_on_meta(cfg.model) if model is None else model
    wrapper = cfg.optim_wrapper
    constructor = wrapper.pop('constructor')
    paramwise = wrapper.pop('paramwise_cfg')
    build = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(type=constructor, optim_wrapper_cfg=wrapper, paramwise_cfg=paramwise))
    return build(model), model


def build_scheduler(name, optimizer):
    from mmseg_dg.registry import PARAM_SCHEDULERS
    cfg = load(name)
    assert len(cfg.param_scheduler) == 1
    return PARAM_SCHEDULERS.build(dict(cfg.param_scheduler[0], optimizer=optimizer, total=cfg.train_cfg.max_iters))


def expected_schedule(name):
    """(warm-up, minimum) as the docs/behavior/daformer_hrda.md#optimizer-and-schedule gives it for this config."""
    cfg = read(name)
    if parts_of(name)[1] == 'nowarmup':
        return 0, (0.0 if name.startswith('daformer_mitb5') else 1e-4)
    if name.startswith('custom_'):  # a share of the run
        return (38 if name.endswith('_small') else 1500), cfg.param_scheduler[0].min_lr
    published = {'daformer': 1500, 'hrda': 1500, 'pixl': 1500, 'mic': 1500, 'foundation': 1500,
              'bench': 75, 'suites': 11 if name.startswith('city_uda') else 75,
              'demo': 75 if name.startswith('supervised_day') else 11}
    # a folder whose schedule is nobody's publication: what its config says, by the formula
    warmup = published.get(folder_of(name), cfg.param_scheduler[0].get('warmup_iters', 0))
    return warmup, cfg.param_scheduler[0].min_lr


@pytest.mark.filterwarnings('ignore:Detected call of `scheduler.step')
def test_every_iteration_of_the_paper_schedule():
    """All 40 000 values, by stepping the scheduler as training does."""
    name = 'daformer_mitb5_gta2cityscapes'
    wrapper, _ = build_optim_wrapper(name, build_on_meta(load('daformer_synthcity_demo').model))
    scheduler = build_scheduler(name, wrapper.optimizer)
    groups = wrapper.optimizer.param_groups
    rates = np.empty((TOTAL, len(groups)))
    for t in range(TOTAL):
        rates[t] = [group['lr'] for group in groups]
        scheduler.step()
    for column, base in enumerate([group['initial_lr'] for group in groups]):
        np.testing.assert_allclose(rates[:, column], specified_lr(base, np.arange(TOTAL)), rtol=1e-12, atol=1e-22)


@pytest.mark.parametrize('t, lr', [(0, 6.0e-11), (1, 4.0058958501e-8), (49, 1.957656969e-6), (750, 2.94375294375e-5),
                                   (1499, 5.7712999e-5), (1500, 5.775e-5), (20000, 3e-5), (39999, 1.5e-9)])
def test_reference_values(t, lr):
    """docs/behavior/daformer_hrda.md#optimizer-and-schedule, encoder."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=6e-5)
    assert build_scheduler('daformer_mitb5_gta2cityscapes', optimizer).value_at(6e-5, t) == pytest.approx(lr, rel=1e-7)


@pytest.mark.claim('DAFormer')
def test_recorded_schedule(recorded):
    """The values mmcv's hook set, iteration by iteration."""
    record = recorded('lr')
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=6e-5)
    scheduler = build_scheduler('daformer_mitb5_gta2cityscapes', optimizer)
    for name, base in (('backbone', 6e-5), ('norm', 6e-5), ('head', 6e-4)):
        ours = np.array([scheduler.value_at(base, t) for t in record['iterations'].tolist()])
        np.testing.assert_allclose(ours, record[name].numpy(), rtol=1e-12, atol=1e-22)


def schedule_is_that_of_the_method(name, cfg):
    """1000 iterations spread over the run and every edge, both base rates."""
    if not decays_linearly(cfg):
        return
    total = cfg.train_cfg.max_iters
    warmup, minimum = expected_schedule(name)
    base = cfg.optim_wrapper.optimizer.lr
    keys = cfg.optim_wrapper.paramwise_cfg.get('custom_keys', {})
    head = base * keys.get('head', {}).get('lr_mult', 1.)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    scheduler = build_scheduler(name, optimizer)
    edges = [0, 1, warmup - 1, warmup, warmup + 1, total // 2, total - 2, total - 1]
    points = sorted({t for t in [*np.linspace(0, total - 1, 1000).astype(int).tolist(), *edges] if 0 <= t < total})
    ratio = 1e-3 if folder_of(name) == 'foundation' else 1e-6  # docs/behavior/mic.md#vfm-uda-step
    for rate in (base, head):
        ours = [scheduler.value_at(rate, t) for t in points]
        np.testing.assert_allclose(ours, specified_lr(rate, points, total, warmup, minimum, ratio), rtol=1e-12,
                                   atol=1e-22)


def test_without_warmup_the_encoder_rate_rises():
    """docs/behavior/daformer_hrda.md#optimizer-and-schedule: the official ablation's minimum lies above the encoder's
    rate."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=6e-5)
    scheduler = build_scheduler('dacs_segformer_mitb5_gta2cityscapes --row nowarmup', optimizer)
    assert scheduler.value_at(6e-5, 0) == pytest.approx(6e-5)
    assert scheduler.value_at(6e-5, TOTAL) == pytest.approx(1e-4)
    assert scheduler.value_at(6e-4, TOTAL) == pytest.approx(1e-4)


# ---------------------------------------------------------------- parameter groups
def grouped() -> list:
    """One setting of each kind of optimizer and network."""
    return sorted(distinct({
        name: (read(name).optim_wrapper, read(name).model.network.backbone.type,
               read(name).model.network.decode_head.type,
               read(name).model.network.decode_head.get('fixed_attention') is None) for name in PAPER
    }))


@pytest.mark.parametrize('part', range(4))
def test_groups_of_every_kind_of_network(part):
    """docs/behavior/daformer_hrda.md#optimizer-and-schedule: head ten times the rate with decay, encoder norms of MiT
    without decay."""
    kinds = grouped()
    assert len(kinds) >= 8
    for name in kinds[part::4]:
        check_groups(name)


def check_groups(name):
    wrapper, model = build_optim_wrapper(name)
    names = {id(p): n for n, p in model.named_parameters()}
    mit = load(name).model.network.backbone.type == 'MixTransformer'
    seen = set()
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            key = names[id(parameter)]
            seen.add(key)
            head = 'decode_head' in key
            norm = mit and not head and _is_norm(model, key)
            assert group['lr'] == pytest.approx(6e-4 if head else 6e-5), key
            assert group['weight_decay'] == (0.0 if norm else 0.01), key
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert seen == trained
    assert all('student' in n for n in seen), 'only the student is trained'
    assert len(wrapper.optimizer.param_groups) == (3 if mit else 2), 'equal groups are merged'


def _is_norm(model, key):
    module = model.get_submodule(key.rpartition('.')[0])
    return 'Norm' in type(module).__name__


@pytest.mark.claim('DAFormer')
def test_recorded_groups(recorded):
    """Rate and decay of every parameter as mmcv's builder set them for MiT-B0 under a 64-channel head."""
    from mmseg_dg.weights.official_names import from_official
    record = recorded('param_groups')
    table = record['param_table']['daformer']
    cfg = load('daformer_mitb5_gta2cityscapes').model
    cfg.network.backbone.arch = 'b0'
    cfg.network.decode_head.update(in_channels=[32, 64, 160, 256], channels=64, embed_channels=64)
    model = build_on_meta(cfg)
    wrapper, _ = build_optim_wrapper('daformer_mitb5_gta2cityscapes', model)
    ours = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    for field in ('lr', 'weight_decay'):
        official = {k: torch.full(shape, table[f'model.{k}'][field], dtype=torch.float64)
                    for k, shape in record['shapes'].items() if f'model.{k}' in table}
        expected = from_official(official)
        student = dict(model.student.named_parameters())
        assert set(expected) == set(student)
        for key, values in expected.items():
            assert torch.all(values == values.flatten()[0]), f'{key}: packed parts had different settings'
            assert ours[id(student[key])][field] == pytest.approx(float(values.flatten()[0])), (key, field)
