"""DeFT's configs: rates and decays of both stages, what each child changes, equal controls, the protocols."""
import inspect
from functools import cache

import numpy as np
import pytest

from mmseg_dg.registry import DATA_SAMPLERS, TRANSFORMS

from .catalog import LEAVES, build_on_meta, changed_keys, flat, load, parts_of, read, settings, with_options

NAMES = settings('deft')
#: recipe -> iterations of warm-up, of both stages, after which the warm-up's rate would be 0; rate and weight decay of
#: the warm-up, of decoupled finetuning (docs/behavior/deft.md#optimization). That the
#: paper's warm-up decays over its own length is our reading.
STAGES = {
    'gta': (8000, 48000, 8000, 1e-2, 5e-3, 1e-2, 5e-4),
    'cityscapes': (2000, 42000, 2000, 1e-2, 5e-3, 1e-2, 5e-4),
    'gta_released': (7740, 87740, 80000, 1e-2, 5e-3, 1e-2, 5e-4),
    'cityscapes_released': (1855, 81855, 80000, 1e-2, 1e-2, 2.5e-3, 1e-3),
}
RECIPES = {with_options(f'deft_r50_{recipe}', row): recipe for recipe in STAGES
           for row in (None, 'acc', 'r101', 'r101_acc')}


def specified(recipe, t):
    """(learning rate, weight decay) at iteration ``t``, from the table alone."""
    warmup, total, denominator, lr1, decay1, lr2, decay2 = STAGES[recipe]
    t = np.asarray(t, np.float64)
    first = lr1 * np.clip(1 - t / denominator, 0, None)**0.9
    second = lr2 * np.clip(1 - (t - warmup) / (total - warmup), 0, None)**0.9
    return np.where(t < warmup, first, second), np.where(t < warmup, decay1, decay2)


def build_schedule(name, model=None, options=None):
    """Optimizer and scheduler as a run has them once ``DecoderWarmupHook`` has told its length."""
    from mmseg_dg.registry import OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS
    cfg = load(name)
    cfg.merge_from_dict(options or {})
    model = build_on_meta(cfg.model) if model is None else model
    wrapper = cfg.optim_wrapper
    build = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(type=wrapper.pop('constructor'), optim_wrapper_cfg=wrapper,
                                                  paramwise_cfg=wrapper.pop('paramwise_cfg', None)))
    optimizer = build(model).optimizer
    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler[0], optimizer=optimizer,
                                            total=cfg.train_cfg.max_iters))
    scheduler.bind_warmup(cfg.model.warmup_iters)
    return model, optimizer, scheduler


@cache
def _network():
    return build_on_meta(load('deft_r50_gta').model)


@pytest.fixture
def network():
    return _network()


@pytest.mark.filterwarnings('ignore:Detected call of `scheduler.step')
@pytest.mark.parametrize('recipe', sorted(STAGES))
def test_every_iteration_of_both_stages(recipe, network):
    """Rate and decay of every group, by stepping the scheduler as training does."""
    _, optimizer, scheduler = build_schedule(f'deft_r50_{recipe}', network)
    total = STAGES[recipe][1]
    found = np.empty((total, len(optimizer.param_groups), 2))
    for t in range(total):
        found[t] = [(group['lr'], group['weight_decay']) for group in optimizer.param_groups]
        scheduler.step()
    rates, decays = specified(recipe, np.arange(total))
    for group in range(len(optimizer.param_groups)):
        np.testing.assert_allclose(found[:, group, 0], rates, rtol=1e-12, atol=1e-20)
        np.testing.assert_array_equal(found[:, group, 1], decays)


def test_a_grid_over_rates_reaches_training(network, tmp_path):
    """Rate and decay written for the optimizer are what both stages train with, for the method and its control."""
    from mmengine import DictAction

    from mmseg_dg.apis.study import Study
    grid = {'optim_wrapper.optimizer.lr': ['0.001', '0.02'], 'optim_wrapper.optimizer.weight_decay': ['0.001']}
    study = Study(str(LEAVES['deft_r50_gta']), tmp_path, seeds=[0], grid=grid)
    found = []
    for run in study.runs():
        options = dict(pair.split('=') for pair in run.options)
        options = {key: DictAction._parse_iterable(value) for key, value in options.items()}
        _, optimizer, scheduler = build_schedule('deft_r50_gta', network, options)
        lr, decay = options['optim_wrapper.optimizer.lr'], options['optim_wrapper.optimizer.weight_decay']
        for index in range(len(optimizer.param_groups)):
            assert scheduler.group_at(index, 0) == pytest.approx((lr, 10 * decay))
            assert scheduler.group_at(index, 8000) == pytest.approx((lr, decay))
            assert optimizer.param_groups[index]['lr'] == pytest.approx(lr)
        found.append(scheduler.group_at(0, 20000)[0])
    assert len(found) == 2 and found[1] == pytest.approx(20 * found[0])


