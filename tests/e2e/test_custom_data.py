"""Own data as docs/custom_data.md describes it: generated folders, the page's config, doctor, pictures, training."""
import importlib.util
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs/custom_data.md').read_text(encoding='utf-8')
COLORS = np.array([[90, 90, 90], [40, 160, 40], [30, 60, 170]])


def plant(root, part, count, ids, masks=True, size=(80, 96), seed=0):
    """Images of colored blocks, half JPEG and half PNG, in sub-folders; masks with ``ids``."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        blocks = rng.integers(0, len(ids), (size[0] // 16, size[1] // 16))
        blocks.flat[:len(ids)] = range(len(ids))
        label = np.kron(blocks, np.ones((16, 16), int))
        image = (COLORS[label] + rng.normal(0, 10, (*size, 3))).clip(0, 255).astype(np.uint8)
        for folder, picture, ending in (('images', image, ('.jpg', '.png')[i % 2]),
                                        ('masks', np.asarray(ids, np.uint8)[label], '.png')):
            if folder == 'images' or masks:
                path = root / part / folder / f'set{i % 2}' / f'{i:03d}{ending}'
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture)


def shrink(cfg, folder):
    """A network and a run that take seconds; of the data only the crop size changes."""
    cfg.model.network.backbone = dict(
        type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, init_cfg=None)
    cfg.model.network.decode_head.update(in_channels=[8, 16, 40, 64], channels=16, embed_channels=16)
    for loader in [*cfg.train_dataloader.values(), *cfg.val_dataloader.values(), *cfg.test_dataloader.values()]:
        loader.update(num_workers=0, persistent_workers=False)
    cfg.train_cfg.update(max_iters=2, val_interval=2, crop_size=64)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.logger.interval = 1
    for hook in cfg.get('custom_hooks', []):
        if hook.type == 'TrainingPicturesHook':
            hook.interval = 2
    cfg.work_dir = str(folder / 'work')
    cfg.experiment_name = folder.name
    return cfg


def page_config(folder, recipe='custom_uda'):
    """The config file printed on the page, on top of this clone's recipe."""
    text = re.search(r"```python\n(_base_ = 'mmseg_dg::custom/custom_uda.py'.*?)```", PAGE, flags=re.S).group(1)
    text = text.replace('mmseg_dg::custom/custom_uda.py', str(ROOT / f'configs/custom/{recipe}.py'))
    (folder / 'plants.py').write_text(text, encoding='utf-8')
    return Config.fromfile(folder / 'plants.py')


def recipe_config(name, root):
    cfg = Config.fromfile(ROOT / f'configs/custom/{name}.py')
    for loaders in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for loader in loaders.values():
            loader.dataset.data_root = str(root)
    return cfg


def train(cfg):
    from mmseg_dg.apis.launch import build_runner
    runner = build_runner(cfg)
    runner.train()
    return runner


def scores(runner):
    scalars = runner.message_hub.log_scalars
    return {key: value.current() for key, value in scalars.items() if key.startswith('val/')}


