"""DiffMatch and its baselines: one data, network and schedule in every row; partitions, rates, lengths, ablations."""
import re

import numpy as np
import pytest
import torch

from mmseg_dg.datasets.splits.protocols import PROTOCOLS
from mmseg_dg.registry import MODELS, PARAM_SCHEDULERS

from .catalog import build_on_meta, changed_keys, flat, load, parts_of, read, row_of, settings, with_options
from .test_schedules import build_optim_wrapper

METHODS = ('supervised_only', 'fixmatch', 'unimatch', 'diffmatch')
NAMES = settings('diffmatch')
HOME = dict(voc='voc_classic_183', cityscapes='cityscapes_1_8', coco='coco_1_128')
#: docs/behavior/unimatch.md#unimatch-settings and docs/behavior/diffmatch.md#data-and-training: epochs, crop,
#: encoder's rate, factor outside it, threshold.
RECIPE = dict(voc=(80, 513, 0.001, 10, 0.95), cityscapes=(240, 801, 0.005, 1, 0.), coco=(30, 513, 0.004, 10, 0.95))
_CLASSIC = {'92': 'classic_1_16', '183': 'classic_1_8', '366': 'classic_1_4', '732': 'classic_1_2',
            '1464': 'classic_full'}
#: (data in the name of a config, part in it) -> (dataset, folder of the lists)
PARTS = {
    **{('voc_classic', part): ('voc', folder) for part, folder in _CLASSIC.items()},
    **{('voc_blender', f'1_{k}'): ('voc', f'blender_1_{k}') for k in (16, 8, 4)},
    **{('voc_blender_u2pl', f'1_{k}'): ('voc', f'u2pl_1_{k}') for k in (16, 8, 4)},
    **{('cityscapes', f'1_{k}'): ('cityscapes', f'1_{k}') for k in (30, 16, 8, 4, 2)},
    **{('coco', f'1_{k}'): ('coco', f'1_{k}') for k in (512, 256, 128, 64, 32)},
}
GRID = [(method, net, data, part) for method in METHODS for net in ('r50', 'r101') for data, part in PARTS]
FULL = 'diffmatch_r50_voc_classic_183'


def cell(method, net, data, part, row=None):
    """The setting of one cell of the tables: a config, a row for network, list family and ``row``, a subset."""
    dataset, folder = PARTS[data, part]
    rows = ['r101'] * (net == 'r101') + ['blender'] * data.startswith('voc_blender') + [row] * (row is not None)
    default = 'blender_1_8' if 'blender' in rows else dict(voc='classic_1_8', cityscapes='1_8', coco='1_128')[dataset]
    config = f'{method}_r50_{HOME[dataset]}'
    return with_options(config, '_'.join(rows), None if folder == default else folder)


def iterations_of_an_epoch(data, part):
    dataset, folder = PARTS[data, part]
    return PROTOCOLS[dataset][folder].unlabeled // 8


def test_every_cell_of_the_tables_has_a_score():
    """Of the paper's, or that our sources have none: the table lists the subset."""
    assert len(GRID) == 4 * 2 * 21
    for key in GRID:
        setting = cell(*key)
        config, row, subset = parts_of(setting)
        assert with_options(config, row) in NAMES
        assert subset is None or row_of(setting).subsets[subset].score, setting


@pytest.mark.parametrize('method', METHODS)
def test_partitions(method):
    for key in GRID:
        if key[0] == method:
            check_partition(*key)


def check_partition(method, net, data, part):
    cfg, (dataset, folder) = read(cell(method, net, data, part)), PARTS[data, part]
    lists = {name: loader.dataset.ann_file for name, loader in cfg.train_dataloader.items()}
    expected = {'labeled': 'labeled', 'unlabeled': 'unlabeled', 'unlabeled_mix': 'unlabeled'}
    assert lists == {name: f'splits/{folder}/{expected[name]}.txt' for name in lists}
    backbone = cfg.model.network.backbone
    assert (backbone.depth, backbone.stem_channels) == (int(net[1:]), 128)
    assert backbone.init_cfg.checkpoint == f'pretrained/resnet{net[1:]}_deepstem.pth'
    length = iterations_of_an_epoch(data, part)
    epochs = RECIPE[dataset][0]
    if method == 'supervised_only':
        assert cfg.train_cfg == dict(type='MultiStreamTrainLoop', max_iters=epochs * length, val_interval=length)
        assert [loader.batch_size for loader in cfg.train_dataloader.values()] == [16]
    else:
        assert cfg.train_cfg == dict(type='MultiStreamTrainLoop', max_epochs=epochs, epoch_stream='unlabeled',
                                     val_interval=1)
        assert {loader.batch_size for loader in cfg.train_dataloader.values()} == {8}


