"""Detail crops and sliding windows."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops import cut_box, draw_crop_box, shift_box, shrink_box, sliding_boxes


@pytest.mark.claim('HRDA')
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_recorded_boxes(recorded, seed):
    boxes = recorded('hrda_crop_boxes')['boxes'][seed]
    rng = np.random.RandomState(seed)
    ours = [draw_crop_box((1024, 1024), (512, 512), 8, rng) for _ in range(len(boxes))]
    assert len(boxes) == 50 and ours == [tuple(box) for box in boxes.tolist()]


def test_boxes_of_the_specification():
    rng = np.random.RandomState(0)
    offsets = [draw_crop_box((1024, 1024), (512, 512), 8, rng)[0::2] for _ in range(6)]
    assert offsets == [(352, 376), (424, 0), (24, 472), (24, 312), (72, 152), (168, 400)]


@pytest.mark.parametrize('image, crop, largest', [(1024, 512, 504), (768, 512, 248), (1024, 384, 632)])
def test_the_last_offset_is_never_drawn(image, crop, largest):
    rng = np.random.RandomState(3)
    seen = {draw_crop_box((image, image), (crop, crop), 8, rng)[0] for _ in range(2000)}
    assert (min(seen), max(seen)) == (0, largest)


def test_no_draw_where_there_is_no_choice():
    assert draw_crop_box((512, 512), (512, 512), 8, None) == (0, 512, 0, 512)
    assert draw_crop_box((515, 514), (512, 512), 8, None) == (0, 512, 0, 512), 'margins below the divisor'
    rng = np.random.RandomState(0)
    assert draw_crop_box((512, 1024), (512, 512), 8, rng)[2] == np.random.RandomState(0).randint(0, 64) * 8


def test_rows_may_differ_from_columns():
    y1, y2, x1, x2 = draw_crop_box((256, 1024), (128, 512), 16, np.random.RandomState(1))
    rng = np.random.RandomState(1)
    assert (y1, x1) == (rng.randint(0, 8) * 16, rng.randint(0, 32) * 16)
    assert (y2 - y1, x2 - x1) == (128, 512)


def test_bad_crops_are_named():
    with pytest.raises(ValueError, match='512x640 is larger than the image 600x600'):
        draw_crop_box((600, 600), (512, 640), 8, np.random.RandomState(0))
    with pytest.raises(ValueError, match='got 0'):
        draw_crop_box((600, 600), (512, 512), 0, np.random.RandomState(0))
    with pytest.raises(ValueError, match=r'stride \(64, 128\)'):
        sliding_boxes((600, 600), (64, 64), (64, 128))
    with pytest.raises(ValueError, match=r'stride \(0, 8\)'):
        sliding_boxes((600, 600), (64, 64), (0, 8))


def test_windows_of_the_paper():
    """Cityscapes: 3 outer windows of 9 detail windows, 21 different ones."""
    outer = sliding_boxes((1024, 2048), (1024, 1024), (512, 512))
    assert outer == [(0, 1024, 0, 1024), (0, 1024, 512, 1536), (0, 1024, 1024, 2048)]
    inner = sliding_boxes((1024, 1024), (512, 512), (256, 256))
    assert len(inner) == 9 and inner[1] == (0, 512, 256, 768)
    assert len({shift_box(box, window[0], window[2]) for window in outer for box in inner}) == 21
    assert len(sliding_boxes((1080, 1920), (1024, 1024), (512, 512))) == 6, 'ACDC'


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 90)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.data())
def test_windows_cover_every_pixel(size, crop, data):
    stride = tuple(data.draw(st.integers(1, c)) for c in crop)
    covered = torch.zeros(size)
    for box in sliding_boxes(size, crop, stride):
        part = cut_box(covered, box)
        assert part.shape == (min(size[0], crop[0]), min(size[1], crop[1]))
        part.add_(1)
    assert covered.min() >= 1


def test_shrinking_cuts_off():
    assert shrink_box((24, 88, 40, 104), 8) == (3, 11, 5, 13)
    assert shrink_box((24, 88, 40, 104), 16) == (1, 5, 2, 6)
    assert shrink_box((8, 16, 24, 32), 4 / 0.75) == (1, 3, 4, 6)
