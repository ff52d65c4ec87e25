"""What ReportMaterialHook keeps of the images that are judged."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.engine.hooks.report_material import ReportMaterialHook, _Keeper, read_photo
from mmseg_dg.registry import DATASETS, TRANSFORMS


def judged(seed, label_size=(24, 40), size=(24, 40)):
    """A sample as a network leaves it: three classes, logits, label."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, *size, generator=generator)
    sample = SegDataSample(metainfo=dict(domain='city', img_path=f'/data/{seed}.png'))
    sample.seg_logits = PixelData(data=logits)
    sample.pred_sem_seg = PixelData(data=logits.argmax(0, keepdim=True))
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, *label_size), generator=generator))
    return sample


def kept(samples, **options):
    hook = ReportMaterialHook(samples=len(samples), extremes=0, **options)
    loop = SimpleNamespace(dataloader=dict(city=SimpleNamespace(dataset=samples)),
                           evaluator=dict(city=SimpleNamespace(metrics=[])))
    hook.before_val_epoch(None)
    for sample in samples:
        hook.after_val_iter(SimpleNamespace(val_loop=loop), 0, outputs=[sample])
    return [entry for entry, _ in hook._keepers['city'].chosen()]


def test_predictions_labels_and_confidence_are_kept_as_they_are():
    samples = [judged(0), judged(1)]
    entries = kept(samples)
    assert [e['path'] for e in entries] == ['/data/0.png', '/data/1.png']
    for entry, sample in zip(entries, samples):
        assert np.array_equal(entry['prediction'], sample.pred_sem_seg.data[0].numpy())
        assert np.array_equal(entry['label'], sample.gt_sem_seg.data[0].numpy())
        confidence = sample.seg_logits.data.softmax(0).amax(0).numpy()
        assert np.abs(entry['confidence'] / 255 - confidence).max() <= 0.5 / 255 + 1e-6


def test_a_label_of_another_size_is_not_shown_beside_a_prediction():
    assert 'label' not in kept([judged(0, label_size=(24, 39))])[0]
    assert 'label' not in kept([judged(0, label_size=(23, 40))])[0]


def test_large_maps_are_scaled_down_without_new_values():
    entry, = kept([judged(0)], longest=20)
    assert entry['prediction'].shape == entry['label'].shape == entry['confidence'].shape == (12, 20)
    assert set(np.unique(entry['label'])) <= {0, 1, 2}


def test_evenly_spread_samples_the_best_and_the_worst_are_kept():
    scores = [50., 10., 90., float('nan'), 30., 95., 5., 60., 40., 20.]
    keeper = _Keeper(len(scores), samples=3, extremes=2)
    for index, score in enumerate(scores):
        kinds = keeper.wants(index, score)
        if kinds:
            keeper.keep(dict(index=index, score=score), kinds)
    assert {entry['index']: kinds for entry, kinds in keeper.chosen()} == {
        0: ['sample'], 1: ['worst'], 2: ['best'], 4: ['sample'], 5: ['best'], 6: ['worst'], 9: ['sample']}


@pytest.mark.parametrize('options', [dict(samples=-1), dict(extremes=-1), dict(longest=15)])
def test_bad_numbers(options):
    with pytest.raises(ValueError, match='must not be negative'):
        ReportMaterialHook(**options)


def test_the_main_process_of_several_keeps_some_of_the_images_it_judges(monkeypatch):
    """Of 9 images process 0 of 2 judges 0, 2, 4, 6, 8: the first, the middle and the last of these are samples."""
    assert _Keeper(9, samples=3, extremes=0, step=2).sample_indices == {0, 4, 8}
    assert _Keeper(10, samples=3, extremes=0, step=2).sample_indices == {0, 4, 8}
    assert _Keeper(1, samples=3, extremes=0, step=4).sample_indices == {0}
    monkeypatch.setattr('mmseg_dg.engine.hooks.report_material.get_world_size', lambda: 2)
    hook = ReportMaterialHook(samples=3, extremes=0)
    loop = SimpleNamespace(dataloader=dict(city=SimpleNamespace(dataset=range(9))),
                           evaluator=dict(city=SimpleNamespace(metrics=[])))
    hook.before_val_epoch(None)
    for seed in (0, 2, 4, 6, 8):
        hook.after_val_iter(SimpleNamespace(val_loop=loop), 0, outputs=[judged(seed)])
    found = [entry for entry, _ in hook._keepers['city'].chosen()]
    assert [(entry['index'], entry['path']) for entry in found] == [(i, f'/data/{i}.png') for i in (0, 4, 8)]


def test_images_of_12_bits_are_shown_as_the_pipeline_scales_them(tmp_path):
    """4095 of 12 bits is 255, 2048 is 128 (127.5 rounded up), 0 stays; OpenCV alone would show 16, 8 and 0."""
    values = np.zeros((8, 30, 3), np.uint16)
    values[:, :10], values[:, 10:20] = 4095, 2048
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images/a.png'), values)
    load = dict(type='LoadImageFromFile', bit_depth=12)
    data = DATASETS.build(dict(type='FolderDataset', data_root=str(tmp_path), data_prefix=dict(img_path='images'),
                               classes=['a', 'b'], pipeline=[load, dict(type='PackSegInputs')]))
    sample = judged(0, size=(8, 30))
    sample.set_metainfo(dict(img_path=str(tmp_path / 'images/a.png')))
    hook = ReportMaterialHook(samples=1, extremes=0)
    loop = SimpleNamespace(dataloader=dict(city=SimpleNamespace(dataset=data)),
                           evaluator=dict(city=SimpleNamespace(metrics=[])))
    hook.before_val_epoch(None)
    hook.after_val_iter(SimpleNamespace(val_loop=loop), 0, outputs=[sample])
    hook._write(SimpleNamespace(log_dir=str(tmp_path)), loop, 'iter_1')
    shown = cv2.imread(str(tmp_path / 'report/iter_1/city/0000_image.jpg'))
    assert np.abs(shown[:, [3, 15, 26], 1].astype(int) - [255, 128, 0]).max() <= 3  # JPEG


def test_the_first_three_channels_of_a_stack_are_shown(tmp_path):
    bgra = np.zeros((4, 4, 4), np.uint8)
    bgra[..., :] = (10, 20, 30, 200)
    cv2.imwrite(str(tmp_path / 'a.png'), bgra)
    stack = TRANSFORMS.build(dict(type='LoadImageStack', channels=4, to_float32=True))
    assert read_photo(str(tmp_path / 'a.png'), stack)[0, 0].tolist() == [10, 20, 30]  # BGR again
    assert read_photo(str(tmp_path / 'a.png'), TRANSFORMS.build(dict(type='LoadImageStack', channels=3))) is None
    assert read_photo(str(tmp_path / 'none.png'), stack) is None
