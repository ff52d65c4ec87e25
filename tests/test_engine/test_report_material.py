"""What ReportMaterialHook keeps of the images that are judged."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.engine.hooks.report_material import ReportMaterialHook, _Keeper


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
