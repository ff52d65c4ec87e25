"""Exported networks: equal to the network itself, with what they say about themselves, in every format."""
import copy
import json
import logging
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from test_configs.catalog import load
from test_configs.shrink import _shrink_network

import mmseg_dg
from mmseg_dg.apis import load_model, predict
from mmseg_dg.apis.export import _input_text, check, export_network, licenses, metadata, writers
from mmseg_dg.apis.export.graph import AdaptivePool, InferenceGraph
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.work_dir import lying_in
from mmseg_dg.weights.segmentor_export import merge_adapters
from mmseg_dg.weights.shipped import card

ROOT = Path(__file__).resolve().parents[2]
CITY = ROOT / 'configs/demo/daformer_synthcity_demo.py'
SHIPPED = 'mmseg_dg://city_day_mobilenetv2'
#: One config for each way in which the networks of the package are put together.
FAMILIES = {
    'daformer_mitb5_gta2cityscapes': 'Mix Transformer, DAFormer head',
    'dacs_segformer_mitb5_gta2cityscapes': 'SegFormer head',
    'hrda_mitb5_gta2cityscapes': 'two scales, detail windows, learned attention',
    'dacs_deeplabv2_r101_gta2cityscapes': 'ResNet, DeepLabV2 head',
    'deft_r50_gta': 'ResNet, DeepLabV3+ of DeFT',
    'ddep_transunet_1x_cityscapes_1_30': 'hybrid ViT, TransUNet head',
    'bench_ddep_finetune_1_30_mobilenetv2': 'MobileNetV2, U-Net head',
    'daformer_mitb5_gta2cityscapes --row upernet': 'pyramid pooling: adaptive pooling of any size',
    'daformer_mitb5_gta2cityscapes --row isa': 'padding that hangs on the size',
    'dg_lora_dinov2_large_gta': 'plain ViT with adapters, merged',
    'unimatch_v2_dinov2_base_cityscapes_1_8': 'plain ViT, DPT head',
    'bench_semi_diffmatch_mobilenetv2': 'mask diffusion: its plain form',
    'dacs_deeplabv2_r101_gta2cityscapes --row deeplabv3plus': 'ResNet, DeepLabV3+ of MMSegmentation',
    'models/tinyvit_small': 'TinyViT, DAFormer head',
    'models/dinov2_small_linear': 'plain ViT, linear head on its tokens',
    'models/dinov2_base_upscale': 'plain ViT that resizes images, learned upscaling',
}


@pytest.fixture(autouse=True)
def _no_trace_records():
    """torch's tracer logs every symbol, and pytest keeps every record."""
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


def config_of(name):
    """A config of the package, or a network to inherit from, as if a config had it."""
    if not name.startswith('models/'):
        return load(name)
    cfg = Config.fromfile(ROOT / f'configs/_base_/{name}.py')
    steps = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    cfg.test_dataloader = dict(one=dict(dataset=dict(type='FolderDataset', pipeline=steps)))
    return cfg


def filled(name):
    """A config's network, small, with random weights of a sensible scale: every tensor counts."""
    config = config_of(name).model.network
    _shrink_network(config)
    torch.manual_seed(0)
    network = MODELS.build(config).eval()
    for value in network.state_dict().values():
        if value.is_floating_point() and value.dim():
            rows = max(1, value[0].numel())
            value.copy_(torch.rand_like(value) / 2 + 0.75 if value.dim() == 1 else torch.randn_like(value) / rows**0.5)
    return network


#: Left to ``make test-all``: their parts are in other families too.
RARELY = ('daformer_mitb5_gta2cityscapes --row isa', )


