"""Domain generalization: what SHADE adds, and that DAFormer and HRDA differ in resolution and network only."""
import pytest

from .catalog import build_on_meta, changed_keys, load

STYLE = 'model.network.backbone.style_hallucination.'
SHADE = {STYLE + 'num_prototypes', STYLE + 'concentration', 'model.style_consistency_weight', 'custom_hooks.0.type',
         'custom_hooks.0.interval'}


@pytest.mark.parametrize('family, more', [
    ('daformer', set()), ('hrda', {'model.network.hr_crop_size.0', 'model.network.hr_crop_size.1'})])
def test_shade_adds_styles(family, more):
    assert changed_keys(f'{family}_dg_mitb5_gta', f'{family}_dg_shade_mitb5_gta') == SHADE | more


def test_detail_crops():
    assert tuple(load('hrda_dg_shade_mitb5_gta').model.network.hr_crop_size) == (384, 384)
    assert tuple(load('hrda_dg_mitb5_gta').model.network.hr_crop_size) == (512, 512)


@pytest.mark.parametrize('name, crop, pixels, scale', [
    ('daformer_dg_shade_mitb5_gta', 512, 1500, (1024, 512)), ('hrda_dg_shade_mitb5_gta', 1024, 6000, (2048, 1024))])
def test_data(name, crop, pixels, scale):
    cfg = load(name)
    steps = {s.type: s for s in cfg.train_dataloader.source.dataset.pipeline}
    assert 'PhotoMetricDistortion' in steps
    assert tuple(steps['RareClassCrop'].crop_size) == (crop, crop)
    assert steps['RareClassCrop'].min_crop_pixels == pixels
    for domain, loader in cfg.val_dataloader.items():
        resize = [s for s in loader.dataset.pipeline if s.type == 'Resize']
        own_size = domain == 'cityscapes' and crop == 1024
        assert [tuple(s.scale) for s in resize] == ([] if own_size else [scale])
        assert all(s.keep_ratio for s in resize)
    assert tuple(cfg.tta_pipeline[-1].transforms[0][1].scale) == scale


@pytest.mark.parametrize('family', ['daformer', 'hrda'])
def test_only_buffers_are_added(family):
    plain, shade = (build_on_meta(load(f'{family}_dg{s}_mitb5_gta').model) for s in ('', '_shade'))
    assert [n for n, _ in plain.named_parameters()] == [n for n, _ in shade.named_parameters()]
    assert shade.styles.proto_mean.shape == (64, 64) and shade.styles.concentration == 0.0156
    assert plain.styles is None
