"""Maps in the place of images: what they answer, and how they are mixed."""
import pytest
import torch

from mmseg_dg.ops import EncodedImages, mix_encoded, paste_encoded


def encoded(value, count=2, variants=()):
    maps = [torch.full((count, 3, 8, 8), float(value)), torch.full((count, 5, 2, 2), float(value))]
    return EncodedImages(maps, (32, 32), {name: encoded(value + 10, count) for name in variants})


def test_it_answers_as_a_batch_of_images():
    both = torch.cat([encoded(1, variants=['a', 'b']), encoded(2, 1, variants=['a'])])
    assert both.shape == (3, 3, 32, 32) and len(both) == 3 and both.shape[-2:] == (32, 32)
    assert both.maps[1][:, 0, 0, 0].tolist() == [1, 1, 2] and set(both.variants) == {'a'}
    back = both.flip(0)
    assert back.maps[0][:, 0, 0, 0].tolist() == [2, 1, 1]
    assert back.variants['a'].maps[0][0, 0, 0, 0] == 12


def test_what_needs_pixels_is_refused():
    with pytest.raises(ValueError, match='mirrored'):
        encoded(1).flip(-1)
    with pytest.raises(TypeError, match='needs pixels'):
        torch.cat([encoded(1), torch.zeros(2, 3, 32, 32)])
    with pytest.raises(TypeError, match='cached_features'):
        torch.flip(encoded(1), [0])
    other = EncodedImages([torch.zeros(1, 3, 8, 8)], (32, 32))
    with pytest.raises(ValueError, match='different sizes'):
        torch.cat([encoded(1), other])
    with pytest.raises(ValueError, match='one number of images'):
        EncodedImages([torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8)], (32, 32))


def test_a_cell_belongs_to_whom_covers_half_of_it():
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[0, :6, :4] = True  # of the first map: cell (0, 0) whole, (1, 0) half; of the second 24 of 256 pixels
    mask[1, :, :15] = True  # of the second map: 15 of 16 columns of its left cells
    mixed = mix_encoded(mask, encoded(1), encoded(0))
    cells = mixed.maps[0][0, 0].nonzero().tolist()
    assert cells == [[0, 0], [1, 0]]
    assert mixed.maps[1][:, 0].tolist() == [[[0, 0], [0, 0]], [[1, 0], [1, 0]]]
    mask[0, 5, 3] = False  # 7 of 16 pixels
    assert mix_encoded(mask, encoded(1), encoded(0)).maps[0][0, 0].sum() == 1
    with pytest.raises(ValueError, match='must be bool'):
        mix_encoded(mask.float(), encoded(1), encoded(0))
    with pytest.raises(ValueError, match='do not agree'):
        mix_encoded(mask[:, :16], encoded(1), encoded(0))


def test_boxes_are_pasted_at_every_stride():
    pasted = paste_encoded(encoded(0), encoded(1), [(0, 16, 16, 32), None])
    assert pasted.maps[1][0, 0].tolist() == [[0, 1], [0, 0]] and pasted.maps[1][1].abs().sum() == 0
    assert pasted.maps[0][0, 0].sum() == 16
