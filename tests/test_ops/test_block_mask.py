"""Block masks against the recorded draw of docs/behavior/daformer_hrda.md#check-values."""
import pytest
import torch

from mmseg_dg.ops import draw_kept_blocks, enlarge_blocks


def draw_block_mask(count, size, *arguments):
    """The mask of pixels that a masked pass multiplies images with."""
    return enlarge_blocks(draw_kept_blocks(count, size, *arguments), size)


def test_recorded_draw():
    mask = draw_block_mask(2, (256, 256), 64, 0.7, torch.Generator().manual_seed(0))
    rows = [[''.join(str(int(v)) for v in row) for row in image[0, ::64, ::64]] for image in mask]
    assert rows == [['0100', '0001', '0000', '0000'], ['0100', '0101', '0010', '0001']]
    assert torch.equal(mask[:, :, :64, :64], mask[:, :, :1, :1].expand(2, 1, 64, 64))


def test_extremes_and_errors():
    assert draw_block_mask(1, (32, 48), 16, 0.0).min() == 1
    assert draw_block_mask(1, (32, 48), 16, 1.0).max() == 0
    with pytest.raises(ValueError, match='block_size=64'):
        draw_block_mask(1, (32, 48), 64, 0.5)
    with pytest.raises(ValueError, match='ratio'):
        draw_block_mask(1, (32, 48), 16, 1.5)
