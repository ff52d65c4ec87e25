"""HRDA's configs: each setting differs in data only, each ablation in the ablated part only."""
import pytest

from .catalog import changed_keys, folder_of, load, read, settings, walk

FULL = 'hrda_mitb5_gta2cityscapes'
HEAD, NETWORK = 'model.network.decode_head.', 'model.network.'


def box(prefix):
    return {f'{prefix}.0', f'{prefix}.1'}


@pytest.mark.parametrize('child, keys', [
    ('lambda0', {HEAD + 'hr_loss_weight'}),
    ('nooverlap_lambda0', {HEAD + 'hr_loss_weight', NETWORK + 'hr_slide_overlapping'}),
    ('fixedatt_nooverlap_lambda0', {HEAD + 'hr_loss_weight', NETWORK + 'hr_slide_overlapping',
                                    HEAD + 'fixed_attention'}),
    ('fixedatt', {HEAD + 'fixed_attention'}),
    ('nooverlap', {NETWORK + 'hr_slide_overlapping'}),
    ('singleatt', {HEAD + 'attention_classwise'}),
    *[(f'lambda0.{i}', {HEAD + 'hr_loss_weight'}) for i in range(2, 8)],
    ('detail256', box(NETWORK + 'hr_crop_size')),
    ('detail384', box(NETWORK + 'hr_crop_size')),
    ('samescale', {NETWORK + 'scales.1'}),
    ('blurhr', {NETWORK + 'blur_hr_crop'}),
])
def test_one_part_of_the_full_method(child, keys):
    assert changed_keys(FULL, f'{FULL} --row {child}') == keys


@pytest.mark.parametrize('crop', [512, 768])
def test_context_crop(crop):
    cfg, full = load(f'{FULL} --row context{crop}'), load(FULL)
    outer = box(NETWORK + 'test_cfg.crop_size') | box(NETWORK + 'test_cfg.stride')
    equal = {HEAD + 'lr_loss_weight', 'model.feature_distance.scale'} if crop == 512 else set()
    changed = {k for k in changed_keys(FULL, f'{FULL} --row context{crop}') if not k.startswith('train_dataloader.')}
    assert changed == outer | equal
    for stream in ('source', 'target'):
        steps = cfg.train_dataloader[stream].dataset.pipeline
        assert tuple(steps[-3].crop_size) == (crop, crop) == tuple(cfg.model.network.test_cfg.crop_size)
        assert [s for s in steps if s is not steps[-3]] == full.train_dataloader[stream].dataset.pipeline


def test_children_of_the_context_crops():
    row = f'{FULL} --row context'
    assert changed_keys(f'{row}768', f'{row}768_detail384') == box(NETWORK + 'hr_crop_size')
    for scale in (0.25, 0.75):
        assert changed_keys(f'{row}512', f'{row}512_scale{scale}') == {NETWORK + 'scales.1'}


@pytest.mark.parametrize('setting, margins', [('synthia2cityscapes', True), ('cityscapes2acdc', False),
                                              ('cityscapes2darkzurich', False)])
def test_settings_differ_in_data_and_margins(setting, margins):
    changed = changed_keys(FULL, f'hrda_mitb5_{setting}')
    data = ('train_dataloader.', 'val_dataloader.', 'test_dataloader.', 'val_evaluator.', 'test_evaluator.')
    assert {k for k in changed if not k.startswith(data)} == (set() if margins else {'model.use_valid_mask'})
    cfg = load(f'hrda_mitb5_{setting}')
    kinds = [s.type for s in cfg.train_dataloader.target.dataset.pipeline]
    assert ('PseudoLabelMargins' in kinds) == margins == cfg.model.use_valid_mask
    assert cfg.val_evaluator.get('classes_subset') == ('synthia16' if setting.startswith('synthia') else None)


def crops_fit_one_another(name, cfg):
    """Both streams end with the outer crop of inference, which the network's scales and detail crop divide."""
    if folder_of(name) != 'hrda':
        return
    network = cfg.model.network
    outer = tuple(network.test_cfg.crop_size)
    for stream in cfg.train_dataloader:
        crops = [tuple(s.crop_size) for s in cfg.train_dataloader[stream].dataset.pipeline if 'crop_size' in s]
        assert crops[-1] == outer and network.test_cfg.stride == tuple(side // 2 for side in outer)
    if network.type == 'HRDAEncoderDecoder':
        assert all(a <= b for a, b in zip(network.hr_crop_size, outer))
        equal = tuple(network.hr_crop_size) == outer
        assert (network.decode_head.get('lr_loss_weight', 0) > 0) == equal
        assert 'feature_distance' not in cfg.model or (cfg.model.feature_distance.scale == 'all') == equal


def test_mask_and_margins_come_together():
    for name in settings():
        cfg = read(name)
        if cfg.model.get('use_valid_mask'):
            kinds = [s.type for s in cfg.train_dataloader[cfg.model.unlabeled_stream].dataset.pipeline]
            assert kinds[:2] == ['LoadImageFromFile', 'PseudoLabelMargins'], f'{name}: bands of the original image'
            assert not cfg.model.ignore_top and not cfg.model.ignore_bottom


def test_benchmark_is_that_of_daformer():
    daformer, hrda = load('bench_daformer_mobilenetv2'), load('bench_hrda_mobilenetv2')
    changed = changed_keys('bench_daformer_mobilenetv2', 'bench_hrda_mobilenetv2')
    assert all(k.startswith('model.network.') for k in changed)
    assert hrda.model.network.decode_head['head'] == daformer.model.network.decode_head
    assert hrda.model.network.backbone == daformer.model.network.backbone


def test_walk_reaches_the_nested_head():
    keys = [k for k, _ in walk(load(FULL).model)]
    assert 'network.decode_head.head.loss_decode.type' in keys