def test_groups_are_encoder_and_decoder(network):
    """One optimizer with E_a and D_a, everything else frozen."""
    model, optimizer, _ = build_schedule('deft_r50_gta', network)
    names = {id(p): n for n, p in model.named_parameters()}
    for group in optimizer.param_groups:
        part = dict(encoder='student.backbone.', decoder='student.decode_head.')[group['component']]
        assert all(names[id(p)].startswith(part) for p in group['params'])
        assert group['momentum'] == 0.9 and not group['nesterov']
    assert [g['component'] for g in optimizer.param_groups] == ['encoder', 'decoder']
    trained = sum(len(g['params']) for g in optimizer.param_groups)
    assert trained == sum(p.requires_grad for p in model.parameters()) == len(list(model.student.parameters()))


@pytest.mark.parametrize('name', sorted(RECIPES))
def test_stages_of_every_main_config(name):
    recipe = RECIPES[name]
    cfg = load(name)
    warmup, total = STAGES[recipe][:2]
    assert (cfg.model.warmup_iters, cfg.train_cfg.max_iters) == (warmup, total)
    assert flat(cfg.param_scheduler[0]) == flat(load(f'deft_r50_{recipe}').param_scheduler[0])
    assert cfg.optim_wrapper == load(f'deft_r50_{recipe}').optim_wrapper
    assert cfg.train_dataloader.source.batch_size == 4
    gpus = {'gta': 4, 'cityscapes': 2}[recipe.split('_')[0]]
    assert cfg.auto_scale_lr.base_batch_size == 4 * gpus
    assert cfg.train_cfg.get('accumulate', 1) == (gpus if name.endswith('acc') else 1)


def test_transformers_restart_their_rates():
    """AdamW: the head at ten times the rate, norms without decay, one poly per stage."""
    _, optimizer, scheduler = build_schedule('deft_daformer_mitb5_gta')
    kinds = {(g['component'], round(g['initial_lr'], 8), g['weight_decay']) for g in optimizer.param_groups}
    assert kinds == {('encoder', 6e-5, 0.01), ('encoder', 6e-5, 0.0), ('decoder', 6e-4, 0.01)}
    for base in (6e-5, 6e-4):
        for t in (0, 1, 7999):
            assert scheduler.value_at(base, t) == pytest.approx(base * (1 - t / 8000)**0.9, rel=1e-12)
        for t in (8000, 8001, 28000, 47999):
            assert scheduler.value_at(base, t) == pytest.approx(base * (1 - (t - 8000) / 40000)**0.9, rel=1e-12)


# ---------------------------------------------------------------- what a child changes
HOOK = 'custom_hooks.1.'
SAMPLER = {f'train_dataloader.source.sampler.{k}' for k in ('type', 'shuffle', 'fraction', 'tile')}
STYLE = {'model.style_augmentation.' + k for k in ('type', 'mean.0', 'mean.1', 'std.0', 'std.1', 'noise')}
ABLATIONS = {
    'beta0': {HOOK + 'beta'}, 'beta0.999': {HOOK + 'beta'}, 'beta0.99999': {HOOK + 'beta'}, 'beta1': {HOOK + 'beta'},
    'fixed_encoder': {HOOK + k for k in ('beta', 'beta.encoder', 'beta.decoder')},
    'fixed_decoder': {HOOK + k for k in ('beta', 'beta.encoder', 'beta.decoder')},
    'debias': {HOOK + 'debias'},
    'bn_own': {HOOK + 'buffers'}, 'bn_copy': {HOOK + 'buffers'}, 'bn_average': {HOOK + 'buffers'},
    'bn_reestimate': {'custom_hooks.2.' + k for k in ('type', 'batches', 'parts.0')},
    'nowarmup': {'model.warmup_iters', 'train_cfg.max_iters'},
    'adaptive': {'model.evaluate'}, 'encoder_adaptive': {'model.evaluate'}, 'decoder_adaptive': {'model.evaluate'},
    'style': STYLE, 'classuniform': SAMPLER,
    'distance0.0001': {'model.distance.weight_encoder', 'model.distance.weight_decoder'},
    'distance0.001': {'model.distance.weight_encoder', 'model.distance.weight_decoder'},
    'distance0.01': {'model.distance.weight_encoder', 'model.distance.weight_decoder'},
    'acc': {'train_cfg.accumulate'},
}


