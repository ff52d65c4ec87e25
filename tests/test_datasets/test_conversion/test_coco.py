"""COCO's instances as semantic labels."""
import json

import cv2
import numpy as np
import pytest

from mmseg_dg.datasets import COCO81Dataset
from mmseg_dg.datasets.conversion.coco import decode_rle, polygon_mask, read_instances
from mmseg_dg.registry import DATASETS

from ..trees import LOAD, write_image

# ids of COCO's 80 categories: 1..90 without these
GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
IDS = [i for i in range(1, 91) if i not in GAPS]


def inside(polygon, size):
    """Even-odd rule at the pixel centers, straight from its definition; and the distance to the outline."""
    points = np.asarray(polygon, float).reshape(-1, 2)
    y, x = np.mgrid[:size[0], :size[1]] + 0.5
    found, distance = np.zeros(size, bool), np.full(size, np.inf)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, 0)):
        with np.errstate(divide='ignore', invalid='ignore'):
            crossing = (y1 > y) != (y2 > y)
            found ^= crossing & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        length = max((x2 - x1)**2 + (y2 - y1)**2, 1e-12)
        t = np.clip(((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length, 0, 1)
        distance = np.minimum(distance, np.hypot(x - x1 - t * (x2 - x1), y - y1 - t * (y2 - y1)))
    return found, distance


@pytest.mark.parametrize('seed', range(20))
def test_polygons_equal_the_rule_but_for_the_outline(seed):
    generator, size = np.random.default_rng(seed), (40, 50)
    angles = np.sort(generator.uniform(0, 2 * np.pi, generator.integers(3, 20)))
    radii = generator.uniform(3, 30, len(angles))  # some leave the image
    polygon = (np.stack([25 + radii * np.cos(angles), 20 + radii * np.sin(angles)], 1)).ravel().tolist()
    expected, distance = inside(polygon, size)
    mask = polygon_mask([polygon], size)
    assert mask.dtype == bool and mask.shape == size
    wrong = mask != expected
    assert not wrong[distance > 0.3].any() and wrong.mean() < 0.02
    np.testing.assert_array_equal(polygon_mask([polygon, [1, 1, 4, 1, 4, 3, 1, 3]], size),
                                  mask | polygon_mask([[1, 1, 4, 1, 4, 3, 1, 3]], size))


def test_polygon_on_pixel_borders_is_exact():
    mask = polygon_mask([[2, 1, 7, 1, 7, 4, 2, 4]], (6, 9))
    assert mask.sum() == 15 and mask[1:4, 2:7].all()
    assert not polygon_mask([[2, 1, 7, 1], [30, 30, 40, 30, 40, 40]], (6, 9)).any()
    with pytest.raises(ValueError, match='has 7 coordinates'):
        polygon_mask([[1, 2, 3, 4, 5, 6, 7]], (6, 9))


def compress(runs):
    """COCO's text form, written from its description: 5 bits per character, differences from the fourth run on."""
    text = b''
    for i, value in enumerate(runs):
        value -= runs[i - 2] if i > 2 else 0
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            text += bytes([(bits | (32 if more else 0)) + 48])
    return text.decode()


@pytest.mark.parametrize('seed', range(5))
def test_run_lengths_both_forms(seed):
    generator = np.random.default_rng(seed)
    small = (generator.random((5, 7)) < 0.5).astype(np.uint8)
    mask = cv2.resize(small, (70, 50), interpolation=cv2.INTER_NEAREST).astype(bool)
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    runs = runs if not flat[0] else [0, *runs]
    np.testing.assert_array_equal(decode_rle(runs, (50, 70)), mask)
    np.testing.assert_array_equal(decode_rle(compress(runs), (50, 70)), mask)
    with pytest.raises(ValueError, match='run lengths cover'):
        decode_rle(runs[:-1], (50, 70))


def test_known_compressed_text():
    """Worked by hand: 6 -> '6', 1 -> '1', 40 -> 8 then 1 -> 'X1', 3 - 1 = 2 -> '2', 38 - 40 = -2 -> 'N'."""
    mask = decode_rle('61X12N', (8, 11))
    assert compress([6, 1, 40, 3, 38]) == '61X12N' and mask.sum() == 4
    assert mask.T.ravel()[[6, 47, 48, 49]].all()


def box(x1, y1, x2, y2):
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def coco_tree(root, crowd_runs=(0, 24 * 6, 24 * 26)):
    names = COCO81Dataset.METAINFO['classes'][1:]
    categories = [dict(id=i, name=n, supercategory='x') for i, n in zip(IDS, names)][::-1]
    images, annotations = [], []

    def annotate(image, category, segmentation, area, iscrowd=0):
        annotations.append(dict(id=len(annotations), image_id=image, category_id=category, area=area,
                                segmentation=segmentation, iscrowd=iscrowd))

    for i in (9, 25, 30):
        write_image(root / f'train2017/{i:012d}.jpg', i)
        images.append(dict(id=i, file_name=f'{i:012d}.jpg', height=24, width=32))
    annotate(9, 90, box(12, 4, 16, 8), 16)  # small, in front
    annotate(9, 1, box(10, 2, 20, 20), 180)
    annotate(9, 13, dict(counts=list(crowd_runs), size=[24, 32]), 144, iscrowd=1)  # the six columns on the left
    annotate(9, 3, box(4, 0, 8, 24), 96)  # over part of the crowd
    annotate(25, 27, box(0, 0, 32, 24), 768)
    folder = root / 'annotations'
    folder.mkdir()
    content = dict(info={}, images=images, annotations=annotations, categories=categories)
    (folder / 'instances_train2017.json').write_text(json.dumps(content))
    return content


def test_labels(tmp_path, command):
    coco_tree(tmp_path)
    code, out = command('coco81', tmp_path, '--parts', 'train2017')
    assert code == 0 and 'COCO train2017: 3 images (published: 118287)' in out and '3 labels written' in out
    expected = np.zeros((24, 32), np.uint8)
    expected[:, :6] = 255
    expected[:, 4:8] = 3
    expected[2:20, 10:20] = 1
    expected[4:8, 12:16] = 80
    dataset = DATASETS.build(dict(type='COCO81Dataset', data_root=str(tmp_path), pipeline=LOAD,
                                  data_prefix=dict(img_path='train2017', seg_map_path='semantic81/train2017')))
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 81
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
    assert dataset.metainfo['classes'][25] == 'backpack'  # category 27: two gaps before it
    assert np.unique(dataset[1]['gt_seg_map']).tolist() == [25]
    assert np.unique(dataset[2]['gt_seg_map']).tolist() == [0]  # no instance at all
    expected[expected == 255] = 12  # stop sign, category 13
    command('coco81', tmp_path, '--parts', 'train2017', '--crowd', 'class', '--overwrite')
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)


def test_faults(tmp_path, command):
    content = coco_tree(tmp_path, crowd_runs=(0, 5))
    path = tmp_path / 'annotations/instances_train2017.json'
    (tmp_path / 'train2017/000000000030.jpg').unlink()
    code, out = command('coco81', tmp_path, '--parts', 'train2017')
    assert code == 1 and 'annotation 2 of 000000000009: run lengths cover 5 pixels of a mask of 24x32' in out
    assert "1 annotated images are not there, for example ['000000000030']" in out
    content['categories'].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='has 79 categories'):
        read_instances(str(path))
    path.write_text('{"images": []}')
    with pytest.raises(ValueError, match='not a COCO instances file'):
        read_instances(str(path))
    with pytest.raises(FileNotFoundError, match='no annotations'):
        read_instances(str(tmp_path / 'none.json'))
    with pytest.raises(ValueError, match="crowd must be one of"):
        read_instances(str(path), crowd='drop')
