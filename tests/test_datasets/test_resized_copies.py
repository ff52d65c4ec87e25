"""Copies at the size of training: the same samples, drawn as often, from smaller files."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_dg.datasets import RareClassSampler, SampleRequest, SeededDataset, class_statistics
from mmseg_dg.datasets.conversion import GTA, SYNTHIA
from mmseg_dg.datasets.conversion.resized import resize_dataset
from mmseg_dg.registry import DATASETS

from .test_conversion.conftest import command  # noqa: F401  a fixture
from .trees import stripes, write_image, write_palette_label, write_synthia_label

RESIZE = dict(type='Resize', scale=(20, 16), keep_ratio=True)


def pipeline(loader='LoadAnnotations', resize=RESIZE):
    return [dict(type='LoadImageFromFile'), dict(type=loader), resize,
            dict(type='RareClassCrop', crop_size=(8, 8), min_crop_pixels=20), dict(type='RandomFlip', prob=0.5),
            dict(type='PackStreamInputs')]


def gta(root, count=4):
    for i in range(1, count + 1):
        write_image(root / f'images/{i:05d}.png', i)
        write_palette_label(root / f'labels/{i:05d}.png', stripes([7, 8, 26, 34, 0, i % 4 + 23]))
    return dict(type='GTADataset', data_root=str(root), raw_ids=True, pipeline=pipeline())


def same_samples(first, second):
    for k in range(12):
        request = SampleRequest(k % len(first), k, k % 3)
        a, b = first[request], second[request]
        assert torch.equal(a['inputs'], b['inputs']) and a['inputs'].shape == (3, 8, 8)
        assert torch.equal(a['data_samples'].gt_sem_seg.data, b['data_samples'].gt_sem_seg.data)


def test_gta_from_copies_is_gta(tmp_path, command):  # noqa: F811
    cfg = gta(tmp_path)
    code, out = command('resized_copies', 'gta', tmp_path, '--scale', 20, 16)
    assert code == 0 and '4 labels written' in out
    copies = tmp_path / 'resized_20x16'
    assert len(list(copies.glob('images/*.png'))) == 4
    original, copied = SeededDataset(dict(cfg)), SeededDataset(dict(cfg, resized=True))
    assert Path(copied.dataset.get_data_info(0)['img_path']).parent == copies / 'images'
    same_samples(original, copied)
    # rare class sampling counts pixels of the labels as published
    counts = [class_statistics(x, cache_dir=str(tmp_path / 'cache')) for x in (original, copied)]
    np.testing.assert_array_equal(*[np.asarray(c.pixel_counts) for c in counts])
    draws = [[RareClassSampler(x, seed=0, min_pixels=100, class_statistics=dict(cache_dir=str(tmp_path / 'cache'))
                               ).request(i) for i in range(20)] for x in (original, copied)]
    assert draws[0] == draws[1]


def test_classes_of_ones_own_are_counted_alike(tmp_path):
    cfg = dict(gta(tmp_path), metainfo=dict(classes=('car', 'road')))
    resize_dataset(GTA, GTA.parts[0], str(tmp_path), (20, 16), num_workers=1)
    found = [class_statistics(SeededDataset(dict(cfg, resized=resized)), cache_dir=str(tmp_path / 'cache'))
             for resized in (False, True)]
    np.testing.assert_array_equal(*[np.asarray(c.pixel_counts) for c in found])
    assert found[1].totals[0] > 0 and found[1].class_names == ('car', 'road')


def test_synthia_from_copies_is_synthia(tmp_path):
    for i in range(3):
        write_image(tmp_path / f'RGB/{i:07d}.png', i)
        write_synthia_label(tmp_path / f'GT/LABELS/{i:07d}.png', stripes([3, 4, 8, 0, 22]))
    resize_dataset(SYNTHIA, SYNTHIA.parts[0], str(tmp_path), (20, 16), num_workers=1)
    cfg = dict(type='SynthiaDataset', data_root=str(tmp_path), raw_ids=True,
               pipeline=pipeline('LoadSynthiaAnnotations'))
    same_samples(SeededDataset(dict(cfg)), SeededDataset(dict(cfg, resized=True)))


def test_a_second_run_keeps_and_a_lost_file_comes_back(tmp_path):
    gta(tmp_path)
    run = lambda **options: resize_dataset(GTA, GTA.parts[0], str(tmp_path), (20, 16), num_workers=1,  # noqa: E731
                                           **options)[0]
    assert len(run().written) == 4
    table = tmp_path / 'resized_20x16/sample_class_stats_dict.json'
    counts = json.loads(table.read_text())
    image = tmp_path / 'resized_20x16/images/00002.png'
    before = image.read_bytes()
    image.unlink()
    (tmp_path / 'resized_20x16/labels/00003_labelTrainIds.png').unlink()
    table.unlink()  # as after a kill: counted again, also of labels that are kept
    report = run()
    assert (report.written, len(report.kept)) == (['00003'], 3) and image.read_bytes() == before
    assert json.loads(table.read_text()) == counts
    report = run()
    assert len(report.kept) == 4 and json.loads(table.read_text()) == counts
    assert len(run(overwrite=True).written) == 4


def test_a_label_of_a_wrong_size_is_left_out_as_without_copies(tmp_path, command):  # noqa: F811
    cfg = gta(tmp_path)
    write_palette_label(tmp_path / 'labels/00003.png', stripes([7, 8], (26, 32)))
    code, out = command('resized_copies', 'gta', tmp_path, '--scale', 20, 16)
    assert code == 0 and '1 differ in size from their image' in out
    assert (tmp_path / 'splits/unusable.txt').read_text().split() == ['00003']
    same_samples(SeededDataset(dict(cfg)), SeededDataset(dict(cfg, resized=True)))


@pytest.mark.parametrize('resize', [
    dict(type='Resize', scale=(40, 32), keep_ratio=True),  # other copies, which are not there
    dict(type='Resize', scale=(20, 16)), dict(type='RandomResize', scale=(20, 16), ratio_range=(0.5, 2.)),
    dict(type='Resize', scale_factor=0.5, keep_ratio=True)])
def test_copies_of_another_size_are_refused(tmp_path, resize):
    cfg = dict(gta(tmp_path), pipeline=pipeline(resize=resize), resized=True)
    resize_dataset(GTA, GTA.parts[0], str(tmp_path), (20, 16), num_workers=1)
    with pytest.raises((ValueError, FileNotFoundError), match='resized=True'):
        DATASETS.build(cfg)


def test_without_copies_the_command_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='resized_copies gta .* --scale 20 16'):
        DATASETS.build(dict(gta(tmp_path), resized=True))
