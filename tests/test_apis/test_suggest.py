"""Settings from the images: each kind of data gets what fits it, with a reason, and trains within the memory."""
import logging

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

import mmseg_dg
from mmseg_dg.apis.fingerprint import GIB, fingerprint
from mmseg_dg.apis.memory import _batch, measure, peak
from mmseg_dg.registry import MODELS
from test_apis.test_own_data import plant

MANY = ['floor', 'wall', 'crack', 'leaf']


def look(folder, size, count, rare=None):
    """Empty images of a size; masks in halves of two classes, and a few pixels of a third."""
    for part in ('images', 'masks'):
        (folder / part).mkdir(parents=True)
    label = np.zeros(size, np.uint8)
    label[size[0] // 2:] = 1
    if rare:
        label[:rare, :rare] = 2
    for i in range(count):
        cv2.imwrite(str(folder / f'images/{i}.png'), np.full((*size, 3), 90, np.uint8))
        cv2.imwrite(str(folder / f'masks/{i}.png'), label)
    return dict(images=folder / 'images', masks=folder / 'masks')


def test_fingerprint_counts_ids_not_colors(tmp_path):
    given = look(tmp_path, (64, 96), 3, rare=8)
    found = fingerprint(given, 4)
    assert (found.count, found.height, found.width, found.masks) == (3, 64, 96, 3)
    assert found.shares == {0: pytest.approx((32 * 96 - 64) / 6144), 1: 0.5, 2: pytest.approx(64 / 6144), 3: 0.}
    assert found.pixels[2] == 64
    (tmp_path / 'names.txt').write_text('1\n')
    assert fingerprint(dict(given, list=str(tmp_path / 'names.txt')), 4).count == 1
    assert fingerprint(given, 2, {1: 255, 2: 1}).shares[1] == pytest.approx(64 / 3072)


def test_street_frames(tmp_path):
    found = mmseg_dg.suggest(data=look(tmp_path, (256, 512), 6), classes=MANY, probe=False, free=8 * GIB)
    assert found.settings['crop_size'] == (256, 256) and found.settings['batch_size'] == 4
    assert 'no larger than 512' in str(found) and 'ships with the package' in str(found)
    assert found.settings['iterations'] == 300  # 6 images of 2 crops, 100 times, by 4
    frames = mmseg_dg.suggest(data=look(tmp_path / 'hd', (720, 1280), 2), classes=MANY, probe=False)
    steps = frames.options['train_dataloader.source.dataset.pipeline']
    assert dict(type='Resize', scale=(512, 512), keep_ratio=True) in steps
    kinds = [step['type'] for step in steps]
    assert kinds.index('Resize') == kinds.index('LoadAnnotations') + 1
    score = [step['type'] for step in frames.options['val_dataloader.own.dataset.pipeline']]
    assert score.index('Resize') < score.index('LoadAnnotations'), 'scores are taken at the size of the mask'


def test_tiny_images_are_enlarged(tmp_path):
    found = mmseg_dg.suggest(data=look(tmp_path, (32, 48), 5), classes=MANY, probe=False)
    assert found.settings['crop_size'] == (64, 96)
    assert dict(type='Resize', scale=(96, 96), keep_ratio=True) in found.options[
        'train_dataloader.source.dataset.pipeline']


def test_one_huge_image_keeps_its_detail(tmp_path):
    found = mmseg_dg.suggest(data=look(tmp_path, (4200, 4000), 1), classes=MANY, probe=False)
    assert not [step for step in found.options['train_dataloader.source.dataset.pipeline'] if step['type'] == 'Resize']
    assert found.options['model.network.test_cfg']['mode'] == 'slide' and 'would lose its detail' in str(found)
    assert found.settings['iterations'] == 1000, 'as many crops as it has, at most the recipe'


def test_strong_imbalance_asks_for_the_rare_class(tmp_path):
    given = look(tmp_path, (256, 256), 4, rare=12)
    found = mmseg_dg.suggest(data=given, classes=MANY, probe=False)
    sampler = found.options['train_dataloader.source.sampler']
    assert sampler['type'] == 'RareClassSampler' and sampler['min_pixels'] == 72, 'half of what the images show'
    assert 'crack 0.22%' in str(found)
    crop, = [step for step in found.options['train_dataloader.source.dataset.pipeline'] if 'Crop' in step['type']]
    assert crop['type'] == 'RareClassCrop' and crop['min_crop_pixels'] == 36
    assert 'train_dataloader.source.sampler.min_pixels' in found.reasons


def test_what_is_given_is_kept_and_the_rest_follows(tmp_path):
    given = look(tmp_path, (256, 512), 6)
    found = mmseg_dg.suggest(data=given, classes=MANY, probe=False, crop_size=128, batch_size=2)
    assert found.settings['crop_size'] == (128, 128) and found.settings['batch_size'] == 2
    assert found.options['train_cfg.accumulate'] == 2 and 'as you asked' in str(found)
    with pytest.raises(ValueError, match=r'give source and target \(and target_labeled\).*or data; got target'):
        mmseg_dg.suggest(target=dict(images=given['images']), classes=MANY)


def test_few_target_labels_are_one_more_stream(tmp_path):
    sets = dict(source=look(tmp_path / 'day', (64, 96), 3), target_labeled=look(tmp_path / 'few', (720, 1280), 1),
                target=dict(images=look(tmp_path / 'night', (720, 1280), 2)['images']))
    found = mmseg_dg.suggest(**sets, classes=MANY, probe=False)
    assert 'for each of 3 streams' in str(found) and 'target_labeled: 1 images, median 1280x720' in str(found)
    for name in ('source', 'target', 'target_labeled'):
        assert dict(type='Resize', scale=(512, 512), keep_ratio=True) in found.options[
            f'train_dataloader.{name}.dataset.pipeline']
    mmseg_dg.semi_adapt(**sets, classes=MANY, out=tmp_path / 'run', **found.settings, options=found.options,
                        reasons=found.reasons, start=False)
    with pytest.raises(ValueError, match='does not read the target'):
        mmseg_dg.suggest(**sets, classes=MANY, method='source_only')


def trained_peak(tmp_path, found, function, **images):
    """Bytes that the suggested config holds in four iterations, and its text."""
    here = {f'train_dataloader.{name}.{key}': value for name in images if name in ('source', 'target')
            for key, value in (('num_workers', 0), ('persistent_workers', False))}  # no forks under the profiler
    if 'target_labeled' in images:
        here.update({'train_dataloader.target_labeled.num_workers': 0,
                     'train_dataloader.target_labeled.persistent_workers': False})
    if 'data' in images:
        here = {'train_dataloader.source.num_workers': 0, 'train_dataloader.source.persistent_workers': False}
    used = peak(lambda: function(**images, classes=MANY, out=tmp_path / 'run', **found.settings,
                                 options={**found.options, **here}, reasons=found.reasons), 'cpu')
    text = (tmp_path / 'run/config.py').read_text().replace('# ', '')  # a reason may go over two lines
    return used, ' '.join(text.split())


def test_the_memory_probe_logs_nothing(monkeypatch):
    logger, spoken = MMLogger.get_current_instance(), []
    monkeypatch.setattr('mmseg_dg.apis.memory.peak',
                        lambda run, device: spoken.append(logger.isEnabledFor(logging.INFO)) or 8)
    level = logger.level
    assert measure(None, 'cpu').bytes((64, 64), 2) == 8
    assert spoken == [False, False] and logger.level == level


@pytest.mark.parametrize('channels', [3, 5])
def test_the_probe_has_as_many_channels_as_the_encoder_reads(channels):
    network = dict(type='EncoderDecoder', decode_head=dict(type='TokenLinearHead', in_channels=8, num_classes=3),
                   backbone=dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=1, num_heads=2), pos_grid=2,
                                 out_indices=[-1], in_channels=channels))
    model = MODELS.build(dict(type='Supervised', network=network, data_preprocessor=dict(
        type='MultiStreamDataPreprocessor', mean=[1.] * channels, std=[1.] * channels)))
    batch = model.data_preprocessor(_batch(model, 32), True)
    assert batch['source']['inputs'].shape == (2, channels, 32, 32)


