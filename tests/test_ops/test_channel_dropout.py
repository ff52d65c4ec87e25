"""Complementary channel dropout (docs/behavior/unimatch_v2.md#complementary-dropout)."""
import numpy as np
import pytest
import torch

from mmseg_dg.ops import draw_complementary_masks, drop_complementary_channels


def draw(count, widths, seed=0, share=0.5):
    return draw_complementary_masks(count, widths, np.random.RandomState(seed), share)


def factors(masks, level=0):
    """Factors of both views, (B, C) each."""
    width = masks.channels[level].shape[1]
    ones = torch.ones(2 * len(masks.whole), width, 1, 1)
    return drop_complementary_channels(ones, masks.channels[level], masks.whole)[..., 0, 0].chunk(2)


def test_the_views_add_up_to_two_and_whole_images_keep_everything():
    for count in (1, 2, 3, 5):
        masks = draw(count, [40])
        one, two = factors(masks)
        assert torch.equal(one + two, torch.full((count, 40), 2.))
        assert int(masks.whole.sum()) == count // 2
        assert (one[masks.whole] == 1).all() and (two[masks.whole] == 1).all()
        assert set(one[~masks.whole].unique().tolist()) == {0., 2.}


@pytest.mark.parametrize('share, whole', [(0., 10), (0.5, 5), (0.9, 1), (1., 0)])
def test_share_of_dropped_images(share, whole):
    assert int(draw(10, [4], share=share).whole.sum()) == whole


def test_equal_widths_share_one_mask_and_others_are_drawn_level_by_level():
    shared = draw(3, [16, 16, 16]).channels
    assert all(torch.equal(m, shared[0]) for m in shared) and len(shared) == 3
    own = draw(3, [16, 8, 16]).channels
    assert [m.shape for m in own] == [(3, 16), (3, 8), (3, 16)] and not torch.equal(own[0], own[2])


def test_the_mean_over_draws_is_the_feature():
    rng, total = np.random.RandomState(1), torch.zeros(2, 8)
    draws = 1500
    for _ in range(draws):
        masks = draw_complementary_masks(2, [8], rng)
        total += factors(masks)[0]
    # half of the time a factor of 0 or 2, else 1: variance 1/2
    assert ((total / draws - 1).abs() < 4 * (0.5 / draws) ** 0.5).all()


def test_images_are_drawn_without_preference_and_draws_repeat():
    counts = sum(draw(4, [2], seed=s).whole.float() for s in range(400)) / 400
    assert ((counts - 0.5).abs() < 0.1).all()
    a, b, other = draw(4, [8], 7), draw(4, [8], 7), draw(4, [8], 8)
    assert torch.equal(a.channels[0], b.channels[0]) and torch.equal(a.whole, b.whole)
    assert not torch.equal(a.channels[0], other.channels[0])
    off = draw(4, [8], 7, share=0.)
    assert torch.equal(off.channels[0], a.channels[0]), 'the share does not shift what is drawn'


def test_dtype_graph_and_errors():
    masks = draw(1, [4])
    features = torch.randn(2, 4, 3, 5, dtype=torch.bfloat16, requires_grad=True)
    out = drop_complementary_channels(features, masks.channels[0], masks.whole)
    assert out.dtype == torch.bfloat16 and out.shape == features.shape
    out.sum().backward()
    assert torch.equal(features.grad[:, :, 0, 0].float(), torch.cat(factors(masks)))
    with pytest.raises(ValueError, match=r'\(2 B, C, h, w\)'):
        drop_complementary_channels(features[:1], masks.channels[0], masks.whole)
    with pytest.raises(ValueError, match=r'\(2 B, C, h, w\)'):
        drop_complementary_channels(torch.zeros(2, 5, 3, 3), masks.channels[0], masks.whole)
    for count, widths in ((0, [4]), (1, []), (1, [0])):
        with pytest.raises(ValueError, match='needs images and channels'):
            draw(count, widths)
    with pytest.raises(ValueError, match='share of the images'):
        draw(1, [4], share=1.5)
