"""PiXL's configs: one recipe, controls that differ in one line, ablations that differ in the ablated point."""
import re
from fractions import Fraction

import pytest

from .catalog import LEAVES, ROWS, changed_keys, docstring, flat, load, parts_of, read, row_of, settings, with_options
from .test_schedules import build_optim_wrapper, build_scheduler

NAMES = settings('pixl')
NETS = {'mitb5': 'MixTransformer', 'deeplabv3plus_r101': 'ResNetV1c'}
UDA = ('gta2cityscapes', 'synthia2cityscapes')
SEMI = ('cityscapes_1_30', 'cityscapes_1_8', 'cityscapes_1_4')
SETTINGS = (*UDA, *SEMI, 'cityscapes_full')


def main(net, setting):
    """The setting of one cell: partitions are subsets of the config with 1/8 of the labels."""
    if setting in ('cityscapes_1_30', 'cityscapes_1_4'):
        return with_options(f'pixl_hrda_{net}_cityscapes_1_8', None, setting.removeprefix('cityscapes_'))
    return f'pixl_hrda_{net}_{setting}'


MAIN = [main(net, setting) for net in NETS for setting in SETTINGS]
FULL = 'pixl_hrda_mitb5_gta2cityscapes'
TERM = 'model.alignment.'
CROP = dict(type='entropy', start=12001, stride=256)
DATA = ('train_dataloader.', 'val_dataloader.', 'test_dataloader.', 'val_evaluator.', 'test_evaluator.')


def own_lines(name):
    """What a config file says after its docstring."""
    text = LEAVES[name].read_text(encoding='utf-8')
    return [line for line in text.split('"""', 2)[2].splitlines() if line.strip()]


def statements(name):
    """Assignments of a file, ``_base_`` left out."""
    return [line for line in own_lines(name) if re.match(r'\w+ = ', line) and not line.startswith('_base_')]


# ---------------------------------------------------------------- the recipe
@pytest.mark.parametrize('name', MAIN)
def test_recipe_of_the_card(name):
    cfg = load(name)
    assert cfg.optim_wrapper.optimizer.type == 'AdamW' and cfg.optim_wrapper.optimizer.lr == 6e-5
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.head.lr_mult == 10
    assert cfg.train_cfg.max_iters == 60000
    assert [s.type for s in cfg.param_scheduler] == ['WarmupPolyLR'] and cfg.param_scheduler[0].warmup_iters == 1500
    assert all(loader.batch_size == 2 for loader in cfg.train_dataloader.values())
    labeled = next(iter(cfg.train_dataloader.values()))
    assert labeled.sampler.type == 'RareClassSampler'
    assert 'RareClassCrop' in [t.type for t in labeled.dataset.pipeline]
    assert cfg.model.network.type == 'HRDAEncoderDecoder'
    assert list(cfg.model.alignment.eta) == [0.2, 0.001]
    assert cfg.model.alignment.pair == 'recompute', 'one graph of HRDA at a time'
    assert 'V100 32 GB' in docstring(parts_of(name)[0])


@pytest.mark.parametrize('net', NETS)
def test_networks(net):
    networks = [load(main(net, setting)).model.network for setting in SETTINGS]
    assert all(network == networks[0] for network in networks), 'one network in all settings'
    assert networks[0].backbone.type == NETS[net]
    head = networks[0].decode_head['head']
    assert head.type == ('DAFormerHead' if net == 'mitb5' else 'DepthwiseSeparableASPPHead')
    hrda = load('hrda_mitb5_gta2cityscapes' if net == 'mitb5' else 'hrda_deeplabv3plus_r101_gta2cityscapes')
    assert networks[0] == hrda.model.network, 'the network of HRDA'


@pytest.mark.parametrize('net', NETS)
def test_settings_differ_in_data_and_method(net):
    base = f'pixl_hrda_{net}_{UDA[0]}'
    assert all(k.startswith(DATA) for k in changed_keys(base, f'pixl_hrda_{net}_{UDA[1]}'))
    streams = {'runner_type', 'model.labeled_stream', 'model.unlabeled_stream'}
    for setting in SEMI:
        changed = {k for k in changed_keys(base, main(net, setting)) if not k.startswith(DATA)}
        assert {k for k in changed if not k.startswith('model.feature_distance.')} == streams
    full = load(f'pixl_hrda_{net}_cityscapes_full')
    assert set(full.model) == {'type', 'data_preprocessor', 'network', 'alignment'}, 'no teacher, no feature distance'
    assert full.model.alignment == load(base).model.alignment


