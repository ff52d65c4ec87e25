"""CutMix: the distribution of boxes, and pasting."""
import numpy as np
import pytest
import torch

from mmseg_dg.ops import draw_cutmix_box, paste_boxes


@pytest.mark.parametrize('size', [(321, 321), (64, 200)])
def test_boxes_fit_and_have_the_shares_of_the_specification(size):
    rng = np.random.RandomState(0)
    boxes = [draw_cutmix_box(size, rng) for _ in range(3000)]
    found = [b for b in boxes if b is not None]
    assert abs(len(found) / 3000 - 0.5) < 0.04
    height, width = size
    for y1, y2, x1, x2 in found:
        assert 0 <= y1 < y2 <= height and 0 <= x1 < x2 <= width
    shares = np.array([(y2 - y1) * (x2 - x1) / (height * width) for y1, y2, x1, x2 in found])
    # sides are cut to whole pixels, so a box is a little smaller than drawn
    assert 0.015 < shares.min() < 0.03 and 0.37 < shares.max() <= 0.4
    assert abs(shares.mean() - 0.21) < 0.012, 'the area is uniform in [0.02, 0.4] and not redrawn'


def test_ratio_and_position_are_drawn_again_until_the_box_fits():
    rng = np.random.RandomState(1)
    found = [draw_cutmix_box((100, 100), rng, probability=1., area=(0.4, 0.4)) for _ in range(500)]
    ratios = [(y2 - y1) / (x2 - x1) for y1, y2, x1, x2 in found]
    assert max(ratios) <= 2.6 and min(ratios) >= 0.38, '0.4 of a square leaves ratios between 0.4 and 2.5'
    corners = np.array([(y1, x1) for y1, _, x1, _ in found])
    assert len(np.unique(corners, axis=0)) > 300


def test_draws_repeat():
    drawn = [[draw_cutmix_box((50, 60), np.random.RandomState(k)) for k in range(20)] for _ in range(2)]
    assert drawn[0] == drawn[1] and any(b is None for b in drawn[0]) and any(b is not None for b in drawn[0])


@pytest.mark.parametrize('channels', [(), (3, )])
def test_paste(channels):
    base, patch = torch.zeros(3, *channels, 6, 8), torch.arange(3.).add(1).view(3, *[1] * len(channels), 1, 1)
    patch = patch.expand_as(base)
    mixed = paste_boxes(base, patch, [(1, 4, 2, 5), None, (0, 6, 0, 8)])
    expected = torch.zeros_like(base)
    expected[0, ..., 1:4, 2:5] = 1
    expected[2] = 3
    assert torch.equal(mixed, expected) and not base.any()
    assert paste_boxes(base, patch, [None] * 3) is base


def test_bad_arguments():
    rng = np.random.RandomState(0)
    for arguments in (dict(probability=1.5), dict(area=(0.5, 0.2)), dict(area=(0, 0.2)), dict(ratio=(0, 1)),
                      dict(ratio=(0.3, 1, 3))):
        with pytest.raises(ValueError):
            draw_cutmix_box((32, 32), rng, **arguments)
    with pytest.raises(ValueError, match='no box'):
        draw_cutmix_box((32, 32), rng, probability=1., area=(1., 1.), ratio=(2., 3.))
    with pytest.raises(ValueError, match='one shape'):
        paste_boxes(torch.zeros(2, 4, 4), torch.zeros(2, 4, 5), [None, None])
    with pytest.raises(ValueError, match='as many boxes'):
        paste_boxes(torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), [None])
