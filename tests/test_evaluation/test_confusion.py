"""Counting pixels and scoring counts, against recorded official results and direct computation."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.evaluation import confusion_matrix, map_classes, named_scores, scores
from mmseg_dg.evaluation.confusion import _count_numpy, _count_torch, _row_table, nan_mean


def slow_matrix(prediction, label, rows, columns, ignore=255):
    matrix = np.zeros((rows, columns), np.int64)
    for p, g in zip(prediction.flatten().tolist(), label.flatten().tolist()):
        if g != ignore:
            matrix[g, p] += 1
    return matrix


@pytest.mark.claim('DAFormer')
def test_recorded_metrics(recorded):
    record = recorded('metrics')
    matrices = [confusion_matrix(p, g, 19) for p, g in zip(record['preds'], record['gts'])]
    for matrix, (hit, union, predicted, truth) in zip(matrices, record['per_image']):
        np.testing.assert_array_equal(matrix.diagonal(), hit.numpy())
        np.testing.assert_array_equal(matrix.sum(1), truth.numpy())
        np.testing.assert_array_equal(matrix.sum(0), predicted.numpy())
        np.testing.assert_array_equal(matrix.sum(0) + matrix.sum(1) - matrix.diagonal(), union.numpy())
    result = scores(sum(matrices))
    np.testing.assert_allclose(result.iou, 100 * record['result']['IoU'].numpy(), rtol=1e-12)
    np.testing.assert_allclose(result.acc, 100 * record['result']['Acc'].numpy(), rtol=1e-12)
    assert result.aacc == pytest.approx(100 * float(record['result']['aAcc']), rel=1e-12)
    assert result.miou == pytest.approx(100 * float(record['result']['IoU'].mean()), rel=1e-12)


@pytest.mark.parametrize('label_dtype', [torch.uint8, torch.int64, torch.int32])
@pytest.mark.parametrize('prediction_dtype', [torch.uint8, torch.int64])
def test_any_integer_type_and_more_predicted_classes(label_dtype, prediction_dtype):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randint(0, 7, (9, 11), generator=generator).to(prediction_dtype)
    label = torch.randint(0, 4, (9, 11), generator=generator).to(label_dtype)
    label[0] = 255
    np.testing.assert_array_equal(confusion_matrix(prediction, label, 4, 7), slow_matrix(prediction, label, 4, 7))
    table = _row_table(4, 7, 255)  # what runs on other devices
    arguments = prediction, label, table, 42
    np.testing.assert_array_equal(_count_torch(*arguments), _count_numpy(*arguments))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 6), st.sampled_from([255, 0, 3]))
def test_every_pixel_is_counted_once(seed, classes, ignore):
    rng = np.random.RandomState(seed)
    label = torch.from_numpy(rng.randint(0, classes, (5, 6)))
    prediction = torch.from_numpy(rng.randint(0, classes, (5, 6)))
    matrix = confusion_matrix(prediction, label, classes, ignore_index=ignore)
    np.testing.assert_array_equal(matrix, slow_matrix(prediction, label, classes, classes, ignore))
    assert matrix.sum() == int((label != ignore).sum())


def test_bad_input_says_what_is_wrong():
    good = torch.zeros(4, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r'4x5.*2x5.*Resize'):
        confusion_matrix(good, good[:2], 3)
    with pytest.raises(ValueError, match=r'label ids \[7, 200\].*0\.\.2.*train ids'):
        confusion_matrix(good, torch.tensor([[0, 7, 200, 255, 1]] * 4), 3)
    with pytest.raises(ValueError, match=r'label ids \[-1\]'):
        confusion_matrix(good, good - 1, 3)
    with pytest.raises(ValueError, match=r'label ids \[300\]'):
        confusion_matrix(good, good + 300, 3)
    with pytest.raises(ValueError, match='predicted ids run from 3 to 3, but there are 3 classes'):
        confusion_matrix(good + 3, good, 3)


def test_absent_and_only_predicted_classes():
    #                     class 0 right 3 of 4, class 1 only predicted, class 2 absent
    matrix = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    result = scores(matrix)
    assert result.iou[0] == 75.0
    assert result.iou[1] == 0.0
    assert math.isnan(result.iou[2])
    assert math.isnan(result.acc[1])
    assert result.miou == 37.5
    assert result.macc == 75.0
    assert result.aacc == 75.0
    assert math.isnan(scores(np.zeros((2, 2), int)).miou)
    assert math.isnan(nan_mean([]))


def test_subset_keeps_the_other_classes_as_mistakes():
    matrix = np.array([[6, 0, 2], [0, 4, 0], [3, 0, 5]])
    result = scores(matrix, subset=[0, 1])
    assert result.iou[0] == pytest.approx(100 * 6 / 11)  # the 3 pixels of class 2 are false positives
    assert math.isnan(result.iou[2])
    assert result.miou == pytest.approx((100 * 6 / 11 + 100) / 2)
    assert result.aacc == pytest.approx(100 * 10 / 12)
    assert list(named_scores(result, 'abc', [0, 1])) == ['mIoU', 'mAcc', 'aAcc', 'IoU.a', 'IoU.b', 'Acc.a', 'Acc.b']


def test_mapping_counts_equals_mapping_pixels():
    rng = np.random.RandomState(1)
    table = np.array([2, 0, 1, 1, 255, 0])
    prediction, label = rng.randint(0, 6, (20, 20)), rng.randint(0, 6, (20, 20))
    joined = map_classes(confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(label), 6), table, table, 3)
    mapped = np.where(table[prediction] == 255, 3, table[prediction])
    direct = confusion_matrix(torch.from_numpy(mapped), torch.from_numpy(table[label]), 3, 4)
    np.testing.assert_array_equal(joined, direct)
    assert joined[:, 3].sum() > 0
    result = scores(joined)
    assert result.aacc == pytest.approx(100 * joined[:, :3].diagonal().sum() / joined.sum())


def test_scores_are_python_floats_and_unrounded():
    named = named_scores(scores(np.array([[1, 2], [0, 3]])), ['a', 'b'])
    assert all(type(value) is float for value in named.values())
    assert named['IoU.a'] == 100 / 3