@pytest.mark.ci
@pytest.mark.parametrize('kind, size, count, rare', [
    ('tiny', (32, 48), 5, None), ('one huge', (4200, 4000), 1, None), ('imbalance', (256, 256), 4, 12)])
def test_suggested_config_trains_within_the_predicted_memory(tmp_path, kind, size, count, rare):
    given = look(tmp_path, size, count, rare)
    found = mmseg_dg.suggest(data=given, classes=MANY, iterations=4, free=int(0.3 * GIB))
    used, text = trained_peak(tmp_path, found, mmseg_dg.train, data=given)
    assert 'GiB predicted of' in text and ('RareClassSampler' in text) == bool(rare)
    assert found.memory / 2 < used <= 1.25 * found.memory, kind


@pytest.mark.ci
def test_suggested_adaptation_trains_within_the_predicted_memory(tmp_path):
    """Street frames of two domains, planned for little memory."""
    source = plant(tmp_path / 'day', 4, (160, 224))
    target = dict(images=plant(tmp_path / 'night', 4, (160, 224), seed=1)['images'])
    few = plant(tmp_path / 'few', 2, (160, 224), seed=2)
    images = dict(source=source, target=target, target_labeled=few)
    found = mmseg_dg.suggest(**images, classes=MANY, free=int(0.25 * GIB), iterations=4)
    used, text = trained_peak(tmp_path, found, mmseg_dg.semi_adapt, **images)
    assert found.settings['crop_size'] == (160, 224) and 'GiB predicted of' in text
    assert found.memory / 2 < used <= 1.25 * found.memory


