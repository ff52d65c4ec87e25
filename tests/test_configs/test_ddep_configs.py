"""DDeP: the paper's numbers, controls that differ in one line, rates, lengths, run counts, held-out selection."""
import math
import re

import numpy as np
import pytest
import torch

from mmseg_dg.datasets.splits.protocols import PROTOCOLS
from mmseg_dg.registry import PARAM_SCHEDULERS

from .catalog import ROWS, build_on_meta, changed_keys, load, parts_of, settings, with_options
from .test_schedules import build_optim_wrapper

NAMES = settings('ddep')
_SHARES = r'(_full|_1_30|_percent_5)(_sweep)?$'
FINETUNING = [n for n in NAMES if re.search(_SHARES, parts_of(n)[0])]
PRETRAINING = [n for n in NAMES if n not in FINETUNING]
CONTROLS = [n for n in FINETUNING if n.endswith('random_decoder')]
#: The paper: how many runs at which share of the labels.
RUNS = {'cityscapes': {'1_30': 10, '1_8': 6, '1_4': 4, 'full': 10},
        **{d: {'percent_1': 10, 'percent_5': 10, 'percent_10': 10, 'percent_20': 5, 'full': 10}
           for d in ('pascal_context', 'ade20k')}}
WIDTHS = {'cityscapes': (1, 2), 'pascal_context': (1, 3), 'ade20k': (1, 3)}
TABLE = [(d, w, p) for d, parts in RUNS.items() for w in WIDTHS[d] for p in parts]
PRE = 'ddep_transunet_1x_imagenet21k'


def denoised(control):
    config, row, _ = parts_of(control)
    return with_options(config, row.removesuffix('random_decoder').rstrip('_'))


def finetuning(data, width, part, control=False):
    """The setting of one cell of the paper's table."""
    home = dict(cityscapes='1_30').get(data, 'percent_5')
    rows = ['classes60'] * data.endswith('60') + [f'{width}x'] * (width > 1) + ['random_decoder'] * control
    config = f'ddep_transunet_1x_{data.removesuffix("60")}_{"full" if part == "full" else home}'
    return with_options(config, '_'.join(rows), None if part in ('full', home) else part)


def test_every_row_of_the_paper_has_a_setting():
    wanted = {finetuning(d, w, p, control) for d, w, p in TABLE for control in (False, True)}
    assert len(wanted) == 2 * len(TABLE) and wanted <= set(settings('ddep', subsets=True))
    assert {denoised(n) for n in CONTROLS} == set(FINETUNING) - set(CONTROLS), 'every finetuning has its control'


def test_the_controls_differ_in_one_line():
    for name in CONTROLS:
        keys = {'model.init_cfg', 'model.init_cfg.type', 'model.init_cfg.checkpoint'}
        assert changed_keys(name, denoised(name)) == keys, name
        row = ROWS[name]
        assert row.overrides == {'model.init_cfg': None} or row.base_rows[-1] == 'random_decoder', name


def cosine(base, t, total):
    """The paper: cosine decay, here to 0 and without warm-up; independent of the scheduler's code."""
    return base * np.cos(np.pi * np.asarray(t) / (2 * total))**2


def check_cosine(name, base, total):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    scheduler = PARAM_SCHEDULERS.build(dict(*load(name).param_scheduler, optimizer=optimizer, total=total))
    points = np.unique(np.linspace(0, total, 500).astype(int))
    ours = [scheduler.value_at(base, int(t)) for t in points]
    np.testing.assert_allclose(ours, cosine(base, points, total), rtol=1e-9, atol=base * 1e-12)