@pytest.mark.parametrize('data, part, iterations, total', [
    ('voc_classic', '92', 1311, 104_880), ('cityscapes', '1_16', 348, 83_520), ('coco', '1_512', 14_756, 442_680)])
def test_lengths_of_the_epochs(data, part, iterations, total):
    """The examples of docs/behavior/unimatch.md#unimatch-data-pipeline: 1311, 348 and about 14.75k iterations an
    epoch."""
    dataset = PARTS[data, part][0]
    assert iterations_of_an_epoch(data, part) == iterations
    control = read(cell('supervised_only', 'r50', data, part))
    assert RECIPE[dataset][0] * iterations == total == control.train_cfg.max_iters


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('data, part, anchor', [('cityscapes', '1_16', '1_8'), ('voc_classic', '92', '183')])
def test_a_partition_changes_the_lists_only(method, data, part, anchor):
    name = cell(method, 'r50', data, part)
    length = {'train_cfg.max_iters', 'train_cfg.val_interval'} if method == 'supervised_only' else set()
    streams = read(name).train_dataloader
    lists = {f'train_dataloader.{s}.dataset.ann_file' for s in streams}
    assert changed_keys(name, cell(method, 'r50', data, anchor)) == length | lists


@pytest.mark.parametrize('method', METHODS)
def test_the_encoder_is_one_line(method):
    for part in (('voc_classic', '92'), ('cityscapes', '1_30'), ('coco', '1_32')):
        assert changed_keys(cell(method, 'r50', *part), cell(method, 'r101', *part)) == {
            'model.network.backbone.depth', 'model.network.backbone.init_cfg.checkpoint'}


@pytest.mark.parametrize('data, part', [('voc_classic', '183'), ('cityscapes', '1_8'), ('coco', '1_128')])
def test_rows_share_everything_but_the_method(data, part):
    cfgs = {method: load(f'{method}_r50_{data}_{part}') for method in METHODS}
    reference = cfgs['unimatch']
    epochs, crop, rate, factor, threshold = RECIPE[PARTS[data, part][0]]
    for method, cfg in cfgs.items():
        for key in ('optim_wrapper', 'param_scheduler', 'val_dataloader', 'val_evaluator', 'default_hooks'):
            assert cfg[key] == reference[key], f'{method}: {key}'
        assert cfg.val_evaluator.type == 'ClassBiasMetric'
        for stream, loader in cfg.train_dataloader.items():
            assert loader.dataset == reference.train_dataloader[stream].dataset
            steps = {s.type: s for s in loader.dataset.pipeline}
            assert tuple(steps['RandomCrop'].crop_size) == tuple(steps['Pad'].size) == (crop, crop)
            assert tuple(steps['RandomRescale'].ratio_range) == (0.5, 2.0)
        assert cfg.model.network.backbone == reference.model.network.backbone
        assert cfg.model.network.test_cfg == reference.model.network.test_cfg
        assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=rate, momentum=0.9, weight_decay=1e-4)
        assert cfg.optim_wrapper.paramwise_cfg.custom_keys.head.lr_mult == factor
        assert cfg.model.get('threshold', threshold) == threshold
    heads = [{k: v for k, v in cfg.model.network.decode_head.items() if k != 'loss_decode'} for cfg in cfgs.values()]
    assert all(head == heads[0] for head in heads)
    hard = [cfgs[m].model.network['denoiser' if m == 'diffmatch' else 'decode_head'].loss_decode for m in METHODS]
    kind = 'OHEMCrossEntropyLoss' if data == 'cityscapes' else 'CrossEntropyLoss'
    assert all(loss.type == kind for loss in hard)
    if data == 'cityscapes':
        assert all((loss.threshold, loss.min_kept_per_image) == (0.7, 100_000) for loss in hard)
    else:
        assert all(loss.avg_non_ignore for loss in hard), 'the mean runs over labeled pixels'


