"""Exported networks: what stock MMSegmentation loads gives the same logits, the rest says what it needs."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmseg_dg.registry import MODELS, TRANSFORMS
from mmseg_dg.weights.segmentor_export import export_segmentor

STOCK = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, num_stages=4, out_indices=(0, 1, 2, 3),
                  strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), norm_cfg=dict(type='BN'), style='pytorch',
                  init_cfg=dict(type='Pretrained', checkpoint='pretrained/not_there.pth')),
    decode_head=dict(type='DepthwiseSeparableASPPHead', in_channels=64, in_index=3, channels=16, dilations=(1, 6),
                     c1_in_channels=8, c1_channels=8, num_classes=4, norm_cfg=dict(type='BN'), align_corners=False,
                     dropout_ratio=0.1, loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
OURS = dict(STOCK, decode_head=dict(type='DeFTDeepLabV3PlusHead', in_channels=[8, 64], channels=16, dilations=(6, ),
                                    c1_channels=8, num_classes=4))
PREPROCESSOR = dict(type='MultiStreamDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True, pad_val=0, seg_pad_val=255)
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(64, 32), keep_ratio=True),
            dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
FRAMED = [dict(type='LoadImageFromFile'), dict(type='ResizeToHeight', height=32), dict(type='PackSegInputs')]


def make_run(folder, network=STOCK, **model):
    """Config file and checkpoint as a run leaves them, every tensor of every copy with its own random values."""
    model = dict(model or dict(type='DeFT', warmup_iters=0), network=network, data_preprocessor=PREPROCESSOR)
    loaders = {name: dict(dataset=dict(type='BaseSegDataset', pipeline=steps))
               for name, steps in (('framed', FRAMED), ('plain', PIPELINE))}
    cfg = Config(dict(default_scope='mmseg_dg', custom_imports=dict(imports=['mmseg_dg']), model=model,
                      test_dataloader=loaders))
    folder.mkdir(parents=True)
    cfg.dump(folder / 'my_run.py')
    method = MODELS.build(cfg.model)
    torch.manual_seed(0)
    for tensor in method.state_dict().values():
        if tensor.is_floating_point() and tensor.dim():
            tensor.copy_(torch.rand_like(tensor) * 0.5 + 0.25 if tensor.dim() == 1 else torch.randn_like(tensor) * 0.2)
    meta = dict(dataset_meta=dict(classes=('a', 'b', 'c', 'd'), palette=[[i, i, i] for i in range(4)]))
    torch.save(dict(state_dict=method.state_dict(), meta=meta), folder / 'iter_8.pth')
    return method.eval()


def load_in_mmseg(export):
    """As a user of MMSegmentation does, in its own scope."""
    from mmseg.apis import init_model
    scope = Config.fromfile(export.config).default_scope
    with DefaultScope.overwrite_default_scope(scope):
        return init_model(str(export.config), str(export.checkpoint), device='cpu')


@pytest.mark.parametrize('name', [None, 'adaptive', 'encoder_adaptive'])
def test_stock_network_in_stock_mmsegmentation(tmp_path, name):
    method = make_run(tmp_path / 'run')
    export = export_segmentor(tmp_path / 'run' / 'iter_8.pth', tmp_path / 'out' / 'plain.pth', network=name)
    assert export.own_parts == () and export.network == (name or 'retentive')
    assert 'without this package' in export.lines[-1]
    config = Config.fromfile(export.config)
    assert config.default_scope == 'mmseg' and 'custom_imports' not in config
    model = load_in_mmseg(export)
    assert type(model).__module__.startswith('mmseg.') and model.dataset_meta['classes'] == ('a', 'b', 'c', 'd')
    images = torch.randn(2, 3, 33, 48)
    expected = method.networks()[name or 'retentive'](images)
    assert torch.equal(model(images), expected)
    others = [network(images) for key, network in method.networks().items() if key != (name or 'retentive')]
    assert not any(torch.equal(expected, other) for other in others), 'the copies differ in this test'


def test_whole_inference_in_stock_mmsegmentation(tmp_path):
    """Preprocessing and pipeline are those of the first domain that stock transforms can read."""
    import numpy as np
    from mmseg.apis import inference_model

    from mmseg_dg.apis import predict
    method = make_run(tmp_path / 'run')
    export = export_segmentor(tmp_path / 'run' / 'iter_8.pth', tmp_path / 'plain.pth')
    image = np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8)
    model = load_in_mmseg(export)
    with DefaultScope.overwrite_default_scope('mmseg'):
        found = inference_model(model, image).pred_sem_seg.data[0].numpy()
    method.cfg = Config.fromfile(tmp_path / 'run' / 'my_run.py')
    method.cfg.test_dataloader.pop('framed')
    np.testing.assert_array_equal(found, predict(method, image))


def test_own_parts_are_named(tmp_path):
    method = make_run(tmp_path / 'run', OURS)
    export = export_segmentor(tmp_path / 'run' / 'iter_8.pth', tmp_path / 'own.pth')
    assert export.own_parts == ('DeFTDeepLabV3PlusHead', ) and 'custom_imports' in export.lines[-1]
    config = Config.fromfile(export.config)
    assert config.default_scope == 'mmseg_dg' and config.custom_imports.imports == ['mmseg_dg']
    images = torch.randn(1, 3, 32, 48)
    assert torch.equal(load_in_mmseg(export)(images), method(images))


def test_images_of_more_channels_are_loaded_as_in_the_run(tmp_path):
    """The written config reads stacks, whose step mmseg lacks, and names the package that has it."""
    import cv2
    import numpy as np
    from mmseg.apis import inference_model
    load, mean, std = dict(type='LoadImageStack', channels=4, bit_depth=12), [9., 8., 7., 6.], [5., 6., 7., 8.]
    steps = [load, dict(type='Resize', scale=(32, 32)), *FRAMED[1:2], dict(type='LoadAnnotations'), PIPELINE[-1]]
    cfg = Config(dict(
        default_scope='mmseg_dg', custom_imports=dict(imports=['mmseg_dg']),
        model=dict(type='Supervised', network=dict(OURS, backbone=dict(STOCK['backbone'], in_channels=4)),
                   data_preprocessor=dict(PREPROCESSOR, mean=mean, std=std, bgr_to_rgb=False)),
        test_dataloader=dict(one=dict(dataset=dict(type='BaseSegDataset', pipeline=steps)))))
    method = MODELS.build(cfg.model).eval()
    torch.save(dict(state_dict=method.state_dict(), meta={}), tmp_path / 'iter_8.pth')
    export = export_segmentor(tmp_path / 'iter_8.pth', tmp_path / 'out.pth', cfg)
    assert {'LoadImageStack', 'MultiStreamDataPreprocessor'} < set(export.own_parts)
    written = Config.fromfile(export.config)
    assert [step['type'] for step in written.test_pipeline] == ['LoadImageStack', 'Resize', 'PackSegInputs']
    assert written.test_pipeline[0].bit_depth == 12
    image = np.random.default_rng(0).integers(0, 4096, (32, 32, 4)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'stack.png'), image)
    model = load_in_mmseg(export)
    with DefaultScope.overwrite_default_scope('mmseg_dg'):
        found = inference_model(model, str(tmp_path / 'stack.png')).seg_logits.data
    seen = TRANSFORMS.build(load)(dict(img_path=str(tmp_path / 'stack.png')))['img']
    x = ((torch.from_numpy(seen) - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)[None]
    expected = method.student.encode_decode(x, [dict(img_shape=(32, 32), ori_shape=(32, 32))])
    torch.testing.assert_close(found[None], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('network, kind', [('student', 'DACS'), ('teacher', 'DACS'), ('student', 'Supervised')])
def test_other_methods(tmp_path, network, kind):
    method = make_run(tmp_path / 'run', type=kind)
    export = export_segmentor(tmp_path / 'run' / 'iter_8.pth', tmp_path / 'plain.pth', network=network)
    images = torch.randn(1, 3, 32, 48)
    assert torch.equal(load_in_mmseg(export)(images), method.networks()[network](images))


def test_exported_file_starts_another_training(tmp_path):
    """``load_from`` of a method takes the plain segmentor."""
    method = make_run(tmp_path / 'run')
    export_segmentor(tmp_path / 'run' / 'iter_8.pth', tmp_path / 'plain.pth')
    other = MODELS.build(dict(type='Supervised', network=Config.fromfile(tmp_path / 'plain.py').model))
    other.load_state_dict(torch.load(tmp_path / 'plain.pth')['state_dict'], strict=False)
    images = torch.randn(1, 3, 32, 48)
    assert torch.equal(other.eval()(images), method(images))


@pytest.mark.parametrize('kwargs, error, text', [
    (dict(network='teacher'), ValueError, "no network 'teacher': use one of"),
    (dict(target='out.pt'), ValueError, 'ending in .pth'),
    (dict(target='run/iter_8.pth'), ValueError, 'another file'),
    (dict(checkpoint='run/iter_9.pth'), FileNotFoundError, 'no checkpoint'),
    (dict(checkpoint='alone/iter_8.pth'), FileNotFoundError, '0 config files.*--config'),
    (dict(checkpoint='half.pth', config='run/my_run.py'), ValueError, "lacks \\d+ tensors of the network 'retentive'"),
])
def test_problems_are_named(tmp_path, kwargs, error, text):
    make_run(tmp_path / 'run')
    (tmp_path / 'alone').mkdir()
    content = torch.load(tmp_path / 'run' / 'iter_8.pth')
    torch.save(content, tmp_path / 'alone' / 'iter_8.pth')
    torch.save({k: v for k, v in content['state_dict'].items() if k.startswith('student.')}, tmp_path / 'half.pth')
    paths = {key: tmp_path / kwargs.pop(key) for key in ('checkpoint', 'target', 'config') if key in kwargs}
    paths = {'checkpoint': tmp_path / 'run' / 'iter_8.pth', 'target': tmp_path / 'out.pth', **paths}
    with pytest.raises(error, match=text):
        export_segmentor(**paths, **kwargs)
