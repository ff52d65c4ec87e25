"""What people do with MMSegmentation, done with networks of this package (docs/coming_from.md)."""
import runpy
import sys
import types
from pathlib import Path

import cv2
import mmseg
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmseg_dg.apis import load_model, predict
from mmseg_dg.apis.export import export_network

ROOT = Path(__file__).resolve().parents[2]
CITY = ROOT / 'configs/demo/daformer_synthcity_demo.py'
SHIPPED = 'mmseg_dg://city_day_mobilenetv2'
pytestmark = pytest.mark.ci
TOOLS = Path(mmseg.__file__).parent / '.mim/tools/analysis_tools'


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """The network of the package, whose DAFormerHead mmseg does not know."""
    return export_network(CITY, SHIPPED, 'mmseg', tmp_path_factory.mktemp('exported')).path


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp('photo') / 'street.png'
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (128, 96), interpolation=cv2.INTER_CUBIC))
    return path


@pytest.fixture(scope='module')
def expected(photo):
    with DefaultScope.overwrite_default_scope('mmseg_dg'):
        ids = predict(load_model(CITY, SHIPPED, 'cpu'), photo)
    assert len(np.unique(ids)) > 2
    return ids


def test_init_model_and_inference_model(exported, photo, expected):
    from mmseg.apis import inference_model, init_model
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = init_model(str(exported.with_suffix('.py')), str(exported), device='cpu')
        found = inference_model(model, str(photo)).pred_sem_seg.data[0].numpy()
    np.testing.assert_array_equal(found, expected)
    assert model.dataset_meta['classes'][0] == 'road'


def test_inferencer_of_mmseg_in_its_own_scope(exported, photo, expected, tmp_path):
    from mmseg.apis import MMSegInferencer
    with DefaultScope.overwrite_default_scope('mmseg'):
        inferencer = MMSegInferencer(str(exported.with_suffix('.py')), str(exported), device='cpu')
        found = inferencer(str(photo), out_dir=str(tmp_path), img_out_dir='pictures')
    np.testing.assert_array_equal(found['predictions'], expected)
    assert len(list((tmp_path / 'pictures').iterdir())) == 1


def test_operations_and_parameters(exported):
    """get_flops.py of mmseg 1.2.2 stops with mmengine 0.10 for every model; what is behind it is called directly."""
    import torch
    from mmengine.analysis import get_model_complexity_info
    from mmseg.apis import init_model
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = init_model(str(exported.with_suffix('.py')), str(exported), device='cpu')
        found = get_model_complexity_info(model, inputs=(torch.rand(1, 3, 64, 128), ), show_table=False,
                                          show_arch=False)
    assert found['params'] == sum(p.numel() for p in model.parameters())
    assert found['flops'] > 1e8


def test_analyze_logs_reads_our_log(tmp_path, monkeypatch):
    """Its plots need seaborn; the log it reads is ``vis_data/scalars.json``."""
    monkeypatch.setitem(sys.modules, 'seaborn', types.ModuleType('seaborn'))
    log = tmp_path / 'scalars.json'
    log.write_text('{"loss": 2.5, "lr": 0.1, "step": 1}\n{"loss": 2.0, "lr": 0.1, "step": 2}\n'
                   '{"camera/mIoU": 30.0, "step": 2}\n')
    found, = runpy.run_path(str(TOOLS / 'analyze_logs.py'))['load_json_logs']([str(log)])
    assert found[1]['loss'] == [2.5] and found[2]['loss'] == [2.0] and found[2]['camera/mIoU'] == [30.0]


def test_tensorboard_beside_the_log_file(tiny_config, run_config):
    pytest.importorskip('tensorboard')
    cfg = tiny_config('Supervised', max_iters=2)
    cfg.visualizer = dict(type='SegmentationVisualizer', name='tensorboard_test', vis_backends=[
        dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
    run_config(cfg)
    assert list(Path(cfg.work_dir).rglob('events.out.tfevents*'))


def test_test_time_augmentation_of_mmseg(tiny_config, run_config):
    """``tta_pipeline`` and ``--tta`` as in MMSegmentation's configs."""
    from mmengine.config import Config

    from mmseg_dg.apis import launch
    cfg = tiny_config('Supervised', max_iters=2)
    run_config(cfg)
    cfg.load_from = str(Path(cfg.work_dir) / 'iter_2.pth')
    cfg.tta_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='TestTimeAug', transforms=[
            [dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.75, 1.)],
            [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)],
            [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]])]
    plain = run_config(Config(cfg.to_dict()), train=False).test()
    launch.enable_tta(cfg)
    augmented = run_config(cfg, train=False).test()
    assert augmented.keys() == plain.keys() and augmented['target/mIoU'] != plain['target/mIoU']
