"""Datasets of mmseg and mmpretrain, on fake trees in their published layouts, as streams of training."""
import importlib.util

import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset, BDD100KDataset, CityscapesDataset, NightDrivingDataset

from mmseg_dg.datasets import SampleRequest
from mmseg_dg.registry import DATASETS

from .trees import LOAD, stripes, write_image, write_label

PACK = [*LOAD, dict(type='PackStreamInputs')]


def seeded(**cfg):
    return DATASETS.build(dict(type='SeededDataset', dataset=cfg))


def ids_of(sample):
    return np.unique(sample['data_samples'].gt_sem_seg.data.numpy()).tolist()


@pytest.mark.parametrize('old_release', [False, True])
def test_bdd100k(tmp_path, old_release):
    """images/10k + labels/sem_seg/masks; before 2021: seg/images + seg/labels/*_train_id.png."""
    images, labels, suffix = (('seg/images/val', 'seg/labels/val', '_train_id.png') if old_release else
                              ('images/10k/val', 'labels/sem_seg/masks/val', '.png'))
    for name in ('7d06fefd-f7be05a6', '7d128593-0ccfea4c'):
        write_image(tmp_path / f'{images}/{name}.jpg')
        write_label(tmp_path / f'{labels}/{name}{suffix}', stripes([0, 18, 255]))
    dataset = seeded(type='BDD100KDataset', data_root=str(tmp_path), pipeline=PACK, seg_map_suffix=suffix,
                     data_prefix=dict(img_path=images, seg_map_path=labels))
    assert type(dataset.dataset) is BDD100KDataset and len(dataset) == 2
    assert ids_of(dataset[0]) == [0, 18, 255]
    assert dataset.metainfo['classes'] == CityscapesDataset.METAINFO['classes']
    assert [list(c) for c in dataset.metainfo['palette']] == CityscapesDataset.METAINFO['palette']


def test_blank_lines_of_a_list_are_named(tmp_path):
    """Stock datasets keep them as an image without a name."""
    write_image(tmp_path / 'img/a.png')
    write_label(tmp_path / 'label/a.png', stripes([0, 1]))
    (tmp_path / 'list.txt').write_text('a\n\n')
    cfg = dict(type='BaseSegDataset', data_root=str(tmp_path), pipeline=PACK, img_suffix='.png', ann_file='list.txt',
               metainfo=dict(classes=('x', 'y')), data_prefix=dict(img_path='img', seg_map_path='label'))
    with pytest.raises(ValueError, match=r"list\.txt' has blank lines"):
        seeded(**cfg)
    (tmp_path / 'list.txt').write_text('a\n')
    assert len(seeded(**cfg)) == 1


def test_nighttime_driving(tmp_path):
    stem = 'test/night/0_frame_0001'
    write_image(tmp_path / f'leftImg8bit/{stem}_leftImg8bit.png')
    for kind in ('labelTrainIds', 'labelIds', 'labelColor'):
        write_label(tmp_path / f'gtCoarse_daytime_trainvaltest/{stem}_gtCoarse_{kind}.png', stripes([0, 13, 255]))
    dataset = seeded(type='NightDrivingDataset', data_root=str(tmp_path), pipeline=PACK,
                     data_prefix=dict(img_path='leftImg8bit/test/night',
                                      seg_map_path='gtCoarse_daytime_trainvaltest/test/night'))
    assert type(dataset.dataset) is NightDrivingDataset and len(dataset) == 1
    assert ids_of(dataset[0]) == [0, 13, 255]


def test_dark_zurich_validation_as_published(tmp_path):
    stem = 'val/night/GOPR0356/GOPR0356_frame_000321'
    write_image(tmp_path / f'rgb_anon/{stem}_rgb_anon.png')
    for kind in ('labelTrainIds', 'labelIds', 'invGray'):
        write_label(tmp_path / f'gt/{stem}_gt_{kind}.png', stripes([0, 255]))
    dataset = seeded(type='DarkZurichDataset', data_root=str(tmp_path), pipeline=PACK,
                     data_prefix=dict(img_path='rgb_anon/val', seg_map_path='gt/val'))
    assert len(dataset) == 1 and ids_of(dataset[0]) == [0, 255]


def test_ade20k(tmp_path):
    write_image(tmp_path / 'images/training/ADE_train_00000001.jpg')
    write_label(tmp_path / 'annotations/training/ADE_train_00000001.png', stripes([0, 1, 150]))
    dataset = seeded(type='ADE20KDataset', data_root=str(tmp_path), pipeline=PACK,
                     data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'))
    assert type(dataset.dataset) is ADE20KDataset and len(dataset.metainfo['classes']) == 150
    assert ids_of(dataset[0]) == [0, 149, 255]


def imagenet_tree(root):
    for i, name in enumerate(('n01440764/n01440764_10026', 'n01440764/n01440764_10027', 'n01443537/n01443537_2')):
        write_image(root / f'train/{name}.JPEG', i)
    return root


def test_imagenet_folders_as_an_unlabeled_stream(tmp_path):
    dataset = seeded(type='UnlabeledImageDataset', data_root=str(imagenet_tree(tmp_path)), like='ade',
                     data_prefix=dict(img_path='train'), pipeline=[LOAD[0], PACK[-1]])
    assert len(dataset) == 3 and 'gt_sem_seg' not in dataset[0]['data_samples']


@pytest.mark.skipif(any(importlib.util.find_spec(name) is None for name in ('mmpretrain', 'torchvision')),
                    reason='needs mmpretrain and torchvision')
@pytest.mark.parametrize('kind', ['CustomDataset', 'ImageNet21k'])
def test_imagenet_folders_by_mmpretrain(tmp_path, kind):
    import mmseg_dg.mmpretrain  # noqa: F401  what custom_imports of a config does
    root = str(imagenet_tree(tmp_path))
    options = dict(split='train') if kind == 'ImageNet21k' else dict(data_prefix='train')
    dataset = seeded(type=f'mmpretrain.{kind}', data_root=root, pipeline=[LOAD[0]], **options)
    sample = dataset[SampleRequest(2, 5)]
    assert len(dataset) == 3 and sample['img'].shape == (24, 32, 3) and sample['gt_label'] == 1
