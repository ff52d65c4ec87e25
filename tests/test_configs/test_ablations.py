"""An ablation differs from what it is compared with in the ablated part and in nothing else."""
import pytest

from .catalog import ROWS, changed_keys, load, parts_of, read, settings, with_options

FULL = 'daformer_mitb5_gta2cityscapes'
SAMPLER = {'train_dataloader.source.sampler.' + k for k in ('type', 'temperature', 'min_pixels', 'shuffle')}
DISTANCE = {'model.feature_distance', 'model.feature_distance.weight', 'model.feature_distance.min_ratio',
            'model.feature_distance.scale', 'model.feature_distance.classes'}
THINGS = {f'model.feature_distance.classes.{i}' for i in range(10)}


@pytest.mark.parametrize('child, keys', [
    ('nowarmup', {'param_scheduler.0.warmup_iters', 'param_scheduler.0.warmup_ratio'}),
    ('norcs', SAMPLER),
    ('rcs_tinf', {'train_dataloader.source.sampler.temperature'}),
    ('nofd', (DISTANCE - {'model.feature_distance.classes'}) | THINGS),
    ('fd_all', THINGS | {'model.feature_distance.classes'}),
    ('alpha0.99', {'custom_hooks.0.beta'}),
    ('nomargins', {'model.ignore_top', 'model.ignore_bottom'}),
])
def test_one_part_of_the_full_method(child, keys):
    assert changed_keys(FULL, f'{FULL} --row {child}') == keys


@pytest.mark.parametrize('net', ['segformer_mitb5', 'deeplabv2_r101'])
def test_strategies_build_on_each_other(net):
    base = f'dacs_{net}_gta2cityscapes'
    row = f'{base} --row '
    assert changed_keys(base, f'{row}rcs') == SAMPLER
    assert changed_keys(f'{row}rcs', f'{row}rcs_tinf') == {'train_dataloader.source.sampler.temperature'}
    own = DISTANCE - {'model.feature_distance', 'model.feature_distance.classes'}
    assert changed_keys(base, f'{row}fd') == own | THINGS
    assert changed_keys(base, f'{row}fd_all') == DISTANCE - {'model.feature_distance'}
    assert changed_keys(f'{row}fd', f'{row}rcs_fd') == SAMPLER
    last = {'custom_hooks.0.beta', 'model.ignore_top', 'model.ignore_bottom',
            *(f'model.margins_of.{i}' for i in range(3))}
    full = f'{FULL} --row segformer' if net == 'segformer_mitb5' else f'daformer_{net}_gta2cityscapes'
    assert changed_keys(f'{row}rcs_fd', full) == last


@pytest.mark.parametrize('net', ['segformer_mitb5', 'deeplabv2_r101'])
@pytest.mark.parametrize('kind', ['dacs_{}_gta2cityscapes', 'target_only_{}_cityscapes'])
def test_warmup_ablation(kind, net):
    name = kind.format(net)
    schedule = {f'param_scheduler.0.{k}' for k in ('warmup_iters', 'warmup_ratio', 'min_lr')}
    changed = changed_keys(name, f'{name} --row nowarmup')
    assert {k for k in changed if not k.startswith('study.')} == schedule
    assert changed - schedule, 'one seed instead of three'


DECODERS = ['conv1x1', 'upernet', 'upernet256', 'isa', 'context_f4', 'aspp', 'segformer']


@pytest.mark.parametrize('decoder', DECODERS)
def test_decoders_change_the_network_only(decoder):
    changed = changed_keys(FULL, f'{FULL} --row {decoder}')
    assert changed and all(k.startswith(('model.network.decode_head.', 'model.network.neck.')) for k in changed)
    control = 'target_only_daformer_mitb5_cityscapes'
    if decoder != 'segformer':  # the oracle of that network is a config of its own
        assert changed_keys(control, f'{control} --row {decoder}') == changed


NETWORKS = {'4branch', 'danet', 'deeplabv3plus', 'isanet', 'mitb3', 'mitb4', 'r50', 's50', 's101', 's200', 'segformer'}


@pytest.mark.parametrize('net', ['segformer_mitb5', 'deeplabv2_r101'])
def test_controls_share_network_and_schedule(net):
    """Source-only, DACS and target-only of one network train the same thing for the same time."""
    base, compared = f'dacs_{net}_gta2cityscapes', 0
    for name in [base, *(name for name in settings('daformer') if name.startswith(f'{base} --row '))]:
        row = parts_of(name)[1]
        for control in (f'source_only_{net}_gta2cityscapes', f'target_only_{net}_cityscapes'):
            control = with_options(control, row)
            if row is None or row in NETWORKS and control in ROWS:
                compared += 1
                check_control(read(name), read(control), control)
    assert compared == dict(segformer_mitb5=7, deeplabv2_r101=17)[net]


def check_control(cfg, other, control):
    assert other.model.network == cfg.model.network
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'val_evaluator'):
        assert other[key] == cfg[key], f'{control}: {key}'


@pytest.mark.parametrize('setting', ['gta2cityscapes', 'synthia2cityscapes', 'cityscapes2acdc',
                                     'cityscapes2darkzurich'])
def test_settings_differ_in_data_only(setting):
    changed = changed_keys(FULL, f'daformer_mitb5_{setting}')
    allowed = ('train_dataloader.', 'val_dataloader.', 'test_dataloader.', 'val_evaluator.', 'test_evaluator.')
    assert all(k.startswith(allowed) for k in changed)
    source_only = with_options(
        'source_only_daformer_mitb5_gta2cityscapes', None if setting == 'gta2cityscapes' else setting)
    control = changed_keys(f'daformer_mitb5_{setting}', source_only)
    assert not [k for k in control if k.startswith(('model.network', 'optim_wrapper', 'param_scheduler', 'train_cfg',
                                                    'val_dataloader', 'val_evaluator'))]


def test_benchmark_runs_are_comparable():
    for row in (None, 'mitb0_scratch'):
        full = load(with_options('bench_daformer_mobilenetv2', row))
        for kind in ('source_only', 'target_only'):
            other = load(with_options(f'bench_{kind}_mobilenetv2', row))
            assert other.model.network == full.model.network
            for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'val_evaluator'):
                assert other[key] == full[key]
    random = load('bench_daformer_mobilenetv2 --row mitb0_scratch')
    assert random.model.feature_distance is None, 'its encoder is random'


def test_benchmark_label_map_is_that_of_the_data(shared):
    import json
    table = json.loads((shared / 'data' / 'classes.json').read_text())
    evaluator = load('bench_daformer_mobilenetv2').val_evaluator
    assert list(evaluator.label_map) == table['trainid_to_11']
    assert list(evaluator.scored_classes) == table['classes11']