@pytest.mark.ci
@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.slow] * (name in RARELY)) for name in FAMILIES])
def test_every_network_equals_its_onnx_file(tmp_path, name):
    pytest.importorskip('onnxruntime')
    network = filled(name)
    before = copy.deepcopy(network)
    graph = InferenceGraph(network, plain=hasattr(network, 'denoiser'))
    program = writers.traced(graph)
    images = graph.example(*(side * 2 for side in writers.smallest(graph)))  # another size than it was traced with
    with torch.no_grad():  # what --to torch.export writes
        torch.testing.assert_close(check.unguarded(program)(images), graph(images), rtol=1e-4, atol=1e-4)
    writers.write_onnx(program, {}, tmp_path / 'net.onnx', 'logits')
    run = check.run_onnx(tmp_path / 'net.onnx')
    found = check.compare(run, graph, before)
    assert found.holds and found.difference <= 1e-4, found
    with torch.no_grad():  # the comparison can fail: another network is told apart
        last = next(p for p in reversed(list(before.decode_head.parameters())) if p.dim() > 1)
        last.add_(torch.randn_like(last) * last.std() * 0.01)  # not a factor: a norm may follow
    assert check.compare(run, graph, before).difference > found.difference * 10


@pytest.mark.ci
@pytest.mark.parametrize('name', FAMILIES)
def test_every_network_comes_back_from_its_weights(tmp_path, name):
    """safetensors through ``mmseg_dg.load``, mmseg through ``init_model``: the network's own logits."""
    from mmseg.apis import init_model
    network, cfg = filled(name), config_of(name)
    _shrink_network(cfg.model.network)
    cfg.model = dict(type='Supervised', network=cfg.model.network, data_preprocessor=cfg.model.data_preprocessor)
    torch.save({f'student.{key}': value for key, value in network.state_dict().items()}, tmp_path / 'run.pth')
    metas = [dict(img_path='a.png', ori_shape=(112, 224), img_shape=(112, 224), pad_shape=(112, 224))]
    images = torch.randn(1, 3, 112, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.encode_decode(images, metas)
        for to in ('safetensors', 'mmseg'):
            done = export_network(cfg, tmp_path / 'run.pth', to, tmp_path / to)
            with DefaultScope.overwrite_default_scope('mmseg' if to == 'mmseg' else 'mmseg_dg'):
                again = mmseg_dg.load(done.path, 'cpu').model if to == 'safetensors' else init_model(
                    str(done.path.with_suffix('.py')), str(done.path), device='cpu')
            scale = max(1., float(expected.abs().max()))
            assert float((again.encode_decode(images, metas) - expected).abs().max()) <= 1e-4 * scale, (to, name)


@pytest.mark.parametrize('normalize', [False, True])
def test_a_graph_of_more_channels(normalize):
    network = MODELS.build(dict(
        type='EncoderDecoder', decode_head=dict(type='TokenLinearHead', in_channels=8, num_classes=3),
        backbone=dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=1, num_heads=2), pos_grid=2,
                      out_indices=[-1], in_channels=5))).eval()
    before, mean, std = copy.deepcopy(network), [1., 2., 3., 4., 5.], [2., 3., 4., 5., 6.]
    graph = InferenceGraph(network, *((mean, std) if normalize else ()), bgr_to_rgb=False)
    images = graph.example(28, 42)
    assert images.shape == ((2, 28, 42, 5) if normalize else (2, 5, 28, 42))
    plain = ((images - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2) if normalize else images
    torch.testing.assert_close(graph(images), check.reference_logits(before, plain))
    assert _input_text(graph) == ('images uint8 (B, H, W, 5), channels in the order of the file' if normalize else
                                  'images float32 (B, 5, H, W), normalized')
    run = check.unguarded(writers.traced(graph))
    assert check.compare(run, graph, before).holds


def test_adaptive_pooling_of_any_size():
    for size, cells in (((13, 20), (3, 3)), ((7, 5), (6, 2)), ((4, 9), (6, 6))):
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        torch.testing.assert_close(AdaptivePool(cells)(x), torch.nn.functional.adaptive_avg_pool2d(x, cells))


@pytest.mark.parametrize('offset, antialias', [(0.1, False), (0., True), (0., False)])
def test_positions_of_any_grid(offset, antialias):
    from mmseg_dg.models.backbones.token_sizes import _positions_of_a_free_grid, interpolate_positions
    stored = torch.randn(1, 16, 6)
    for grid in ((5, 7), (4, 9), (12, 2), (4, 4)):
        expected = interpolate_positions(stored, grid, offset, antialias)
        found = _positions_of_a_free_grid(stored, 4, grid, offset, antialias)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert grid != (4, 4) or torch.equal(found, stored)


def test_what_cannot_be_written_is_refused_with_its_reason():
    network = filled('bench_semi_diffmatch_mobilenetv2')
    with pytest.raises(ValueError, match="drawn by each image's file name.*--plain"):
        InferenceGraph(network)
    network.plain_weight, network.residual = 0, False
    with pytest.raises(ValueError, match='plain_weight=0 left its plain classifier untrained'):
        InferenceGraph(network, plain=True)
    with pytest.raises(ValueError, match='predicts in one step as it is'):
        InferenceGraph(filled('daformer_synthcity_demo'), plain=True)
    with pytest.raises(ValueError, match='formats are safetensors, onnx, torch.export, mmseg'):
        export_network(CITY, SHIPPED, 'tflite')
    with pytest.raises(ValueError, match='--to mmseg holds weights and a config'):
        export_network(CITY, SHIPPED, 'mmseg', argmax=True)
    with pytest.raises(FileNotFoundError, match='no checkpoint at nowhere.pth'):
        export_network(CITY, 'nowhere.pth', 'safetensors')


def test_adapters_are_merged_once_and_outermost_first():
    calls = []

    class Part(torch.nn.Module):
        def __init__(self, name, *children):
            super().__init__()
            self.parts, self.name = torch.nn.ModuleList(children), name

    class Adapted(Part):
        def merge_adapters(self):
            calls.append(self.name)

    class Layer(torch.nn.Linear):
        def merged(self):
            return torch.nn.Identity()

    network = Part('net', Adapted('a', Adapted('inside')), Part('b', Adapted('c'), Layer(2, 2)))
    assert merge_adapters(network) == 3 and calls == ['a', 'c']
    assert isinstance(network.parts[1].parts[1], torch.nn.Identity)


def test_safetensors_says_what_it_is(tmp_path):
    from safetensors import safe_open
    done = export_network(CITY, SHIPPED, 'safetensors', tmp_path, name='city')
    assert done.path.name == f'city-{metadata.sha256(done.path)[:8]}.safetensors'
    assert [path.name for path in tmp_path.iterdir()] == [done.path.name]
    with safe_open(done.path, 'pt') as file:
        known, keys = json.loads(file.metadata()['mmseg_dg']), set(file.keys())
    assert known == done.metadata and known['network'] == 'student'
    assert known['classes'][:2] == ['road', 'sidewalk'] and len(known['palette']) == 19
    assert known['preprocessing']['mean'] == [123.675, 116.28, 103.53]
    assert known['preprocessing']['channel_order'] == 'RGB'
    assert known['score']['camera/mIoU'] == card(SHIPPED)['score_mIoU_percent']['camera']
    assert known['encoder']['license'] == 'MIT'
    assert known['checkpoint']['file'] == SHIPPED and len(known['checkpoint']['sha256']) == 64
    assert {key.split('.')[0] for key in keys} == {'backbone', 'decode_head'}, 'no teacher, no second head'
    assert 'init_cfg' not in json.dumps(known['config']['model']['backbone'])
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    again = mmseg_dg.load(done.path, 'cpu')
    assert again.classes[:2] == ('road', 'sidewalk') and repr(again).startswith('Segmenter(19 classes, ')
    shipped = mmseg_dg.load(SHIPPED, 'cpu')
    np.testing.assert_array_equal(again.predict(image), shipped.predict(image))
    written = again.predict_files(_saved(image, tmp_path), tmp_path / 'out')
    assert (written / 'labels/photo.png').is_file() and (written / 'overlays/photo.jpg').is_file()


def test_sizes_of_steps_stay_tuples(tmp_path):
    """mmcv's Resize stops at a list, which is what JSON makes of its scale."""
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=[64, 32], keep_ratio=True),
             dict(type='PackSegInputs', meta_keys=['img_path'])]
    described = dict(config=dict(model=dict(type='EncoderDecoder'), test_pipeline=steps))
    writers.write_mmseg_config(described, tmp_path / 'c.py')
    written = Config.fromfile(tmp_path / 'c.py').test_pipeline
    assert written[1].scale == (64, 32) and isinstance(written[1].scale, tuple)
    assert isinstance(written[2].meta_keys, list)
    done = export_network(CITY, SHIPPED, 'safetensors', tmp_path)
    from safetensors.torch import load_file, save_file
    done.metadata['config']['test_pipeline'].insert(1, steps[1])
    save_file(load_file(str(done.path)), str(tmp_path / 'x.safetensors'), dict(mmseg_dg=json.dumps(done.metadata)))
    ids = mmseg_dg.load(tmp_path / 'x.safetensors', 'cpu').predict(np.zeros((48, 96, 3), np.uint8))
    assert ids.shape == (48, 96)


