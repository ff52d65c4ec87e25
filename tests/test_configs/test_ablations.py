"""An ablation differs from what it is compared with in the ablated part and in nothing else."""
import pytest

from .catalog import LEAVES, changed_keys, load

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
    ('alpha099', {'custom_hooks.0.beta'}),
    ('nomargins', {'model.ignore_top', 'model.ignore_bottom'}),
])
def test_one_part_of_the_full_method(child, keys):
    assert changed_keys(FULL, f'{FULL}_{child}') == keys


@pytest.mark.parametrize('net', ['segformer_mitb5', 'deeplabv2_r101'])
def test_strategies_build_on_each_other(net):
    base = f'dacs_{net}_gta2cityscapes'
    assert changed_keys(base, f'{base}_rcs') == SAMPLER
    assert changed_keys(f'{base}_rcs', f'{base}_rcs_tinf') == {'train_dataloader.source.sampler.temperature'}
    own = DISTANCE - {'model.feature_distance', 'model.feature_distance.classes'}
    assert changed_keys(base, f'{base}_fd') == own | THINGS
    assert changed_keys(base, f'{base}_fd_all') == DISTANCE - {'model.feature_distance'}
    assert changed_keys(f'{base}_fd', f'{base}_rcs_fd') == SAMPLER
    last = {'custom_hooks.0.beta', 'model.ignore_top', 'model.ignore_bottom',
            *(f'model.margins_of.{i}' for i in range(3))}
    assert changed_keys(f'{base}_rcs_fd', f'daformer_{net}_gta2cityscapes') == last


@pytest.mark.parametrize('net', ['segformer_mitb5', 'deeplabv2_r101'])
@pytest.mark.parametrize('kind', ['dacs_{}_gta2cityscapes', 'target_only_{}_cityscapes'])
def test_warmup_ablation(kind, net):
    name = kind.format(net)
    schedule = {f'param_scheduler.0.{k}' for k in ('warmup_iters', 'warmup_ratio', 'min_lr')}
    changed = changed_keys(name, f'{name}_nowarmup')
    assert {k for k in changed if not k.startswith('study.')} == schedule
    assert changed - schedule, 'one seed instead of three'


DECODERS = ['conv1x1', 'upernet', 'upernet256', 'isa', 'context_f4', 'aspp', 'segformer']


@pytest.mark.parametrize('decoder', DECODERS)
def test_decoders_change_the_network_only(decoder):
    changed = changed_keys(FULL, f'daformer_{decoder}_mitb5_gta2cityscapes')
    assert changed and all(k.startswith(('model.network.decode_head.', 'model.network.neck.')) for k in changed)
    oracle = changed_keys('target_only_daformer_mitb5_cityscapes', f'target_only_{decoder}_mitb5_cityscapes')
    assert oracle == changed


@pytest.mark.parametrize('name', sorted(n for n in LEAVES if n.startswith('dacs_') and n.endswith('_gta2cityscapes')))
def test_controls_share_network_and_schedule(name):
    """Source-only, DACS and target-only of one network train the same thing for the same time."""
    net = name[len('dacs_'):-len('_gta2cityscapes')]
    cfg = load(name)
    for control in (f'source_only_{net}_gta2cityscapes', f'target_only_{net}_cityscapes'):
        if control not in LEAVES:
            continue
        other = load(control)
        assert other.model.network == cfg.model.network
        for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'val_evaluator'):
            assert other[key] == cfg[key], f'{control}: {key}'


@pytest.mark.parametrize('setting', ['gta2cityscapes', 'synthia2cityscapes', 'cityscapes2acdc',
                                     'cityscapes2darkzurich'])
def test_settings_differ_in_data_only(setting):
    changed = changed_keys(FULL, f'daformer_mitb5_{setting}')
    allowed = ('train_dataloader.', 'val_dataloader.', 'test_dataloader.', 'val_evaluator.', 'test_evaluator.')
    assert all(k.startswith(allowed) for k in changed)
    control = changed_keys(f'daformer_mitb5_{setting}', f'source_only_daformer_mitb5_{setting}')
    assert not [k for k in control if k.startswith(('model.network', 'optim_wrapper', 'param_scheduler', 'train_cfg',
                                                    'val_dataloader', 'val_evaluator'))]


def test_benchmark_runs_are_comparable():
    for net in ('mobilenetv2', 'mitb0_scratch'):
        full = load(f'bench_daformer_{net}')
        for kind in ('source_only', 'target_only'):
            other = load(f'bench_{kind}_{net}')
            assert other.model.network == full.model.network
            for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'val_evaluator'):
                assert other[key] == full[key]
    assert load('bench_daformer_mitb0_scratch').model.feature_distance is None, 'its encoder is random'


def test_benchmark_label_map_is_that_of_the_data(shared):
    import json
    table = json.loads((shared / 'data' / 'classes.json').read_text())
    evaluator = load('bench_daformer_mobilenetv2').val_evaluator
    assert list(evaluator.label_map) == table['trainid_to_11']
    assert list(evaluator.scored_classes) == table['classes11']
