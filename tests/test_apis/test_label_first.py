"""What to label first: region scores by hand, order, files that a dataset reads."""
import csv
import json
import math

import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.apis import load_model
from mmseg_dg.apis.label_first import Ranked, rank_images, write_lists
from mmseg_dg.ops.label_first import Region, score_regions


def test_regions_by_hand():
    # left: both classes, quite unsure; right: one class, sure
    left = torch.tensor([[.75, .25], [.75, .25]], dtype=torch.float64)
    p = torch.cat([left, torch.ones(2, 2, dtype=torch.float64)], 1)
    first, second = score_regions(torch.stack([p, 1 - p]).log(), 2)
    quarter = 0.5 + 0.75 * math.log2(4 / 3)
    assert first.box == (0, 2, 0, 2) and first.classes == (0, 1)
    assert first.impurity == pytest.approx(1) and first.uncertainty == pytest.approx(quarter)
    assert first.score == pytest.approx(quarter)
    assert second.box == (0, 2, 2, 4) and second.classes == (0, ) and second.score == pytest.approx(0, abs=1e-12)


def test_classes_of_a_region_come_by_falling_number_of_pixels():
    ids = torch.tensor([[2, 2, 2], [0, 0, 3], [4, 4, 4]])
    region, = score_regions(F.one_hot(ids, 5).permute(2, 0, 1).double() * 9, 3)
    assert region.classes == (2, 4, 0, 3), 'equal numbers by id, absent classes not at all'


def test_a_class_of_one_pixel_counts_and_a_region_of_one_pixel_is_one():
    ids = torch.zeros(2, 2, dtype=torch.long)
    ids[0, 1] = 1
    logits = F.one_hot(ids, 2).permute(2, 0, 1).double() * 9
    region, = score_regions(logits, 2)
    assert region.classes == (0, 1)
    # shares 3/4 and 1/4, by the entropy of two classes
    assert region.impurity == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2))
    assert [r.box for r in score_regions(logits, 1)] == [(0, 1, 0, 1), (0, 1, 1, 2), (1, 2, 0, 1), (1, 2, 1, 2)]


def test_regions_cover_an_image_they_do_not_divide():
    boxes = [region.box for region in score_regions(torch.randn(3, 5, 7), 3)]
    assert boxes[0] == (0, 3, 0, 3) and boxes[-1] == (2, 5, 4, 7) and len(boxes) == 6
    assert [region.box for region in score_regions(torch.randn(3, 2, 2), 9)] == [(0, 2, 0, 2)]
    with pytest.raises(ValueError, match='at least 1'):
        score_regions(torch.randn(3, 2, 2), 0)


def region(score, x=0):
    return Region((0, 2, x, x + 2), score, score, 1., (1, 0))


def test_lists_for_people_and_datasets(tmp_path):
    ranked = [Ranked('/d/b.png', 'b.png', .5, [region(.9), region(.8, 2), region(.1, 4)]),
              Ranked('/d/a/a.png', 'a/a.png', .3, [region(.85), region(.2, 2)])]
    write_lists(ranked, tmp_path, ('road', 'traffic light'), images=1, regions=3, per_image=2, origin=dict(config='c'))
    rows = list(csv.DictReader((tmp_path / 'regions.csv').open()))
    assert [(row['image'], row['x1'], float(row['score'])) for row in rows] == [
        ('b.png', '0', .9), ('a/a.png', '0', .85), ('b.png', '2', .8)]
    assert rows[0]['classes'] == 'traffic_light road' and rows[0]['y2'] == '2'
    assert (tmp_path / 'labeled.txt').read_text() == 'b.png\n'
    assert (tmp_path / 'unlabeled.txt').read_text() == 'a/a.png\n'
    record = json.loads((tmp_path / 'label_first.json').read_text())
    assert record['config'] == 'c' and record['images'] == [dict(rank=1, image='b.png', score=.5)]
    assert record['regions'][1]['image'] == 'a/a.png'
    with pytest.raises(ValueError, match='3 images cannot be chosen of 2'):
        write_lists(ranked, tmp_path, ('a', 'b'), images=3, regions=0)


def test_a_folder_is_ranked_and_its_lists_feed_two_streams(tiny_config_in, tiny_data, tmp_path):
    from mmseg_dg.datasets import FolderDataset, UnlabeledImageDataset
    model = load_model(tiny_config_in(tmp_path), device='cpu')
    folder = tiny_data / 'target' / 'img'
    ranked = rank_images(model, folder, region_size=32, batch_size=2)
    assert [image.score for image in ranked] == sorted((image.score for image in ranked), reverse=True)
    assert all(image.regions[0].score >= image.regions[-1].score for image in ranked)
    write_lists(ranked, tmp_path / 'out', model.dataset_meta['classes'], images=2, regions=5)
    meta = model.dataset_meta
    labeled = FolderDataset(classes=meta['classes'], data_root=str(tiny_data / 'target'),
                            data_prefix=dict(img_path='img', seg_map_path='label'),
                            ann_file=str(tmp_path / 'out' / 'labeled.txt'), pipeline=[dict(type='LoadAnnotations')])
    assert [labeled.get_data_info(i)['img_path'] for i in range(2)] == [str(folder / r.below) for r in ranked[:2]]
    rest = UnlabeledImageDataset(metainfo=meta, data_root=str(tiny_data / 'target'), data_prefix=dict(img_path='img'),
                                 ann_file=str(tmp_path / 'out' / 'unlabeled.txt'), pipeline=[])
    assert len(labeled) == 2 and len(rest) == len(ranked) - 2
