"""Charts of bias."""
import numpy as np
import pytest

from mmseg_dg.visualization import class_iou_chart, class_share_chart

CLASSES = ['road', 'car', 'sky', 'pole', 'sign', 'bike']


def colors(picture):
    return {tuple(c) for c in picture.reshape(-1, 3)[::7]}


def test_iou_chart_shows_every_run():
    shares = [50, 20, 15, 10, 4, 1]
    one = class_iou_chart(dict(a=[90, 80, 70, 60, np.nan, 0]), shares, CLASSES, 'title')
    two = class_iou_chart(dict(a=[90, 80, 70, 60, np.nan, 0], b=[50] * 6), shares, CLASSES)
    assert one.dtype == np.uint8 and one.ndim == 3 and one.shape[2] == 3
    blue, orange = (31, 119, 180), (255, 127, 14)
    assert blue in colors(one) and orange not in colors(one)
    assert {blue, orange} <= colors(two)
    taller = class_iou_chart(dict(a=[90] * 6), shares, CLASSES)
    assert (taller == blue).all(-1).sum() > (one == blue).all(-1).sum()


def test_share_chart_has_the_classes_colors():
    palette = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    shares = [[0.5, 0.5, 0.0], [np.nan] * 3, [0.2, 0.8, 0.0]]
    picture = class_share_chart([100, 200, 300], shares, [0.7, np.nan, 0.5], CLASSES[:3], palette)
    assert {(255, 0, 0), (0, 255, 0)} <= colors(picture)
    assert class_share_chart([1], [[1.0, 0, 0]], [0.0], CLASSES[:3]).shape[2] == 3, 'one row is no error'


def test_lengths_are_checked():
    with pytest.raises(ValueError, match='at least one run'):
        class_iou_chart({}, [1] * 6, CLASSES)
    with pytest.raises(ValueError, match='one number per class'):
        class_iou_chart(dict(a=[1]), [1] * 6, CLASSES)
    with pytest.raises(ValueError, match='shares of that shape'):
        class_share_chart([1, 2], [[1.0] * 6], [0.0, 0.0], CLASSES)
