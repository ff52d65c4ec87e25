"""Runs with frozen encoders, adapters and images of more than three channels: train, stop, resume, judge."""
import copy
import importlib.util

import cv2
import numpy as np
import pytest
import torch

from mmseg_dg.registry import MODELS

from .test_resume import _stopping_after, assert_identical, state_of

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)


def on_tokens(cfg, **backbone):
    """A tiny config with a plain ViT and a light head in the place of its network."""
    cfg.model.network.backbone = dict(type='PlainViT', arch=ARCH, patch_size=16, pos_grid=4, out_indices=[-1],
                                      resize='multiple', init_cfg=None)
    cfg.model.network.backbone.update(backbone)
    cfg.model.network.decode_head = dict(type='TokenUpscaleHead', in_channels=16, num_classes=4,
                                         loss_decode=dict(type='CrossEntropyLoss'))
    return cfg


@pytest.fixture
def weights(tmp_path):
    encoder = MODELS.build(dict(type='PlainViT', arch=ARCH, patch_size=16, pos_grid=4, init_cfg=None))
    encoder.init_weights()
    torch.save(encoder.state_dict(), tmp_path / 'vit.pth')
    return dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'))


@pytest.mark.ci
@pytest.mark.parametrize('backbone', [dict(trainable='none'),
                                      dict(trainable='adapters', lora=dict(rank=2, start='minor'))])
def test_checkpoints_of_the_trained_part_resume_bit_identical(tiny_config, run_config, tmp_path, weights, backbone):
    def config(folder, save):
        cfg = on_tokens(tiny_config(work_dir=folder), init_cfg=weights, **backbone)
        cfg.optim_wrapper.constructor = 'LayerDecayParamGroups'
        cfg.optim_wrapper.paramwise_cfg = dict(decay=0.9, encoder_mult=0.1)
        cfg.default_hooks.checkpoint.save = save
        return cfg

    run_config(config('whole', 'whole'))
    run_config(_stopping_after(config('part', 'trained'), 2))
    half = torch.load(tmp_path / 'part' / 'iter_2.pth')['state_dict']
    assert not any('backbone.blocks.0.mlp.fc1.weight' in key for key in half)
    assert 'student.backbone.frozen_file' in half
    resumed = config('part', 'trained')
    resumed.resume = True
    run_config(resumed)
    whole, part = (state_of(tmp_path / name / 'iter_4.pth') for name in ('whole', 'part'))
    part = {key: value for key, value in part.items() if not key.endswith('frozen_file')}
    assert_identical({key: whole[key] for key in part}, part)
    judged = copy.deepcopy(resumed)
    judged.resume, judged.load_from = False, str(tmp_path / 'part' / 'iter_4.pth')
    runner = run_config(judged, train=False)
    scores = runner.test()
    assert 0 <= scores['target/mIoU'] <= 100
    loaded = {key: value for key, value in runner.model.state_dict().items() if key.startswith('student.')}
    assert_identical({f'state_dict.{key}': value for key, value in loaded.items()},
                     {key: value for key, value in whole.items() if key.startswith('state_dict.student.')})


@pytest.mark.ci
def test_the_trained_part_needs_something_frozen(tiny_config, run_config, weights):
    cfg = on_tokens(tiny_config(), init_cfg=weights)
    cfg.default_hooks.checkpoint.save = 'trained'
    with pytest.raises(ValueError, match="save='trained'.*no encoder is frozen"):
        run_config(cfg)


@pytest.mark.ci
@pytest.mark.skipif(importlib.util.find_spec('tifffile') is None, reason='tifffile is an optional dependency')
def test_five_channels_from_file_to_score(tiny_config, run_config, tiny_data, tmp_path):
    import tifffile
    cfg = tiny_config()
    for domain in ('source', 'target'):
        (tmp_path / domain / 'img').mkdir(parents=True)
        (tmp_path / domain / 'label').symlink_to(tiny_data / domain / 'label')
        for path in sorted((tiny_data / domain / 'img').iterdir()):
            rgb = cv2.imread(str(path))[..., ::-1].astype(np.uint16) * 16
            bands = np.concatenate([rgb, rgb[..., :1], 4000 - rgb[..., 1:2].clip(0, 4000)], axis=2)
            tifffile.imwrite(tmp_path / domain / 'img' / f'{path.stem}.tif', bands, photometric='minisblack',
                             planarconfig='contig')
    loaders = (cfg.train_dataloader.source, cfg.train_dataloader.target, cfg.val_dataloader.target,
               cfg.test_dataloader.target)
    for loader, domain in zip(loaders, ('source', 'target', 'target', 'target')):
        loader.dataset.update(data_root=str(tmp_path / domain), img_suffix='.tif')
        loader.dataset.pipeline[0] = dict(type='LoadImageStack', channels=5, bit_depth=12)
    cfg.model.network.backbone.in_channels = 5
    cfg.model.data_preprocessor.update(mean=[100.] * 5, std=[60.] * 5, bgr_to_rgb=False)
    runner = run_config(cfg)
    assert runner.iter == 4 and runner.model.student.backbone.layers[0][0].projection.weight.shape[1] == 5
    from mmseg_dg.apis import load_model, predict
    model = load_model(cfg, str(tmp_path / 'run' / 'iter_4.pth'))
    path = tmp_path / 'target' / 'img' / '03.tif'
    ids = predict(model, str(path))
    assert ids.shape == (80, 96) and np.array_equal(predict(model, tifffile.imread(path)), ids)
    with pytest.raises(ValueError, match=r'array uint8 \(80, 96, 3\): 3 channels, but LoadImageStack has channels=5'):
        predict(model, np.zeros((80, 96, 3), np.uint8))


def test_sizes_that_patches_do_not_divide_are_refused_before_training(tiny_config, run_config):
    cfg = on_tokens(tiny_config(), patch_size=14, resize=None)
    with pytest.raises(ValueError, match='(?s)stream "source": PlainViT: an image of 64x64 .*patches of 14 pixels.*'
                       'validation domain "target": PlainViT: an image of 96x80'):
        run_config(cfg)
