"""Every file of ``_base_/datasets`` parses, its names exist, its datasets build on little trees in their layout."""
import ast
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from .catalog import CONFIGS, walk
from .test_arguments import check_loaders

FOLDER = CONFIGS / '_base_' / 'datasets'
FILES = {path.stem: path for path in sorted(FOLDER.glob('*.py'))}
COUNT = 3
TINY = (40, 48)


def image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*TINY, 3), dtype=np.uint8))


def label(path, values=(0, 1, 2)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.resize(np.asarray(values, np.uint8), TINY))


def names(path, stems):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{stem}\n' for stem in stems))


def plant(root, count=COUNT, labeled=1):
    """The published layouts of the datasets that ``fake_data`` does not have.

    ``count`` images each; the first ``labeled`` of them are the labeled part of every split.
    """
    from scipy.io import savemat

    from mmseg_dg.datasets.splits.protocols import PROTOCOLS
    for i in range(count):
        image(root / f'bdd100k/images/10k/val/{i}.jpg', i)
        label(root / f'bdd100k/labels/sem_seg/masks/val/{i}.png')
        image(root / f'mapillary/validation/images/{i}.jpg', i)
        label(root / f'mapillary/validation/labels/{i}.png', (13, 27, 65))
        stem = f'test/night/GP_{i}'
        image(root / f'NighttimeDrivingTest/leftImg8bit/{stem}_leftImg8bit.png', i)
        label(root / f'NighttimeDrivingTest/gtCoarse_daytime_trainvaltest/{stem}_gtCoarse_labelTrainIds.png')
        for year, folder in (('2012', 'SegmentationClass'), ('2012', 'SegmentationClassAug'),
                             ('2010', 'SegmentationClassContext')):
            image(root / f'VOCdevkit/VOC{year}/JPEGImages/{i}.jpg', i)
            label(root / f'VOCdevkit/VOC{year}/{folder}/{i}.png', (0, 15, 20))
        for part in ('training', 'validation'):
            image(root / f'ade/ADEChallengeData2016/images/{part}/{i}.jpg', i)
            label(root / f'ade/ADEChallengeData2016/annotations/{part}/{i}.png', (0, 1, 150))
        for part in ('train2017', 'val2017'):
            image(root / f'coco/{part}/{i}.jpg', i)
            label(root / f'coco/semantic81/{part}/{i}.png', (0, 80, 255))
        for root_name in ('imagenet', 'imagenet21k', 'images'):
            image(root / f'{root_name}/train/n0{i}/{i}.jpg', i)
            image(root / f'{root_name}/val/n0{i}/{i}.jpg', i)
    for root_name in ('imagenet', 'imagenet21k'):
        names(root / root_name / 'meta/train.txt', [f'n0{i}/{i}.jpg {i}' for i in range(count)])
    parts = np.split(np.arange(count)[:, None], [count - 2, count - 1])
    numbers = dict(zip(('trainIds', 'valIds', 'testIds'), parts))
    savemat(root / 'gta/split.mat', numbers)
    names(root / 'gta/splits/unusable.txt', [])
    for split, stems in (('train', range(count)), ('val', range(1, count))):
        names(root / f'VOCdevkit/VOC2012/ImageSets/Segmentation/{split}.txt', stems)
        names(root / f'VOCdevkit/VOC2010/ImageSets/SegmentationContext/{split}.txt', stems)
    folders = dict(voc='VOCdevkit/VOC2012', coco='coco', cityscapes='cityscapes', pascal_context='VOCdevkit/VOC2010',
                   ade20k='ade/ADEChallengeData2016')
    for dataset, folder in folders.items():
        stem = 'town/town_{}' if dataset == 'cityscapes' else '{}'
        for protocol in PROTOCOLS[dataset]:
            for part, numbers in (('labeled', range(labeled)), ('unlabeled', range(labeled, count))):
                names(root / folder / 'splits' / protocol / f'{part}.txt', [stem.format(i) for i in numbers])
    return root


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    from .fake_data import write_all
    return plant(write_all(tmp_path_factory.mktemp('data'), COUNT, (48, 80)))