@pytest.mark.parametrize('net', NETS)
def test_first_part_of_adaptation_is_hrda(net):
    """Term and length of the training are all that PiXL adds to HRDA."""
    hrda = 'hrda_mitb5_gta2cityscapes' if net == 'mitb5' else 'hrda_deeplabv3plus_r101_gta2cityscapes'
    control = f'pixl_hrda_{net}_gta2cityscapes --row noalign'
    assert changed_keys(hrda, control) == {'train_cfg.max_iters', 'model.alignment'}


# ---------------------------------------------------------------- controls and ablations
@pytest.mark.parametrize('name', MAIN)
def test_control_differs_in_one_line(name):
    config, _, subset = parts_of(name)
    control = with_options(config, 'noalign', subset)
    row = row_of(control)
    assert row.overrides == {'model.alignment': None} and not (row.parts or row.drop or row.base_rows)
    assert load(control).model.alignment is None
    changed = changed_keys(name, control)
    assert 'model.alignment' in changed and all(k == 'model.alignment' or k.startswith(TERM) for k in changed)


ABLATIONS = {
    'random': {'partition'}, 'all': {'partition'}, 'jointfraction': {'eta_meaning'}, 'threshold': {'eta_meaning'},
    'eta0.2': {'eta.1'}, 'eta0.001': {'eta.0'},
    'step': {'prototypes'}, 'batch': {'prototypes'}, 'image': {'prototypes'}, 'streaming': {'pair'}, 'joint': {'pair'},
    'min5': {'min_pixels'}, 'agreement': {'agreement'},
    'preferhr': {'selection'}, 'lr': {'selection'}, 'hr': {'selection'}, 'mean': {'selection'},
    'dropcovered': {'drop_covered'},
    'tau0.07': {'temperature'}, 'tau0.5': {'temperature'}, 'tau1': {'temperature'}, 'weight1': {'weight'},
    'projection': {'projection.channels'}, 'res65': {'resolution'}, 'start1500': {'start'},
    'start5000': {'start'},
}


@pytest.mark.parametrize('suffix', ABLATIONS)
def test_ablation_differs_in_one_argument(suffix):
    name = f'{FULL} --row {suffix}'
    assert len(ROWS[name].overrides) == 1 and not (ROWS[name].parts or ROWS[name].drop or ROWS[name].base_rows)
    assert {k.removeprefix(TERM) for k in changed_keys(FULL, name)} == ABLATIONS[suffix]


def test_every_choice_of_the_specification_has_a_config():
    from mmseg_dg.models.losses.pixel_alignment import GROUPINGS, PAIRS, PARTITIONS
    from mmseg_dg.ops.pixel_alignment import SELECTIONS
    terms = [read(n).model.alignment for n in NAMES if n.startswith(FULL)]
    terms = [term for term in terms if term is not None and term.type == 'PixelAlignment']
    for key, choices in (('partition', PARTITIONS), ('prototypes', GROUPINGS), ('selection', SELECTIONS),
                         ('pair', PAIRS)):
        assert {term[key] for term in terms} == set(choices), key
    assert {term.temperature for term in terms} == {0.07, 0.1, 0.5, 1.0}


def test_ablations_around_the_term():
    assert load(f'{FULL} --row entropycrop').model.detail_crop == CROP
    assert changed_keys(FULL, f'{FULL} --row entropycrop') == {f'model.detail_crop.{k}' for k in CROP}
    assert changed_keys(FULL, f'{FULL} --row contrast') >= {TERM + 'type'}
    assert all(k.startswith(TERM) for k in changed_keys(FULL, f'{FULL} --row contrast'))
    semi = 'pixl_hrda_deeplabv3plus_r101_cityscapes_1_8'
    assert changed_keys(semi, f'{semi} --row nomargins') == {'model.use_valid_mask'}
    for name, stream in ((semi, 'labeled'), ('pixl_hrda_deeplabv3plus_r101_cityscapes_full', 'source')):
        assert {k.rpartition('.')[0] for k in changed_keys(name, f'{name} --row norcs')} == {
            f'train_dataloader.{stream}.sampler'}


def test_all_settings_are_of_a_known_kind():
    configs = {parts_of(name)[0] for name in MAIN}
    known = {*configs, *(f'{n} --row noalign' for n in configs), *(f'{FULL} --row {s}' for s in ABLATIONS)}
    rest = {n for n in NAMES if n not in known and not n.startswith('cluda_')}
    semi, full = (f'pixl_hrda_deeplabv3plus_r101_cityscapes_{s}' for s in ('1_8', 'full'))
    assert rest == {f'{FULL} --row contrast', f'{FULL} --row entropycrop', f'{semi} --row nomargins',
                    f'{semi} --row norcs', f'{full} --row norcs'}