def test_adapters_are_gone_from_the_written_weights(tmp_path):
    cfg = load('dg_lora_dinov2_large_gta')
    network = filled('dg_lora_dinov2_large_gta')  # every tensor random: the adapters do something
    model = cfg.model.network
    _shrink_network(model)
    cfg.model = dict(type='Supervised', network=model, data_preprocessor=cfg.model.data_preprocessor)
    torch.save({f'student.{key}': value for key, value in network.state_dict().items()}, tmp_path / 'run.pth')
    done = export_network(cfg, tmp_path / 'run.pth', 'safetensors', tmp_path / 'out')
    again = mmseg_dg.load(done.path, 'cpu').model
    assert any('lora' in key for key in network.state_dict())
    assert not any('lora' in key for key in again.state_dict())
    images = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(again(images), network(images), rtol=1e-4, atol=1e-4)


def _saved(image, folder):
    cv2.imwrite(str(folder / 'photo.png'), image)
    return folder / 'photo.png'


def test_what_load_cannot_read_is_named(tmp_path):
    from safetensors.torch import save_file
    save_file(dict(a=torch.zeros(1)), str(tmp_path / 'bare.safetensors'))
    (tmp_path / 'net.onnx').write_bytes(b'x')
    (tmp_path / 'alone.pth').write_bytes(b'x')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken.safetensors').write_bytes(b'xx')
    for name, error, text in (('bare.safetensors', ValueError, 'says nothing of its network'),
                              ('broken.safetensors', ValueError, 'damaged, or no file of safetensors'),
                              ('net.onnx', ValueError, 'a graph runs without this package'),
                              ('alone.pth', FileNotFoundError, '0 config files'),
                              ('empty', FileNotFoundError, 'holds no checkpoint'),
                              ('nowhere', FileNotFoundError, 'there is no file or folder')):
        with pytest.raises(error, match=text):
            mmseg_dg.load(tmp_path / name)