def test_evaluation():
    """Whole images at their own size; Cityscapes in windows of 801 every int(801 * 2/3), probabilities averaged."""
    for method in METHODS:
        sliding = load(f'{method}_r50_cityscapes_1_8').model.network
        assert sliding.test_cfg == dict(mode='slide', crop_size=(801, 801), stride=(534, 534), window_sum='softmax')
        assert int(801 * 2 / 3) == 534
        assert hasattr(build_on_meta(load(f'{method}_r50_cityscapes_1_8').model.network), 'slide_inference')
        for data in ('voc_classic_183', 'coco_1_128'):
            assert load(f'{method}_r50_{data}').model.network.test_cfg == dict(mode='whole')
    whole = ['LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs']
    for name in NAMES:
        assert all([s.type for s in x.dataset.pipeline] == whole for x in load(name).val_dataloader.values())


@pytest.mark.parametrize('data, part', [('voc_classic', '92'), ('cityscapes', '1_30'), ('coco', '1_512')])
@pytest.mark.parametrize('method', ['unimatch', 'diffmatch'])
def test_rates(method, data, part):
    """lr(it) = base (1 - it/total)^0.9, without warm-up; everything outside the encoder times the factor."""
    name = cell(method, 'r50', data, part)
    epochs, _, rate, factor, _ = RECIPE[PARTS[data, part][0]]
    total = epochs * iterations_of_an_epoch(data, part)
    wrapper, model = build_optim_wrapper(name)
    names = {id(p): n for n, p in model.named_parameters()}
    seen = set()
    for group in wrapper.optimizer.param_groups:
        inside = {names[id(p)].startswith('student.backbone.') for p in group['params']}
        seen |= {names[id(p)] for p in group['params']}
        if factor > 1:
            assert len(inside) == 1
        assert group['lr'] == pytest.approx(rate if True in inside else rate * factor)
        assert group['weight_decay'] == 1e-4
    assert seen == {n for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = PARAM_SCHEDULERS.build(dict(*load(name).param_scheduler, optimizer=optimizer, total=total))
    points = np.unique(np.linspace(0, total - 1, 500).astype(int))
    ours = [scheduler.value_at(rate, int(t)) for t in points]
    np.testing.assert_allclose(ours, rate * (1 - points / total)**0.9, rtol=1e-12)
    assert ours[0] == rate and ours[-1] < rate * 1e-3


@pytest.mark.parametrize('net, millions', [('r50', 40.5), ('r101', 59.5)])
def test_network_sizes(net, millions):
    """docs/behavior/unimatch.md#unimatch-network, with 21 classes; output stride 16, layer4 dilated after its first
    block."""
    network = build_on_meta(load(cell('unimatch', net, 'voc_classic', '183')).model.network)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert [m.out_channels for m in network.backbone.stem if hasattr(m, 'out_channels')] == [64, 64, 128]
    assert [m.conv2.dilation[0] for m in network.backbone.layer4] == [1, 2, 2]
    assert {m.conv2.dilation for m in network.backbone.layer3} == {(1, 1)}


def test_heads_start_as_pytorch_makes_them():
    """UniMatch initializes nothing: uniform with standard deviation 1 / sqrt(3 fan-in), 0.0110 and 0.0361 here."""
    heads = [read(name).model.network.decode_head for name in NAMES]
    assert all(head.get('init_cfg', 'default') is None for head in heads)
    torch.manual_seed(0)
    head = MODELS.build(load(NAMES[0]).model.network.decode_head)
    before = {k: v.clone() for k, v in head.state_dict().items()}
    head.init_weights()
    assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())
    assert float(head.refine[0][0].weight.detach().std()) == pytest.approx(0.0110, rel=0.01)
    assert float(head.conv_seg.weight.detach().std()) == pytest.approx(0.0361, rel=0.03)
    bound = 1 / 16  # 1 / sqrt(256 channels), of the classifier's bias as of its weights
    assert 0 < head.conv_seg.bias.abs().max() <= bound and head.conv_seg.weight.abs().max() <= bound