@pytest.mark.parametrize('name', PRETRAINING)
def test_pretraining_recipe(name):
    """The paper: batch 512, 100 epochs, Adam, 224 x 224, 6e-5 for widths 1 and 3, 1e-4 for width 2."""
    cfg = load(name)
    width = re.search(' (2|3)x', name)
    assert cfg.optim_wrapper.optimizer.type == 'Adam' and cfg.optim_wrapper.optimizer.weight_decay == 0
    assert cfg.optim_wrapper.optimizer.lr == (1e-4 if width and width.group(1) == '2' else 6e-5)
    accumulate = cfg.train_cfg.get('accumulate', 1)
    assert cfg.train_dataloader.images.batch_size * accumulate == 512
    assert (accumulate, cfg.train_dataloader.images.batch_size) in ((1, 512), (8, 64))
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.epoch_stream) == (100, 'images')
    for loader in (*cfg.train_dataloader.values(), *cfg.val_dataloader.values()):
        crop, = [s.crop_size for s in loader.dataset.pipeline if 'crop_size' in s]
        assert tuple(crop) == (224, 224)
        assert not [s for s in loader.dataset.pipeline if 'Annotations' in s.type], 'no label is read'
    head = cfg.model.network.decode_head
    if head.type == 'TransUNetHead':
        assert head.width_multiplier == (int(width.group(1)) if width else 1)
        assert cfg.model.encoder_norm is None, 'the hybrid encoder takes [-1, 1]'
    else:
        assert cfg.model.encoder_norm.std == [58.395, 57.12, 57.375]
    assert cfg.model.data_preprocessor.mean == cfg.model.data_preprocessor.std == [127.5] * 3