def tool(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.ci
def test_page(tmp_path, monkeypatch):
    """Three classes, adaptation: the page's config file."""
    from mmseg_dg.datasets.doctor import examine
    monkeypatch.chdir(tmp_path)
    for seed, (part, masks) in enumerate((('lab', True), ('field', False), ('field_val', True))):
        plant(tmp_path / 'data/orchard', part, 6, (0, 1, 2), masks, seed=seed)
    cfg = page_config(tmp_path)
    assert cfg.train_dataloader.target.dataset.data_prefix == dict(img_path='field/images')
    assert {f.kind for f in examine(cfg).findings} == {'padding'}, 'the drawn pictures are small'
    cfg = shrink(cfg, tmp_path)
    cfg.dump(tmp_path / 'small.py')
    browse = tool(ROOT / 'tools/analysis_tools/browse_streams.py')
    assert browse.main([str(tmp_path / 'small.py'), '--out', 'look', '--num', '2']) == 0
    assert {p.name for p in (tmp_path / 'look').iterdir()} == {'source.png', 'target.png', 'mixed_0.png', 'legend.png'}
    runner = train(cfg)
    found = scores(runner)
    assert 0 <= found['val/own/mIoU'] <= 100
    assert {'val/own/IoU.background', 'val/own/IoU.leaf', 'val/own/IoU.disease'} <= set(found)
    assert runner.iter == 2 and (tmp_path / 'work/iter_2.pth').is_file()


def test_supervised_with_many_classes(tmp_path):
    plant(tmp_path / 'train', '', 4, (0, 7, 29))
    plant(tmp_path / 'val', '', 2, (0, 7, 29), seed=1)
    cfg = shrink(recipe_config('custom_supervised', tmp_path), tmp_path)
    cfg.model.network.decode_head.num_classes = 30
    for loaders, part in ((cfg.train_dataloader, 'train'), (cfg.val_dataloader, 'val'), (cfg.test_dataloader, 'val')):
        for loader in loaders.values():
            loader.dataset.update(classes=[f'kind {i}' for i in range(30)], palette=None,
                                  data_prefix=dict(img_path=f'{part}/images', seg_map_path=f'{part}/masks'))
    assert 'val/own/IoU.kind 29' in scores(train(cfg))


@pytest.mark.ci
def test_training_without_masks_for_validation(tmp_path, monkeypatch):
    """The child config of the page, below its first one."""
    monkeypatch.chdir(tmp_path)
    plant(tmp_path / 'data/plants', '', 4, (0, 1, 4))
    plant(tmp_path / 'data/plants/field', '', 3, (0, 1, 4), masks=False, seed=1)
    (tmp_path / 'data/plants/field/images').rename(tmp_path / 'data/plants/field/photos')
    whole = re.search(r"```python\n(_base_ = 'mmseg_dg::custom/custom_semi_small.*?)```", PAGE, flags=re.S).group(1)
    whole = whole.replace('mmseg_dg::', f'{ROOT}/configs/').replace("ann_file='splits/train_val/train.txt', ", '')
    (tmp_path / 'plants.py').write_text(whole, encoding='utf-8')
    without = re.search(r"```python\n(_base_ = './plants.py'\nval_dataloader = None.*?)```", PAGE, flags=re.S).group(1)
    (tmp_path / 'without.py').write_text(without, encoding='utf-8')
    cfg = Config.fromfile(tmp_path / 'without.py')
    assert cfg.default_hooks.checkpoint.save_best is None
    cfg.val_dataloader = cfg.test_dataloader = {}
    cfg = shrink(cfg, tmp_path)
    cfg.val_dataloader = cfg.test_dataloader = None
    cfg.update(load_from=None, overwrite=True)
    cfg.train_cfg.new_classifier = False
    runner = train(cfg)
    assert runner.iter == 2 and not scores(runner) and (tmp_path / 'work/iter_2.pth').is_file()
    assert (tmp_path / 'work/losses.png').is_file()


@pytest.mark.ci
def test_semi_supervised_with_binary_masks(tmp_path):
    for seed, part in enumerate(('labeled', 'unlabeled', 'val')):
        plant(tmp_path, part, 4, (0, 255), part != 'unlabeled', seed=seed)
        for kind in ('images', 'masks'):
            if (tmp_path / part / kind).is_dir():
                (tmp_path / kind).mkdir(exist_ok=True)
                (tmp_path / part / kind).rename(tmp_path / kind / part)
    cfg = shrink(recipe_config('custom_semi', tmp_path), tmp_path)
    refused = cfg.copy()
    refused.experiment_name += '_refused'
    with pytest.raises(ValueError, match=r'stream "labeled".*binary 0/255 masks.*label_map=\{255: 1\}'):
        train(refused)
    for loader in (cfg.train_dataloader.labeled, cfg.val_dataloader.own, cfg.test_dataloader.own):
        loader.dataset.label_map = {255: 1}
    runner = train(cfg)
    assert 0 <= scores(runner)['val/own/IoU.object'] <= 100
    assert runner.model.streams == ('labeled', 'unlabeled')
