"""Calibration error, risk and coverage by hand; the metric on maps, over images and processes."""
import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_dg.evaluation import CalibrationMetric, calibration_error, confidence_histogram, risk_coverage
from mmseg_dg.evaluation.calibration import Histogram


def histogram(confidences, right, bins):
    return confidence_histogram(torch.tensor(confidences, dtype=torch.float64), torch.tensor(right), bins)


def test_calibration_error_by_hand():
    # bins of 0.1: (0.5, 0.6]: accuracy 1/2, confidence 0.575; (0.8, 0.9]: 2/2 against 0.875; (0.9, 1]: 0/1 against 1
    found = histogram([.55, .6, .85, .9, 1.], [True, False, True, True, False], 10)
    assert found.count.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 2, 1]
    assert calibration_error(found, 10) == pytest.approx(100 * (2 * .075 + 2 * .125 + 1 * 1.) / 5)
    # two bins: (0, 0.5] is empty; (0.5, 1]: 3/5 against 0.78
    assert calibration_error(found, 2) == pytest.approx(18.)


def test_edges_belong_to_the_bin_below():
    assert histogram([0., .2, .2000001, 1.], [True] * 4, 5).count.tolist() == [2, 1, 0, 0, 1]


def test_perfect_calibration_has_no_error():
    assert calibration_error(histogram([.75] * 4, [True, True, True, False], 4), 4) == pytest.approx(0)
    assert math.isnan(calibration_error(Histogram(*np.zeros((3, 4))), 4))
    with pytest.raises(ValueError, match='cannot be joined'):
        calibration_error(histogram([.5], [True], 4), 3)


@pytest.mark.parametrize('confidence, right', [
    (torch.tensor([1.2]), torch.tensor([True])), (torch.tensor([math.nan]), torch.tensor([True])),
    (torch.tensor([.5]), torch.tensor([1])), (torch.tensor([.5, .5]), torch.tensor([True]))])
def test_bad_confidences(confidence, right):
    with pytest.raises(ValueError, match='confidence'):
        confidence_histogram(confidence, right, 10)


def test_risk_and_coverage_by_hand():
    # from the surest: right, wrong, right, wrong -> risks 0, 1/2, 1/3, 1/2
    curve = risk_coverage(histogram([.95, .85, .75, .65], [True, False, True, False], 10))
    assert curve.coverage.tolist() == [.25, .5, .75, 1.]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.threshold.tolist() == [.9, .8, .7, .6]
    assert curve.area == pytest.approx(100 * (0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve.risk_at(.5) == pytest.approx(50) and curve.risk_at(1.) == pytest.approx(50)
    assert curve.risk_at(.625) == pytest.approx(100 * 1 / 2.5)  # 1 error in 2.5 of 4 pixels


def test_equal_confidences_spread_their_errors():
    # three pixels of one bin, one of them wrong: every prefix has a third of it
    assert risk_coverage(histogram([.95, .95, .95], [True, False, True], 10)).area == pytest.approx(100 / 3)
    # one right, then two with one error: risks 0, 0.5 / 2, 1 / 3
    curve = risk_coverage(histogram([.95, .75, .75], [True, True, False], 10))
    assert curve.area == pytest.approx(100 * (0 + .25 + 1 / 3) / 3)
    nothing = risk_coverage(Histogram(*np.zeros((3, 4))))
    assert math.isnan(nothing.area) and math.isnan(nothing.risk_at(.5))


def sample(probabilities, label, name='img/a.png'):
    """Probabilities of class 0 of two; both (H, W)."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return dict(seg_logits=dict(data=torch.stack([p, 1 - p]).log()), img_path=name,
                gt_sem_seg=dict(data=torch.tensor(label)[None]))


FIRST = sample([[.95, .8], [.3, .6]], [[0, 1], [1, 255]])  # right .95, wrong .8, right .7, ignored
SECOND = sample([[.65]], [[0]], 'img/b.png')


def test_the_metric_over_images(tmp_path):
    metric = CalibrationMetric(bins=10, fine=10, output_dir=str(tmp_path), coverages=(.5, 1.))
    metric.process(None, [FIRST])
    metric.process(None, [SECOND])
    found = metric.evaluate(2)
    assert found == pytest.approx(dict(
        ECE=100 * (.05 + .8 + .3 + .35) / 4, confidence=100 * (.95 + .8 + .7 + .65) / 4, accuracy=75.,
        AURC=100 * (0 + 1 / 2 + 1 / 3 + 1 / 4) / 4, **{'risk.50': 50., 'risk.100': 25.}))
    assert np.asarray(Image.open(tmp_path / 'confidence' / 'a.png')).tolist() == [[242, 204], [178, 153]]
    rows = list(csv.DictReader((tmp_path / 'risk_coverage.csv').open()))
    assert [float(row['coverage']) for row in rows] == [.25, .5, .75, 1.]
    rows = list(csv.DictReader((tmp_path / 'reliability.csv').open()))
    assert [int(row['pixels']) for row in rows] == [0, 0, 0, 0, 0, 0, 2, 1, 0, 1] and rows[0]['accuracy'] == ''


def test_two_processes_and_a_repeated_image(monkeypatch):
    module, parts = 'mmseg_dg.evaluation.calibration_metric', []
    for rank, own in enumerate(([FIRST, SECOND], [SECOND, FIRST])):  # three images; rank 1 repeats the first
        monkeypatch.setattr(f'{module}.get_dist_info', lambda rank=rank: (rank, 2))
        monkeypatch.setattr(f'{module}.all_reduce', lambda t: parts.append(t.clone()))
        metric = CalibrationMetric(bins=10, fine=1)
        metric.process(None, own)
        metric.evaluate(3)
    assert float(sum(parts)[0].sum()) == 3 + 1 + 1  # pixels


def test_joined_classes_count_as_right():
    label = sample([[.9, .2]], [[1, 0]])
    strict, joined = CalibrationMetric(bins=10), CalibrationMetric(bins=10, label_map=[0, 0])
    for metric in (strict, joined):
        metric.process(None, [label])
    assert strict.evaluate(1)['accuracy'] == 0 and joined.evaluate(1)['accuracy'] == 100
    ignoring = CalibrationMetric(bins=10, label_map=[0, 255])
    ignoring.process(None, [label])
    assert ignoring.evaluate(1)['accuracy'] == 0 and ignoring.histogram.count.sum() == 1


def test_missing_and_strange_labels():
    with pytest.raises(ValueError, match='a.png has no gt_sem_seg.*LabelFreeMetric'):
        CalibrationMetric().process(None, [{k: v for k, v in FIRST.items() if k != 'gt_sem_seg'}])
    with pytest.raises(ValueError, match='outside 0..1'):
        CalibrationMetric().process(None, [sample([[.5]], [[7]])])
    with pytest.raises(ValueError, match='coverages'):
        CalibrationMetric(coverages=(0., ))