def test_pretraining_schedule():
    total = 100 * (1_281_167 // 512)  # ImageNet-1k
    check_cosine('ddep_transunet_1x_imagenet1k', 6e-5, total)
    wrapper, model = build_optim_wrapper(PRE)
    trained = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    names = {n for n, p in model.named_parameters() if id(p) in trained}
    assert names and all(n.startswith(('student.decode_head.', 'noise_head.')) for n in names), 'the encoder is frozen'
    assert len(names) == sum(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize('child, keys', [
    *[(f'sigma{k}', {'model.noise.sigma'}) for k in (0.05, 0.1, 0.4, 0.8)],
    ('sigma0.2to0.3', {'model.noise.sigma', 'model.noise.sigma.0', 'model.noise.sigma.1'}),
    ('simple', {'model.noise.form'}),
    ('image', {'model.target'}),
    ('unfrozen', {'model.train_encoder'}),
    ('dep', {'model.train_encoder', 'model.network.backbone.init_cfg', 'model.network.backbone.init_cfg.type',
             'model.network.backbone.init_cfg.checkpoint'}),
    ('acc8', {'train_dataloader.images.batch_size', 'train_cfg.accumulate'}),
])
def test_ablations_change_one_choice(child, keys):
    assert changed_keys(PRE, f'{PRE} --row {child}') == keys


def test_defaults_are_the_papers():
    model = load(PRE).model
    assert (model.noise.form, model.noise.sigma, model.target, model.train_encoder) == ('scaled', 0.22, 'noise', False)
    assert 10 * math.log10(4 / 0.22**2) == pytest.approx(19.2, abs=0.05), 'PSNR of the noisy image in docstrings'


@pytest.mark.parametrize('data, width, part', TABLE)
def test_finetuning_recipe(data, width, part):
    """The paper: Adam, cosine, crop and flip; steps and batch are ours."""
    name = finetuning(data, width, part)
    cfg = load(name)
    total = 20_000 if part != 'full' else 80_000 if data == 'ade20k' else 40_000
    assert (cfg.train_cfg.max_iters, cfg.train_dataloader.labeled.batch_size) == (total, 16)
    assert cfg.optim_wrapper.optimizer.type == 'Adam' and not cfg.optim_wrapper.paramwise_cfg
    assert 1e-5 <= cfg.optim_wrapper.optimizer.lr <= 3e-4 and 1e-5 <= cfg.optim_wrapper.optimizer.weight_decay <= 3e-4
    crop = 1024 if data == 'cityscapes' else 512
    steps = {s.type: s for s in cfg.train_dataloader.labeled.dataset.pipeline if s.type != 'Pad'}
    assert list(steps) == ['LoadImageFromFile', 'LoadAnnotations', 'RandomCrop', 'RandomFlip', 'PackStreamInputs']
    assert tuple(steps['RandomCrop'].crop_size) == (crop, crop)
    assert cfg.model.network.decode_head.width_multiplier == width
    assert cfg.model.init_cfg == dict(type='PretrainedDenoiser', checkpoint=f'denoisers/transunet_{width}x.pth')
    runs = RUNS[data][part]
    if part == 'full':
        assert cfg.study == dict(seeds=list(range(runs)))
    else:
        assert cfg.train_dataloader.labeled.dataset.ann_file == f'splits/{part}/labeled.txt'
        assert part in PROTOCOLS[data]
        assert cfg.study == dict(seeds=[0], subsets=[part] + [f'{part}_seed{i}' for i in range(1, runs)])


def test_finetuning_schedule():
    for name, total in ((finetuning('cityscapes', 1, '1_30'), 20_000), (finetuning('ade20k', 3, 'full'), 80_000)):
        check_cosine(name, load(name).optim_wrapper.optimizer.lr, total)
    wrapper, model = build_optim_wrapper('ddep_transunet_1x_cityscapes_1_30')
    group, = wrapper.optimizer.param_groups
    assert len(group['params']) == len(list(model.parameters())), 'encoder and decoder are finetuned together'


def test_other_recipes_change_one_choice():
    for base in ('ddep_transunet_1x_cityscapes_1_30', 'ddep_transunet_1x_pascal_context_percent_5'):
        assert changed_keys(base, f'{base} --row adamw') == {'optim_wrapper.optimizer.type'}
        warmup = {f'param_scheduler.0.{key}' for key in ('warmup_iters', 'warmup_ratio')}
        assert changed_keys(base, f'{base} --row warmup') == warmup
        kinds = [[s.type for s in load(n).train_dataloader.labeled.dataset.pipeline]
                 for n in (base, f'{base} --row jitter')]
        rest = list(kinds[1])
        rest.remove('RandomRescale')
        assert [k for k in rest if k != 'Pad'] == [k for k in kinds[0] if k != 'Pad'] and 'Pad' in rest
        assert kinds[1].index('RandomRescale') < kinds[1].index('Pad') < kinds[1].index('RandomCrop')


@pytest.mark.parametrize('data, part', [
    ('cityscapes', '1_30'), ('pascal_context', 'percent_5'), ('ade20k', 'percent_5')])
def test_sweeps_choose_on_held_out_labels(data, part):
    name = f'ddep_transunet_1x_{data}_{part}'
    cfg, plain = load(f'{name}_sweep'), load(name)
    train, held_out = cfg.train_dataloader.labeled.dataset, cfg.val_dataloader[data].dataset
    assert held_out.ann_file == train.ann_file and held_out.data_prefix == train.data_prefix
    assert plain.val_dataloader[data].dataset.data_prefix != train.data_prefix or data == 'pascal_context'
    count = PROTOCOLS[data][part].labeled
    assert sorted([*train.indices, *held_out.indices]) == list(range(count))
    assert len(held_out.indices) == -(-count // 5)
    values = [1e-5, 3e-5, 1e-4, 3e-4]
    assert cfg.study == dict(seeds=[0], grid={'optim_wrapper.optimizer.lr': values,
                                              'optim_wrapper.optimizer.weight_decay': values})


def test_evaluation():
    """Two halves of Cityscapes with flip, six scales with flip elsewhere (with --tta); without it one whole view."""
    cfg = load('ddep_transunet_1x_cityscapes_full')
    assert cfg.model.network.test_cfg == dict(mode='slide', crop_size=(1024, 1024), stride=(1024, 1024))
    assert [s.scale_factor for s in cfg.tta_pipeline[-1].transforms[0]] == [1.0]
    for data in ('pascal_context', 'ade20k', 'pascal_context60'):
        cfg = load(finetuning(data, 1, 'full'))
        assert cfg.model.network.test_cfg == dict(mode='whole')
        assert [s.scale_factor for s in cfg.tta_pipeline[-1].transforms[0]] == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
        assert [s.prob for s in cfg.tta_pipeline[-1].transforms[1]] == [0., 1.]
    assert load('ddep_transunet_1x_pascal_context_full').model.network.decode_head.num_classes == 59


@pytest.mark.parametrize('width', [1, 2, 3])
def test_pretrained_decoders_fit_the_finetuned_network(width):
    """Names and shapes of a pretraining's decoder are those of the finetuning, classifier aside."""
    data = 'cityscapes' if width < 3 else 'ade20k'
    ours = build_on_meta(load(finetuning(data, width, 'full')).model).student.decode_head.state_dict()
    pretraining = load(with_options(PRE, f'{width}x' if width > 1 else None))
    theirs = build_on_meta(pretraining.model).student.decode_head.state_dict()
    assert {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items() if 'conv_seg' not in k}
    assert theirs['bottleneck.conv.weight'].shape[0] == 1024 * width
