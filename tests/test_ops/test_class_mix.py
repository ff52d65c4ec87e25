"""Class mix: the drawn classes and masks of the official code, and what any mix must satisfy."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops import class_mask, draw_mix_classes, mix


def test_spec_picks_of_numpy_seed_0():
    labels = torch.tensor([[[3, 7], [10, 13]], [[255, 3], [3, 3]]])
    first, second = draw_mix_classes(labels, np.random.RandomState(0))
    assert first.tolist() == [10, 3, 7]
    assert second.tolist() == [3, 10, 7]


@pytest.mark.claim('DAFormer')
def test_recorded_choices_masks_and_mixes(recorded):
    for case in recorded('classmix')['cases']:
        step = case.get('stride', 1)
        chosen = draw_mix_classes(case['gt'], np.random.RandomState(case['np_seed']))
        for i, classes in enumerate(chosen):
            assert torch.equal(classes, case['classes'][case['choices'][i]])
            mask = class_mask(case['gt'][i, 0], classes)
            assert torch.equal(mask, case['masks'][i, 0].bool())
            shown = mask[::step, ::step]
            image = mix(shown, case['img'][i], case['target_img'][i])
            assert torch.equal(image, case['mixed_img'][i])
            label = mix(mask, case['gt'][i, 0], case['pseudo_label'][i])
            assert torch.equal(label, case['mixed_lbl'][i, 0])
            weight = case['pseudo_weight'][i]
            assert torch.equal(mix(shown, torch.ones_like(weight), weight), case['mixed_weight'][i, 0])


def test_single_class_is_always_pasted_and_candidates_can_be_given():
    labels = torch.full((2, 1, 4, 4), 5)
    assert [c.tolist() for c in draw_mix_classes(labels, np.random.default_rng(0))] == [[5], [5]]
    given_classes = torch.tensor([1, 4, 9])
    for classes in draw_mix_classes(labels, np.random.default_rng(0), given_classes):
        assert classes.numel() == 2 and set(classes.tolist()) <= {1, 4, 9}


def test_absent_class_selects_nothing_and_255_can_be_pasted():
    label = torch.tensor([[0, 255], [2, 2]])
    assert class_mask(label, torch.tensor([7, 255])).tolist() == [[False, True], [False, False]]
    assert class_mask(label.to(torch.uint8), torch.tensor([7, 255])).tolist() == [[False, True], [False, False]]
    assert not class_mask(label, torch.tensor([], dtype=torch.long)).any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 3), size=st.integers(1, 9), classes=st.integers(1, 8))
def test_every_pixel_comes_from_exactly_one_side(seed, batch, size, classes):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (batch, size, size + 1), generator=generator)
    chosen = draw_mix_classes(labels, np.random.RandomState(seed))
    present = labels.unique()
    for label, picked in zip(labels, chosen):
        assert picked.numel() == (present.numel() + 1) // 2 == picked.unique().numel()
        assert torch.isin(picked, present).all()
        mask = class_mask(label, picked)
        foreground = torch.rand(3, size, size + 1, generator=generator)
        background = -1 - foreground
        mixed = mix(mask, foreground, background)
        assert torch.equal(mixed == foreground, mask.expand(3, -1, -1))
        assert torch.equal(mixed == background, ~mask.expand(3, -1, -1))
        assert torch.equal(mix(~mask, background, foreground), mixed)


def test_one_mask_per_image_of_a_batch():
    masks = torch.rand(3, 4, 5) > 0.5  # as many images as channels: must not be taken for a mask per channel
    images, others = torch.rand(3, 3, 4, 5), torch.rand(3, 3, 4, 5)
    expected = torch.stack([mix(m, a, b) for m, a, b in zip(masks, images, others)])
    assert torch.equal(mix(masks, images, others), expected)
    assert torch.equal(mix(masks.unsqueeze(1), images, others), expected)


@pytest.mark.parametrize('mask, front, back, message', [
    (torch.ones(4, 5, dtype=torch.bool), torch.rand(3, 4, 5), torch.rand(3, 5, 4), r'\(3, 5, 4\)'),
    (torch.ones(4, 5, dtype=torch.bool), torch.rand(4, 5), torch.rand(4, 5).double(), 'float64'),
    (torch.ones(4, 5), torch.rand(4, 5), torch.rand(4, 5), 'mask must be bool'),
    (torch.ones(1, 5, dtype=torch.bool), torch.rand(3, 4, 5), torch.rand(3, 4, 5), r'mask \(1, 5\)'),
    (torch.ones(2, 4, 5, dtype=torch.bool), torch.rand(3, 4, 5), torch.rand(3, 4, 5), r'mask \(2, 4, 5\)'),
    (torch.ones(3, 4, 5, dtype=torch.bool), torch.rand(4, 5), torch.rand(4, 5), r'mask \(3, 4, 5\)'),
])
def test_mix_refuses_what_does_not_fit(mask, front, back, message):
    with pytest.raises(ValueError, match=message):
        mix(mask, front, back)


def test_draw_refuses_wrong_arguments():
    rng = np.random.RandomState(0)
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 4\)'):
        draw_mix_classes(torch.zeros(2, 3, 4, 4, dtype=torch.long), rng)
    with pytest.raises(ValueError, match='float32'):
        draw_mix_classes(torch.zeros(2, 4, 4), rng)
    with pytest.raises(ValueError, match='non-empty'):
        draw_mix_classes(torch.zeros(2, 4, 4, dtype=torch.long), rng, torch.tensor([], dtype=torch.long))
    with pytest.raises(TypeError, match='int'):
        draw_mix_classes(torch.zeros(2, 4, 4, dtype=torch.long), 0)
    with pytest.raises(ValueError, match=r'\(1, 4, 4\)'):
        class_mask(torch.zeros(1, 4, 4, dtype=torch.long), torch.tensor([0]))
    with pytest.raises(ValueError, match='1-D'):
        class_mask(torch.zeros(4, 4, dtype=torch.long), torch.tensor(0))