@pytest.mark.parametrize('child', sorted(ABLATIONS))
def test_one_part_is_changed(child):
    assert changed_keys('deft_r50_gta', f'deft_r50_gta --row {child}') == ABLATIONS[child]


def test_every_child_is_tested_here():
    children = {parts_of(n)[1] for n in NAMES if n.startswith('deft_r50_gta --row ')}
    assert children == set(ABLATIONS) | {'r101', 'r101_acc'}


@pytest.mark.parametrize('child, beta', [('beta0', 0.), ('beta0.999', 0.999), ('beta0.99999', 0.99999), ('beta1', 1.)])
def test_betas(child, beta):
    assert load(f'deft_r50_gta --row {child}').custom_hooks[1].beta == beta


@pytest.mark.parametrize('source', ['gta', 'cityscapes'])
def test_released_recipe(source):
    """Style, sampling, lengths, rates and decays, the padding of Mapillary with its note, which domain is validated
    while training, and how often; nothing else."""
    changed = changed_keys(f'deft_r50_{source}', f'deft_r50_{source}_released')
    allowed = SAMPLER | STYLE | {'model.warmup_iters', 'train_cfg.max_iters', 'optim_wrapper.optimizer.weight_decay',
                                 'optim_wrapper.optimizer.lr'}
    prefixes = ('param_scheduler.0.', 'study.', 'val_cfg.protocols.mapillary.note',
                'test_cfg.protocols.mapillary.note', 'train_cfg.val_', 'train_dataloader.source.sampler.tiles',
                'train_dataloader.source.dataset.pipeline.3.place')
    prefixes += tuple(f'val_{part}{domain}.' for part in ('dataloader.', 'evaluator.', 'cfg.protocols.')
                      for domain in {'cityscapes', 'bdd100k', 'mapillary', 'gta', 'synthia'} - {source})
    frame = {'test_dataloader.mapillary.dataset.pipeline.3.pad_val.seg'}
    assert frame <= changed
    assert not [k for k in changed - allowed - frame if not k.startswith(prefixes)]
    assert load(f'deft_r50_{source}_released').test_dataloader.mapillary.dataset.pipeline[3].pad_val.seg == 0


def test_released_selection_and_sampling():
    """Read in the published scripts: complete tiles, clamped crops, the source's best score once per epoch."""
    names = [n for n in NAMES if 'released' in n]
    assert len(names) == 12
    for name in names:
        check_selection_and_sampling(name, read(name))


def check_selection_and_sampling(name, cfg):
    source, images, total_batch, warmup = ('gta', 12388, 16, 10) if '_gta' in name else ('cityscapes', 2975, 8, 5)
    assert dict(cfg.train_dataloader.source.sampler) == dict(type='ClassUniformSampler', fraction=0.5, tile=1024,
                                                             tiles='complete')
    crop, = [step for step in cfg.train_dataloader.source.dataset.pipeline if step.type == 'CentroidCrop']
    assert crop.place == 'clamped'
    epoch = images // total_batch
    assert (epoch, cfg.train_cfg.val_interval) in ((774, 774), (371, 371))
    assert list(cfg.val_dataloader) == list(cfg.val_evaluator) == list(cfg.val_cfg.protocols) == [source]
    first = cfg.train_cfg.val_begin
    assert first == warmup * epoch + 1, 'no candidate of the decoder warm-up'
    candidates = [t for t in range(first, cfg.train_cfg.max_iters + 1) if t % epoch == 0]
    assert len(candidates) == {'gta': 103, 'cityscapes': 215}[source]