# ---------------------------------------------------------------- data
@pytest.mark.parametrize('setting', SEMI)
def test_semi_supervised_streams(setting):
    for net in NETS:
        cfg = load(main(net, setting))
        labeled, unlabeled = (cfg.train_dataloader[s].dataset for s in ('labeled', 'unlabeled'))
        protocol = setting.removeprefix('cityscapes_')
        assert (labeled.ann_file, unlabeled.ann_file) == tuple(
            f'splits/{protocol}/{part}.txt' for part in ('labeled', 'unlabeled'))
        crops = [[t.crop_size for t in d.pipeline if 'crop_size' in t] for d in (labeled, unlabeled)]
        assert crops[0] == crops[1] == [(1024, 1024)]
        assert cfg.model.use_valid_mask and 'feature_distance' not in cfg.model
        assert cfg.runner_type == 'SemiSupervisedRunner'


def test_protocols_are_those_of_the_split_tool():
    """The paper: 1/30, 1/8 and 1/4 of 2975 images."""
    from mmseg_dg.datasets.splits.protocols import find_protocol
    for setting in SEMI:
        protocol = find_protocol('cityscapes', setting.removeprefix('cityscapes_'))
        share = Fraction(*map(int, setting.removeprefix('cityscapes_').split('_')))
        assert protocol.labeled == -(-2975 * share.numerator // share.denominator)


# ---------------------------------------------------------------- schedule, groups, studies
@pytest.mark.parametrize('t, lr', [(0, 6.0e-11), (1500, 5.85e-5), (30000, 3e-5), (59999, 1e-9)])
def test_schedule_over_60k_iterations(t, lr):
    import torch
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=6e-5)
    assert build_scheduler(FULL, optimizer).value_at(6e-5, t) == pytest.approx(lr, rel=1e-6)


@pytest.mark.parametrize('name', [FULL, f'{FULL} --row projection', 'cluda_hrda_mitb5_gta2cityscapes',
                                  'pixl_hrda_deeplabv3plus_r101_cityscapes_1_8'])
def test_parts_of_the_term_learn_at_the_rate_of_decoders(name):
    wrapper, model = build_optim_wrapper(name)
    names = {id(p): n for n, p in model.named_parameters()}
    rates = {names[id(p)]: group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    own = {n: lr for n, lr in rates.items() if n.startswith('alignment.')}
    assert bool(own) == (name in (f'{FULL} --row projection', 'cluda_hrda_mitb5_gta2cityscapes'))
    assert all(lr == pytest.approx(6e-4) for lr in own.values())
    assert all('student' in n for n in rates if n not in own), 'neither teacher nor ImageNet copy is trained'
    for key, lr in rates.items():
        assert lr == pytest.approx(6e-4 if 'head' in key else 6e-5), key


# ---------------------------------------------------------------- CLUDA
def test_cluda_is_hrda_with_its_term_and_wider_embeddings():
    changed = changed_keys('hrda_mitb5_gta2cityscapes', 'cluda_hrda_mitb5_gta2cityscapes')
    assert {k for k in changed if not k.startswith(TERM)} == {
        'model.network.decode_head.head.embed_channels', *(f'model.detail_crop.{k}' for k in CROP)}
    cfg = load('cluda_hrda_mitb5_gta2cityscapes')
    assert cfg.model.detail_crop == CROP, 'CLUDA guides crops where its count of steps, from 0, is above 12 000'
    assert cfg.model.alignment.type == 'PixelContrast' and cfg.train_cfg.max_iters == 40000
    assert (cfg.model.alignment.weight, cfg.model.alignment.temperature, cfg.model.alignment.resolution) == (1, 1, 65)
    assert all(k.startswith(DATA) for k in changed_keys('cluda_hrda_mitb5_gta2cityscapes',
                                                        'cluda_hrda_mitb5_synthia2cityscapes'))


# ---------------------------------------------------------------- small real benchmark
BENCH = {'bench_pixl_uda_mobilenetv2': 'bench_daformer_mobilenetv2',
         'bench_pixl_semi_mobilenetv2': 'bench_semi_dacs_mobilenetv2',
         'bench_pixl_full_mobilenetv2': 'bench_supervised_camvid11_mobilenetv2'}


@pytest.mark.parametrize('name', BENCH)
def test_benchmark_differs_from_its_control_in_the_term(name):
    changed = changed_keys(name, BENCH[name])
    assert changed and all(k == 'model.alignment' or k.startswith(TERM) for k in changed)
    assert len(statements(name)) == 1, 'one line of config'
    ours, paper = (flat(load(n).model.alignment) for n in (name, FULL))
    assert ours == dict(paper, pair='joint'), "the paper configs' term; the same gradients where memory is no matter"