@pytest.mark.ci
def test_teacher_and_score_of_a_run(tmp_path, tiny_config):
    from mmseg_dg.apis import adapt
    cfg = tiny_config('DACS')
    method = adapt(cfg)
    checkpoint = lying_in(cfg.work_dir)[0].path
    with torch.no_grad():
        state = torch.load(checkpoint, weights_only=False)
        for key, value in state['state_dict'].items():
            if key.startswith('teacher.') and value.is_floating_point():
                value.add_(1.)
        torch.save(state, checkpoint)
    done = export_network(cfg, checkpoint, 'mmseg', tmp_path / 'out', network='teacher')
    assert done.path.name.endswith('.pth') and done.path.with_suffix('.py').is_file()
    content = torch.load(done.path)
    for key, value in content['state_dict'].items():
        expected = method.student.state_dict()[key]
        assert value.shape == expected.shape
    weight = content['state_dict']['decode_head.conv_seg.weight']
    torch.testing.assert_close(weight, state['state_dict']['teacher.module.decode_head.conv_seg.weight'])
    assert content['meta']['dataset_meta']['classes'] == list(method.dataset_meta['classes'])
    table, = Path(cfg.work_dir).glob(f'*/evaluation_iter_{state["meta"]["iter"]}.csv')
    assert f',{done.metadata["score"]["target/mIoU"]},' in table.read_text()
    assert done.metadata['encoder']['license'] == licenses.NONE
    from mmseg.apis import init_model
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = init_model(str(done.path.with_suffix('.py')), str(done.path), device='cpu')
    assert torch.equal(model.decode_head.conv_seg.weight, weight)