@pytest.mark.ci
def test_suggested_training_of_a_mix_transformer_stays_within_the_predicted_memory(tmp_path):
    """An encoder of one's own, as a file: it is this network that is measured, not the recipe's MiT-B5."""
    torch.manual_seed(0)
    net = MODELS.build(dict(type='MixTransformer', arch='b0', init_cfg=None))
    torch.save(net.state_dict(), tmp_path / 'mit_b0.pth')
    given = look(tmp_path, (96, 160), 4)
    file = str(tmp_path / 'mit_b0.pth')
    found = mmseg_dg.suggest(data=given, classes=MANY, iterations=4, batch_size=2, encoder=file)
    assert found.settings['crop_size'] == (96, 160) and 'as you asked' in str(found)
    used, text = trained_peak(tmp_path, found, mmseg_dg.train, data=given)
    assert "arch='b0'" in text and 'custom/custom_supervised.py' in text
    assert found.memory / 2 < used <= 1.25 * found.memory


def test_the_smaller_images_of_two_streams_are_enlarged(tmp_path):
    """Crops of 64 need images of 64 in each stream, and the larger images are not made smaller for it."""
    target = look(tmp_path / 'target', (400, 400), 3)
    found = mmseg_dg.suggest(source=look(tmp_path / 'source', (40, 40), 3), target=dict(images=target['images']),
                             classes=MANY, probe=False)
    for stream in ('source', 'target'):
        steps = found.options[f'train_dataloader.{stream}.dataset.pipeline']
        assert dict(type='Resize', scale=(416, 416), keep_ratio=True) in steps, stream


def test_a_label_map_may_name_ids_that_no_mask_has(tmp_path):
    given = look(tmp_path, (64, 96), 1)
    assert fingerprint(given, 2, {300: 1, 1: 400}).shares[0] == pytest.approx(1.)
