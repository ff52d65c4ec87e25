"""VOC with SBD, and Pascal Context, from MATLAB files in their published structure."""
import cv2
import numpy as np
import pytest
from mmseg.datasets import PascalContextDataset, PascalContextDataset59, PascalVOCDataset
from scipy.io import savemat

from mmseg_dg.datasets.conversion.voc import context_table, read_mat, voc_aug_jobs
from mmseg_dg.registry import DATASETS

from ..trees import LOAD, stripes, write_image, write_palette_label


def write_sbd(path, ids):
    """``GTcls`` of SBD: a structure with boundaries, the segmentation and the classes that are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((20, 1), object)
    for i in range(20):
        cells[i, 0] = np.zeros((2, 2), np.uint8)
    present = np.setdiff1d(np.unique(ids), [0]).astype(np.uint8)
    savemat(path, dict(GTcls=dict(Boundaries=cells, Segmentation=ids, CategoriesPresent=present)))


def voc_tree(root):
    """VOC labels a (train), b (train), v (val); SBD labels b, v, s, t."""
    voc, sbd = root / 'VOCdevkit/VOC2012', root / 'benchmark_RELEASE/dataset'
    for i, name in enumerate('abvst'):
        write_image(voc / f'JPEGImages/2008_{name}.jpg', i)
    for i, name in enumerate('abv'):
        write_palette_label(voc / f'SegmentationClass/2008_{name}.png', stripes([0, 255, i + 1]))
    for i, name in enumerate('bvst'):
        write_sbd(sbd / f'cls/2008_{name}.mat', stripes([0, i + 10]))
    (voc / 'ImageSets/Segmentation').mkdir(parents=True)
    (voc / 'ImageSets/Segmentation/train.txt').write_text('2008_a\n2008_b\n')
    (voc / 'ImageSets/Segmentation/val.txt').write_text('2008_v\n')
    return voc, sbd


def test_voc_aug(tmp_path, command):
    voc, sbd = voc_tree(tmp_path)
    code, out = command('voc_aug', voc, sbd)
    assert code == 0 and '5 labels written' in out and 'train_aug: 4 images (published: 10582)' in out
    lists = {name: (voc / f'ImageSets/Segmentation/{name}.txt').read_text().split() for name in ('train_aug', 'aug')}
    assert lists == dict(train_aug=['2008_a', '2008_b', '2008_s', '2008_t'], aug=['2008_s', '2008_t'])

    def labels(**options):
        dataset = DATASETS.build(dict(type='PascalVOCDataset', data_root=str(voc), pipeline=LOAD, **options))
        assert type(dataset) is PascalVOCDataset
        return [np.unique(dataset[i]['gt_seg_map']).tolist() for i in range(len(dataset))]

    folders = dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug')
    # b has VOC's own label although SBD has one too
    assert labels(data_prefix=folders, ann_file='ImageSets/Segmentation/train_aug.txt') == [
        [0, 1, 255], [0, 2, 255], [0, 12], [0, 13]]
    assert labels(data_prefix=folders, ann_file='ImageSets/Segmentation/val.txt') == [[0, 3, 255]]
    classic = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
    assert labels(data_prefix=classic, ann_file='ImageSets/Segmentation/train.txt') == [[0, 1, 255], [0, 2, 255]]
    assert '0 labels written, 5 were there already' in command('voc_aug', voc, sbd)[1]


def test_voc_faults(tmp_path, command):
    voc, sbd = voc_tree(tmp_path)
    write_sbd(sbd / 'cls/2008_s.mat', stripes([0, 21]))
    write_sbd(sbd / 'cls/2008_t.mat', stripes([0, 3], (20, 32)))
    code, out = command('voc_aug', voc, sbd)
    assert code == 1 and '2008_s.mat: expected ids 0..20 per pixel' in out and '2008_t.mat has 32x20 pixels' in out
    assert (voc / 'ImageSets/Segmentation/aug.txt').read_text() == ''
    whole = (sbd / 'cls/2008_s.mat').read_bytes()
    (sbd / 'cls/2008_s.mat').write_bytes(whole[:150])
    with pytest.raises(ValueError, match='2008_s.mat: not a readable MATLAB file'):
        read_mat(str(sbd / 'cls/2008_s.mat'), 'GTcls', 'Segmentation')
    with pytest.raises(ValueError, match='has no GTcls.Other'):
        read_mat(str(sbd / 'cls/2008_b.mat'), 'GTcls', 'Other')
    with pytest.raises(FileNotFoundError, match='SBD: no label folder'):
        voc_aug_jobs(str(voc), str(tmp_path / 'x'), str(voc))
    (voc / 'ImageSets/Segmentation/val.txt').write_text('2008_b\n')
    with pytest.raises(ValueError, match='1 images are in both'):
        voc_aug_jobs(str(voc), str(sbd), str(voc))


def test_pascal_context(tmp_path, command):
    voc, mats = tmp_path / 'VOCdevkit/VOC2010', tmp_path / 'context/trainval'
    names = list(PascalContextDataset.METAINFO['classes'][1:])
    everything = sorted(names + [f'other {i}' for i in range(400)])
    mats.mkdir(parents=True)
    (tmp_path / 'context/labels.txt').write_text(''.join(f'{i}: {n}\n' for i, n in enumerate(everything, start=1)))
    raw = {name: i for i, name in enumerate(everything, start=1)}
    assert len(raw) == 459 and max(raw.values()) > 255
    chosen = [raw['aeroplane'], raw['wood'], raw['other 7'], 0, raw['sheep']]
    for name in ('2008_000002', '2008_000003'):
        write_image(voc / f'JPEGImages/{name}.jpg')
        label = np.asarray(chosen, np.uint16)[stripes(range(5))]
        savemat(mats / f'{name}.mat', dict(LabelMap=label))
    (voc / 'ImageSets/Main').mkdir(parents=True)
    (voc / 'ImageSets/Main/train.txt').write_text('2008_000002\n2008_009999\n')
    code, out = command('pascal_context', voc, mats)
    assert code == 0 and 'train: 1 images (published: 4998)' in out and 'no list written for val' in out
    expected = [1, 59, 0, 0, names.index('sheep') + 1]
    made = cv2.imread(str(voc / 'SegmentationClassContext/2008_000002.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(made, stripes(expected))
    options = dict(data_root=str(voc), ann_file='ImageSets/SegmentationContext/train.txt', pipeline=LOAD,
                   data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'))
    sixty = DATASETS.build(dict(type='PascalContextDataset', **options))
    fifty_nine = DATASETS.build(dict(type='PascalContextDataset59', **options))
    assert type(fifty_nine) is PascalContextDataset59 and len(sixty) == len(fifty_nine) == 1
    np.testing.assert_array_equal(sixty[0]['gt_seg_map'], stripes(expected))
    np.testing.assert_array_equal(fifty_nine[0]['gt_seg_map'], stripes([0, 58, 255, 255, names.index('sheep')]))
    (tmp_path / 'context/labels.txt').write_text('1: aeroplane\n')
    with pytest.raises(ValueError, match="has no class .*'wood'"):
        context_table(str(tmp_path / 'context/labels.txt'))