def test_weights_of_the_methods():
    """UniMatch: (L_x + 0.25 L_s1 + 0.25 L_s2 + 0.5 L_fp)/2; FixMatch: (L_x + L_s)/2."""
    two = ([0.25, 0.25], 0.5)
    for name, (views, feature) in dict(fixmatch=([1.], None), unimatch=two, diffmatch=two).items():
        model = load(cell(name, 'r101', 'voc_classic', '92')).model
        assert model.labeled_weight == 0.5
        assert [2 * w for w in model.view_weights] == views
        assert model.get('feature_weight') == (None if feature is None else feature / 2)
    for name in NAMES:
        model = read(name).model
        if name.startswith(('fixmatch', 'unimatch')):
            assert (model.get('cutmix') is None) == name.endswith(' nocutmix')
        elif name.startswith('diffmatch'):
            assert (model.get('cutmix') is None) == (not name.endswith(' cutmix'))


def test_every_diffmatch_has_the_numbers_of_the_card():
    """L = 4, b = 0.1 and three steps in all experiments; ablations of them say so in their names."""
    for name in NAMES:
        if not name.startswith('diffmatch'):
            continue
        network = read(name).model.network
        found = (network.denoiser.num_layers, network.denoiser.bit_scale, network.sampling_steps)
        changed = re.search(r' (layers\d|b0\.01|steps\d)$', name)
        assert (found == (4, 0.1, 3)) == (changed is None), name


DENOISER, ADJUSTMENT = 'model.network.denoiser.', 'model.adjustment.'
_UNLABELED = 'train_dataloader.unlabeled.'
_MIX = {k.replace('unlabeled', 'unlabeled_mix', 1) for k in flat(read(FULL)) if k.startswith(_UNLABELED)}


@pytest.mark.parametrize('child, keys', [
    *[(f'steps{k}', {'model.network.sampling_steps'}) for k in (1, 2, 5)],
    ('td0', {'model.network.time_difference'}),
    ('b0.01', {DENOISER + 'bit_scale'}),
    *[(f'layers{k}', {DENOISER + 'num_layers'}) for k in (2, 6)],
    ('conv', {DENOISER + k for k in ('layer', 'norm_cfg.type', 'norm_cfg.requires_grad')}),
    ('onehot', {DENOISER + 'code'}),
    ('bits', {DENOISER + 'code'}),
    ('timet', {DENOISER + 'time_input'}),
    ('estimate', {DENOISER + 'code_input'}),
    ('noresidual', {'model.network.residual'}),
    ('linear', {DENOISER + 'schedule'}),
    ('noadjustment', {ADJUSTMENT + 'where'}),
    ('adjust_sampling', {ADJUSTMENT + 'where'}),
    ('adjust_w1', {ADJUSTMENT + 'weighting'}),
    *[(f'adjust_tau{k}', {ADJUSTMENT + 'tau'}) for k in ('0.25', '0.5')],
    ('adjust_ema', {ADJUSTMENT + 'prior'}),
    ('cutmix', _MIX | {'model.cutmix.probability'}),
    ('onestream', {'model.view_weights.0', 'model.view_weights.1'}),
    ('nofeature', {'model.feature_weight'}),
    ('teacher1', {'model.teacher_steps'}),
    ('noplain', {'model.network.plain_weight'}),
    ('latetimes', {'model.network.time_range.0'}),
    ('evalteacher', {'model.evaluate'}),
])
def test_ablations_change_one_choice(child, keys):
    assert changed_keys(FULL, f'{FULL} --row {child}') == keys


@pytest.mark.parametrize('method', ['fixmatch', 'unimatch'])
def test_cutmix_can_be_switched_off(method):
    name = f'{method}_r50_voc_classic_183'
    assert changed_keys(name, f'{name} --row nocutmix') == _MIX | {'model.cutmix'}


@pytest.mark.parametrize('net', ['r50', 'r101'])
@pytest.mark.parametrize('data', ['voc_classic', 'voc_blender'])
def test_crop_321_changes_sizes_only(net, data):
    part = '183' if data == 'voc_classic' else '1_8'
    name = cell('unimatch', net, data, part, 'crop321')
    changed = changed_keys(name, cell('unimatch', net, data, part))
    assert changed and all(re.search(r'\.(crop_size|size)\.[01]$', k) for k in changed)
    for loader in load(name).train_dataloader.values():
        steps = {s.type: s for s in loader.dataset.pipeline}
        assert tuple(steps['RandomCrop'].crop_size) == tuple(steps['Pad'].size) == (321, 321)
