"""Scores of frequent and rare classes, on confusion matrices one can compute by hand."""
import csv
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from mmseg_dg.evaluation import bias_scores, frequency_groups
from mmseg_dg.evaluation.bias import domain_bias
from mmseg_dg.registry import METRICS

NAMES = list('abcdef')


def hand_matrix():
    """Pixels 60, 20, 10, 6, 3, 1; half of b goes to a, all of f to a, the rest is right."""
    matrix = np.diag([60, 10, 10, 6, 3, 0]).astype(np.int64)
    matrix[1, 0], matrix[5, 0] = 10, 1
    return matrix


def test_thirds_of_the_classes():
    assert frequency_groups([60, 20, 10, 6, 3, 1]) == dict(head=[0, 1], middle=[2, 3], tail=[4, 5])
    shuffled = frequency_groups([1, 60, 3, 20, 6, 10])
    assert shuffled == dict(head=[1, 3], middle=[5, 4], tail=[2, 0])
    sizes = [len(g) for g in frequency_groups(range(11)).values()]
    assert sizes == [4, 4, 3]
    assert frequency_groups([5, 4, 3, 2, 1], subset=[0, 2, 4]) == dict(head=[0], middle=[2], tail=[4])
    with pytest.raises(ValueError, match='at least 3'):
        frequency_groups([1, 2])


def test_scores_by_hand():
    found = bias_scores(hand_matrix(), NAMES)
    iou_a, iou_b = 60 / 71, 10 / 20
    assert found['mIoU.head'] == pytest.approx(100 * (iou_a + iou_b) / 2)
    assert found['mIoU.middle'] == 100 and found['mIoU.tail'] == 50, 'e is right, f is lost'
    assert found['mAcc.head'] == pytest.approx(75) and found['mAcc.tail'] == 50
    assert [found[f'Share.{n}'] for n in NAMES] == [60, 20, 10, 6, 3, 1]


def test_given_frequencies_decide_the_groups():
    """The same classes in every domain, whatever a domain's own labels hold."""
    found = bias_scores(hand_matrix(), NAMES, frequency=[1, 3, 6, 10, 20, 60])
    assert found['mIoU.head'] == 50 and found['Share.f'] == 60
    absent = hand_matrix()
    absent[5] = absent[4] = 0
    found = bias_scores(absent, NAMES, frequency=[60, 20, 10, 6, 3, 1])
    assert math.isnan(found['mIoU.tail']), 'no class of the tail occurs'


def metric(**kwargs):
    built = METRICS.build(dict(type='ClassBiasMetric', **kwargs))
    built.dataset_meta = dict(classes=NAMES)
    return built


def sample(label, prediction):
    import torch
    return dict(gt_sem_seg=dict(data=torch.tensor([label])), pred_sem_seg=dict(data=torch.tensor([prediction])),
                img_path='x.png')


def test_metric_adds_to_the_ordinary_scores():
    label, prediction = [[0, 0, 0, 1, 1, 2, 3, 4, 5, 255]], [[0, 0, 0, 1, 0, 2, 3, 4, 0, 0]]
    plain = METRICS.build(dict(type='ConfusionMatrixMetric'))
    plain.dataset_meta = dict(classes=NAMES)
    found = {}
    for m in (plain, metric()):
        m.process({}, [sample(label, prediction)])
        found[type(m).__name__] = m.evaluate(1)
    ours, base = found['ClassBiasMetric'], found['ConfusionMatrixMetric']
    assert {k: ours[k] for k in base} == base
    assert set(ours) - set(base) == {f'{m}.{g}' for m in ('mIoU', 'mAcc') for g in ('head', 'middle', 'tail')} | {
        f'Share.{n}' for n in NAMES}
    assert ours['mIoU.middle'] == 100 and ours['mIoU.tail'] == 50


def test_subset_and_frequencies_by_name():
    built = metric(frequency=dict(zip(NAMES, [6, 5, 4, 3, 2, 1])), classes_subset=['a', 'c', 'f'])
    built.process({}, [sample([[0, 1, 2, 5]], [[0, 0, 2, 5]])])
    scores = built.evaluate(1)
    assert scores['mIoU.head'] == 50 and scores['mIoU.middle'] == scores['mIoU.tail'] == 100
    assert 'Share.b' not in scores
    for frequency in ([1, 2], dict(a=1), dict(zip(NAMES, [1] * 5 + [-1]))):
        wrong = metric(frequency=frequency)
        wrong.process({}, [sample([[0]], [[0]])])
        with pytest.raises(ValueError, match='frequency needs one number'):
            wrong.evaluate(1)


def test_bias_of_domains_in_a_loops_metrics():
    found = domain_bias({'day/IoU.a': 5., 'day/Share.a': 60., 'day/IoU.b': 7., 'day/Share.b': 40., 'dusk/IoU.a': 1.})
    assert found == dict(day=(['a', 'b'], [60., 40.], [5., 7.]))


def evaluation_csv(path, shares, iou):
    names = ['mIoU', 'mIoU.head', *(f'Share.{n}' for n in NAMES), *(f'IoU.{n}' for n in NAMES)]
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerows([['domain', *names], ['day', np.mean(iou), iou[0], *shares, *iou], ['dusk', 1., *[''] * 13]])
    return str(path)


def test_tool_compares_runs_on_the_same_thirds(tmp_path, capsys):
    path = Path(__file__).resolve().parents[2] / 'tools/analysis_tools/class_bias.py'
    spec = importlib.util.spec_from_file_location('class_bias', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    shares, out = [50, 20, 15, 10, 4, 1], tmp_path / 'bias.png'
    a = evaluation_csv(tmp_path / 'a.csv', shares, [90, 80, 70, 60, 50, 0])
    b = evaluation_csv(tmp_path / 'b.csv', shares, [80] * 6)
    other = evaluation_csv(tmp_path / 'c.csv', shares[::-1], [80] * 6)
    assert tool.main([f'one={a}', f'two={b}', '--domain', 'day', '--out', str(out)]) == 0
    assert out.is_file() and '| two | 80.00 | 80.00 | nan |' in capsys.readouterr().out
    assert tool.main([f'one={a}', f'two={other}', '--domain', 'day', '--out', str(out)]) == 1
    assert 'c.csv has other classes or class shares' in capsys.readouterr().err
    for domain, words in (('night', "no domain 'night'"), ('dusk', 'no class shares')):
        assert tool.main([a, '--domain', domain, '--out', str(out)]) == 1
        assert words in capsys.readouterr().err