def load(name):
    return Config.fromfile(FILES[name])


@pytest.mark.parametrize('name', sorted(FILES))
def test_parses_and_names_exist(name):
    assert ast.get_docstring(ast.parse(FILES[name].read_text(encoding='utf-8')))
    if 'imagenet' in name:
        pytest.importorskip('torchvision')
        import mmseg_dg.mmpretrain  # noqa: F401
    cfg = load(name)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        check_loaders(cfg.get(key, {}), f'{name}.{key}')
    if name.endswith('_released'):  # the source alone while training
        assert all(cfg.test_dataloader[domain] == loader for domain, loader in cfg.val_dataloader.items())
    else:
        assert cfg.get('test_dataloader') == cfg.get('val_dataloader')
    given = os.environ.get('MMSEG_DG_SHARED', '\0')  # the one path a user may give, also as an absolute one
    for key, value in walk(cfg._cfg_dict):
        if isinstance(value, str) and not value.startswith((given, str(CONFIGS))):
            assert not value.startswith('/') and '://' not in value, key


NEW = sorted(name for name in FILES if re.match(
    r'(dg|semi|supervised|images)_|(bdd100k|mapillary|gta|synthia|nighttime_driving|voc|coco81|ade20k|pascal_context\d+|'
    r'cityscapes_full)_val', name))


@pytest.mark.parametrize('name', NEW)
def test_datasets_build_and_load(name, data):
    from mmseg_dg.registry import DATASETS
    if 'imagenet' in name:
        pytest.importorskip('torchvision')
        import mmseg_dg.mmpretrain  # noqa: F401
    cfg = load(name)
    classes = set()
    loaders = [*cfg.get('train_dataloader', {}).items(), *cfg.get('val_dataloader', {}).items()]
    for stream, loader in loaders:
        dataset_cfg = loader.dataset
        if dataset_cfg.type == 'SynthCityDataset':
            dataset_cfg.update(data_root=str(data / 'city'), num_images=2, size=(96, 64), num_workers=1)
        else:
            dataset_cfg.data_root = str(data / Path(dataset_cfg.data_root).relative_to('data'))
        for step in dataset_cfg.pipeline:  # same steps, little crops
            for key in ('crop_size', 'size'):
                if key in step:
                    step[key] = (32, 32)
            if step.type == 'PseudoLabelMargins':
                step.update({side: step[side] // 16 for side in ('top', 'bottom', 'left', 'right') if side in step})
            if 'height' in step:
                step.height = 40
            if 'min_crop_pixels' in step:
                step.min_crop_pixels = 20
        dataset = DATASETS.build(dict(type='SeededDataset', dataset=dataset_cfg))
        sample = dataset[len(dataset) - 1]
        labeled = 'gt_sem_seg' in sample['data_samples']
        assert labeled == (stream != 'unlabeled' and 'images' not in name)
        if stream in ('source', 'labeled', 'unlabeled', 'images'):
            assert tuple(sample['inputs'].shape) == (3, 32, 32)
            assert ('valid_pseudo_mask' in sample['data_samples']) == (stream == 'unlabeled')
        classes.add(dataset.metainfo.get('classes'))
    assert len(classes) == 1 or 'imagenet' in name, 'all streams and domains of a run need the same classes'


@pytest.mark.parametrize('name, labeled, unlabeled', [
    ('semi_voc_classic', 183, 10399), ('semi_voc_blender', 1323, 9259), ('semi_cityscapes', 372, 2603),
    ('semi_coco81', 925, 117362)])
def test_split_counts_in_comments(name, labeled, unlabeled):
    """UniMatch's lists: the two parts make up the whole training set."""
    text = FILES[name].read_text(encoding='utf-8').replace(' ', '')
    assert f'#{labeled}images' in text and f'#{unlabeled}images' in text
    assert labeled + unlabeled in (10582, 2975, 118287)