@pytest.mark.parametrize('file, license', [
    ('pretrained/mit_b5.pth', 'NVIDIA'), ('x/mit_b0_20220624-7e0fe6dd.pth', 'NVIDIA'),
    ('resnet101_v1c-e67eebb6.pth', 'Apache'), ('resnet50-0676ba61.pth', 'BSD'), ('mine.pth', None)])
def test_license_of_the_encoder(file, license):
    found = licenses.license_of(file)
    assert (found is None) if license is None else found.startswith(license)
    told = licenses.encoder_license(Config(dict(model=dict(network=dict(backbone=dict(
        type='X', init_cfg=dict(type='Pretrained', checkpoint=file)))))))
    assert told['license'].startswith(license or 'unknown: mine.pth')


@pytest.fixture(scope='module')
def street(tmp_path_factory):
    """A drawn street of the package's own city."""
    from mmseg_dg.registry import DATASETS
    folder = tmp_path_factory.mktemp('street')
    city = DATASETS.build(dict(type='SynthCityDataset', _scope_='mmseg_dg', num_images=1, size=(256, 128),
                               data_root=str(folder / 'city'), num_workers=1, pipeline=[
                                   dict(type='LoadImageFromFile', _scope_='mmseg_dg')]))
    cv2.imwrite(str(folder / 'street.png'), city[0]['img'])
    return folder / 'street.png'


@pytest.mark.ci
@pytest.mark.parametrize('options', [{}, dict(normalize=True, argmax=True)], ids=['logits', 'baked in'])
def test_the_example_needs_onnxruntime_alone(tmp_path, street, options):
    """examples/onnx_inference.py in a process without torch gives what predict gives."""
    pytest.importorskip('onnxruntime')
    done = export_network(CITY, SHIPPED, 'onnx', tmp_path, **options)
    assert done.agreement.holds and done.agreement.equal >= 0.9999
    code = ('import sys, runpy; [sys.modules.__setitem__(name, None) for name in ("torch", "mmengine", "mmcv", '
            '"mmseg", "mmseg_dg")]; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")')
    subprocess.run([sys.executable, '-c', code, str(ROOT / 'examples/onnx_inference.py'), str(done.path), str(street),
                    '--out', str(tmp_path / 'out')], check=True, env=dict(PATH='', OMP_NUM_THREADS='1'))
    found = cv2.imread(str(tmp_path / 'out/street.png'), cv2.IMREAD_UNCHANGED)
    expected = predict(load_model(CITY, SHIPPED, 'cpu'), street)
    assert found.shape == expected.shape and (found == expected).mean() >= 0.9999
    assert len(np.unique(found)) > 3 and (tmp_path / 'out/street_overlay.jpg').is_file()


def test_the_example_names_a_file_that_is_not_there(monkeypatch):
    pytest.importorskip('onnxruntime')
    monkeypatch.setattr(sys, 'argv', ['onnx_inference.py', 'nothing.onnx', 'street.png'])
    with pytest.raises(SystemExit, match='nothing.onnx: there is no such file; tools/export.py'):
        runpy.run_path(str(ROOT / 'examples/onnx_inference.py'), run_name='__main__')


@pytest.mark.ci
def test_torch_export_of_the_shipped_network(tmp_path):
    done = export_network(CITY, SHIPPED, 'torch.export', tmp_path)
    assert done.agreement.holds and done.path.suffix == '.pt2'
    extra = {'mmseg_dg.json': ''}
    torch.export.load(str(done.path), extra_files=extra)
    assert json.loads(extra['mmseg_dg.json'])['encoder']['license'] == 'MIT'