def test_ours_has_names_too():
    """Without the suffix: every tile, and a uniform place (the defaults of the arguments)."""
    cfg = load('deft_r50_gta --row classuniform')
    assert 'tiles' not in cfg.train_dataloader.source.sampler
    sampler = DATA_SAMPLERS.get('ClassUniformSampler')
    assert inspect.signature(sampler).parameters['tiles'].default == 'all'
    crop, = [step for step in cfg.train_dataloader.source.dataset.pipeline if step.type == 'CentroidCrop']
    assert TRANSFORMS.build(crop).place == 'uniform'


@pytest.mark.parametrize('name', [n for n in NAMES if n.startswith('joint_')])
def test_controls_differ_in_the_method_only(name):
    config, row, _ = parts_of(name.replace('joint', 'deft'))
    if row is not None and row.endswith('released'):  # a config of its own on DeFT's side
        config, row = f'{config}_released', row.removesuffix('released').rstrip('_')
    ours, theirs = read(name), read(with_options(config, None if row in ('40k', 'warmup') else row))
    for key in ('train_dataloader', 'val_dataloader', 'val_evaluator', 'val_cfg', 'auto_scale_lr', 'sync_bn'):
        assert ours[key] == theirs[key], key
    assert ours.model.network == theirs.model.network
    assert ours.model.get('style_augmentation') == theirs.model.get('style_augmentation')
    assert ours.train_cfg.max_iters == (40000 if name.endswith(' 40k') else theirs.train_cfg.max_iters)
    assert ours.optim_wrapper == theirs.optim_wrapper, 'rate and decay of the second stage'
    assert 'finetune' not in theirs.param_scheduler[0], 'which has no factors'
    assert ours.param_scheduler[0].get('power') == 0.9


# ---------------------------------------------------------------- where they are judged
def test_domains():
    for name in NAMES:
        check_domains(name, read(name))


def check_domains(name, cfg):
    source = 'cityscapes' if '_cityscapes' in name else 'gta'
    domains = list(cfg.test_dataloader)
    assert set(domains) == {'cityscapes', 'bdd100k', 'mapillary', 'gta', 'synthia'} and domains[-1] == source
    for loop in (cfg.test_cfg, ) if 'released' in name else (cfg.val_cfg, cfg.test_cfg):
        roles = {domain: protocol.role for domain, protocol in loop.protocols.items()}
        assert roles == {domain: 'source' if domain == source else 'target' for domain in domains}
    assert cfg.default_hooks.checkpoint.save_best == f'{source}/mIoU', 'targets must not choose'
    assert list(cfg.test_evaluator) == domains
    assert cfg.test_evaluator.synthia[1].classes_subset == 'synthia16'
    kinds = [step.type for step in cfg.test_dataloader.mapillary.dataset.pipeline]
    assert kinds == ['LoadImageFromFile', 'LoadAnnotations', 'ResizeToHeight', 'CenterCropPad', 'PackSegInputs']
    assert cfg.test_dataloader.mapillary.dataset.pipeline[2].height == 1536
    assert cfg.model.network.test_cfg.mode == 'whole'


def test_ignored_pixels_leave_the_mean():
    """docs/behavior/deft.md#step-7-loss: the mean over non-ignored pixels, no auxiliary head."""
    for name in NAMES:
        network = read(name).model.network
        assert network.decode_head.loss_decode.avg_non_ignore is True, name
        assert 'auxiliary_head' not in network, name


def test_bench_keeps_the_share_of_the_initialization():
    """0.9999 over 40 000 iterations, in 1700; and both sides have the same budget."""
    deft, joint = load('bench_deft_mobilenetv2'), load('bench_joint_mobilenetv2')
    steps = deft.train_cfg.max_iters - deft.model.warmup_iters
    assert steps == 1700 and joint.train_cfg.max_iters == 2000
    assert deft.custom_hooks[1].beta**steps == pytest.approx(0.9999**40000, rel=1e-2)
    assert deft.model.network == joint.model.network and deft.train_dataloader == joint.train_dataloader
    assert changed_keys('bench_deft_mobilenetv2', 'bench_deft_mobilenetv2 --row beta0.9999') == {HOOK + 'beta'}
    targets = [d for d, p in deft.val_cfg.protocols.items() if p.role == 'target']
    assert targets == ['camvid_day', 'camvid_dusk', 'synthcity_night', 'synthcity_fog', 'synthcity_rain']
