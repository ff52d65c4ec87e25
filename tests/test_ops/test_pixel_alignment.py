"""Entropy, drift pixels, prototypes, InfoNCE: against plain formulas, and what must hold for any input."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops.entropy import entropy_guided_boxes, highest_pixels, linear_schedule, pixel_entropy
from mmseg_dg.ops.pixel_alignment import (
    ClassSums,
    Prototypes,
    boxes_per_image,
    check_alignable,
    class_prototypes,
    class_sums,
    cut_boxes,
    gather_pixels,
    group_images,
    info_nce,
    nearest,
    select_prototypes,
)


def random_case(seed=0, batch=2, channels=6, classes=4, size=(5, 7), dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, channels, *size, generator=g, dtype=dtype)
    labels = torch.randint(0, classes, (batch, *size), generator=g)
    labels[torch.rand(labels.shape, generator=g) < 0.2] = 255
    entropy = torch.rand(batch, *size, generator=g, dtype=dtype)
    return features, labels, entropy


# ---------------------------------------------------------------- entropy
def test_entropy_against_numpy_and_its_limits():
    logits = torch.randn(2, 5, 3, 4, dtype=torch.float64) * 4
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(pixel_entropy(logits).numpy(), -(p * np.log(p)).sum(1), atol=1e-12)
    even, sure = torch.zeros(1, 5, 1, 1), torch.tensor([1e4, 0, 0, 0, -math.inf]).view(1, 5, 1, 1)
    assert float(pixel_entropy(even, normalized=True)) == pytest.approx(1)
    assert float(pixel_entropy(sure)) == 0
    half = pixel_entropy(logits.half())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, pixel_entropy(logits).float(), atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize('shape', [(2, 5, 3), (1, 1, 4, 4)])
def test_entropy_refuses(shape):
    with pytest.raises(ValueError, match='logits'):
        pixel_entropy(torch.zeros(shape))


# ---------------------------------------------------------------- partition
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), eta=st.floats(0, 1), levels=st.integers(1, 40), ignored=st.floats(0, 1))
def test_exactly_k_pixels_per_image_ties_by_index(seed, eta, levels, ignored):
    """Few distinct scores make many ties; the oracle sorts (score descending, index ascending) in Python."""
    g = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, levels, (3, 4, 6), generator=g).float() / 7
    valid = torch.rand(3, 4, 6, generator=g) >= ignored
    chosen = highest_pixels(scores, valid, eta)
    for score, ok, got in zip(scores.flatten(1).tolist(), valid.flatten(1).tolist(), chosen.flatten(1)):
        order = sorted((i for i in range(24) if ok[i]), key=lambda i: (-score[i], i))
        k = round(eta * sum(ok))
        assert sorted(order[:k]) == got.nonzero().flatten().tolist()


def test_partition_takes_infinities_and_nan_as_scores():
    scores = torch.tensor([[[math.nan, -math.inf, 1., math.inf, 2., -math.inf]]])
    valid = torch.tensor([[[True, True, True, True, True, False]]])
    order = [highest_pixels(scores, valid, k / 5).flatten().nonzero().flatten().tolist() for k in range(6)]
    assert order == [[], [0], [0, 3], [0, 3, 4], [0, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_every_image_has_its_own_threshold():
    scores = torch.stack([torch.arange(20.).view(4, 5), torch.arange(20.).view(4, 5) + 100])
    chosen = highest_pixels(scores, torch.ones(2, 4, 5, dtype=torch.bool), 0.2)
    assert chosen.sum((1, 2)).tolist() == [4, 4], 'a common threshold would take 8 of the second image'
    assert float(scores[0][chosen[0]].min()) == 16 and float(scores[1][chosen[1]].min()) == 116


@pytest.mark.parametrize('eta', [-0.1, 1.5, float('nan'), '0.2', True])
def test_fraction_outside_the_unit_interval(eta):
    with pytest.raises(ValueError, match=r'\[0, 1\]'):
        highest_pixels(torch.zeros(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), eta)


def test_schedule_at_start_middle_and_end():
    assert linear_schedule(0.2, 0.001, 0, 60001) == 0.2
    assert linear_schedule(0.2, 0.001, 30000, 60001) == pytest.approx(0.1005, rel=1e-12)
    assert linear_schedule(0.2, 0.001, 60000, 60001) == 0.001
    assert linear_schedule(0.2, 0.001, 70000, 60001) == 0.001, 'a longer run keeps the last value'
    assert linear_schedule(0.2, 0.001, 5, None) == linear_schedule(0.2, 0.001, 0, 1) == 0.2
    with pytest.raises(ValueError, match='got -1 and 10'):
        linear_schedule(0.2, 0.001, -1, 10)


# ---------------------------------------------------------------- grids
def test_nearest_is_that_of_torch():
    maps = torch.rand(2, 96, 70)
    for size in ((24, 18), (65, 65), (7, 70)):
        expected = F.interpolate(maps.unsqueeze(1), size, mode='nearest').squeeze(1)
        torch.testing.assert_close(nearest(maps, size), expected, rtol=0, atol=0)


@pytest.mark.parametrize('cells, pixels', [((128, 128), (512, 512)), ((101, 101), (801, 801)), ((65, 33), (513, 257)),
                                           ((16, 8), (128, 64)), ((1, 1), (5, 9)), ((24, 24), (32, 32))])
def test_maps_that_lie_on_labels(cells, pixels):
    check_alignable(cells, pixels)
    with pytest.raises(ValueError, match='cannot be aligned'):
        check_alignable((cells[0] * 2 + 2, cells[1]), pixels)


@pytest.mark.parametrize('cells, pixels', [((128, 64), (512, 512)), ((20, 20), (16, 16)), ((0, 4), (16, 16))])
def test_maps_that_do_not(cells, pixels):
    with pytest.raises(ValueError, match=f'{cells[0]}x{cells[1]} cannot be aligned with labels of {pixels[0]}x'):
        check_alignable(cells, pixels)


def test_one_box_or_one_per_image():
    maps = torch.arange(2 * 6 * 6).view(2, 6, 6)
    assert torch.equal(cut_boxes(maps, (1, 3, 2, 6)), maps[:, 1:3, 2:6])
    own = cut_boxes(maps, [(1, 3, 2, 6), (4, 6, 0, 4)])
    assert torch.equal(own[0], maps[0, 1:3, 2:6]) and torch.equal(own[1], maps[1, 4:6, 0:4])
    assert cut_boxes(maps, None) is maps and boxes_per_image(None, 3) is None
    with pytest.raises(ValueError, match='2 images need one crop box'):
        cut_boxes(maps, [(1, 3, 2, 6)])


# ---------------------------------------------------------------- prototypes
def test_prototypes_against_loops():
    features, labels, entropy = random_case()
    joint = (labels != 255) & (entropy < 0.7)
    sums = class_sums(features, labels, joint, entropy, 4)
    both = class_prototypes(sums.pooled(torch.tensor([0, 0]), 1))
    for c in range(4):
        rows, entropies = [], []
        for i, y, x in joint.nonzero().tolist():
            if labels[i, y, x] == c:
                rows.append(features[i, :, y, x] / features[i, :, y, x].norm())
                entropies.append(float(entropy[i, y, x]))
        mean = torch.stack(rows).mean(0)
        torch.testing.assert_close(both.vectors[0, c], mean / mean.norm())
        assert float(both.entropy[0, c]) == pytest.approx(np.mean(entropies))
    assert both.present.all()
    assert int(sums.counts.sum()) == int(joint.sum())


def test_class_in_one_image_only_has_that_images_mean_and_absent_ones_are_absent():
    features, labels, entropy = random_case(classes=2)
    labels[1] = torch.where(labels[1] == 0, 2, labels[1])  # 0 in the first image only, 2 in the second, 3 nowhere
    joint = labels != 255
    sums = class_sums(features, labels, joint, entropy, 4)
    pair = class_prototypes(sums.pooled(torch.tensor([0, 0]), 1))
    alone = class_prototypes(sums.pooled(torch.tensor([0, 1]), 2))
    torch.testing.assert_close(pair.vectors[0, 0], alone.vectors[0, 0])
    torch.testing.assert_close(pair.vectors[0, 2], alone.vectors[1, 2])
    assert pair.present[0].tolist() == [True, True, True, False]
    assert alone.present.tolist() == [[True, True, False, False], [False, True, True, False]]
    assert float(pair.vectors[0, 3].abs().sum()) == 0


def test_no_gradient_enters_prototypes_and_half_precision_is_added_up_in_float32():
    features, labels, entropy = random_case(size=(8, 8))
    sums = class_sums(features.requires_grad_(), labels, labels != 255, entropy, 4)
    assert not any(x.requires_grad for x in (*sums, *class_prototypes(sums)))
    half = class_sums(features.detach().half(), labels, labels != 255, entropy, 4)
    assert half.features.dtype == torch.float32
    torch.testing.assert_close(half.features.double(), sums.features, atol=2e-3, rtol=2e-3)


def test_min_pixels():
    sums = ClassSums(torch.ones(1, 3, 2), torch.tensor([[4., 5., 0.]]), torch.zeros(1, 3))
    assert class_prototypes(sums, 5).present.tolist() == [[False, True, False]]
    assert class_prototypes(sums).present.tolist() == [[True, True, False]]
    with pytest.raises(ValueError, match='min_pixels must be at least 1, got 0'):
        class_prototypes(sums, 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), joint=st.floats(0, 1))
def test_any_prototype_is_a_unit_vector_or_absent(seed, joint):
    features, labels, entropy = random_case(seed)
    mask = (labels != 255) & (entropy < joint)
    result = class_prototypes(class_sums(features, labels, mask, entropy, 4).pooled(torch.tensor([0, 0]), 1))
    length = result.vectors.norm(dim=-1)
    torch.testing.assert_close(length, result.present.double(), atol=1e-9, rtol=0)
    there = [bool(((labels == c) & mask).any()) for c in range(4)]
    assert result.present[0].tolist() == there


def two_candidates():
    unit = F.normalize(torch.randn(2, 1, 4, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    present = torch.tensor([[[True, True, False, False]], [[True, True, True, False]]])
    entropy = torch.tensor([[[0.1, 0.5, 0., 0.]], [[0.3, 0.2, 0.9, 0.]]])
    return [Prototypes(v * p.unsqueeze(-1), p, e) for v, p, e in zip(unit, present, entropy)]


@pytest.mark.parametrize('rule, origin', [('entropy', [0, 1, 1, None]), ('prefer_hr', [1, 1, 1, None]),
                                          ('lr', [0, 0, None, None]), ('hr', [1, 1, 1, None])])
def test_selection_between_resolutions(rule, origin):
    candidates = two_candidates()
    chosen = select_prototypes(candidates, rule)
    for c, where in enumerate(origin):
        assert bool(chosen.present[0, c]) == (where is not None)
        if where is not None:
            assert torch.equal(chosen.vectors[0, c], candidates[where].vectors[0, c])


def test_selection_by_mean_of_one_resolution_and_unknown():
    candidates = two_candidates()
    chosen = select_prototypes(candidates, 'mean')
    both = candidates[0].vectors[0, :2] + candidates[1].vectors[0, :2]
    torch.testing.assert_close(chosen.vectors[0, :2], F.normalize(both, dim=-1))
    torch.testing.assert_close(chosen.vectors[0, 2], candidates[1].vectors[0, 2])
    assert chosen.present.tolist() == [[True, True, True, False]]
    # (0.1 + 0.3) / 2, (0.5 + 0.2) / 2, of the only one that has the class, of none
    torch.testing.assert_close(chosen.entropy, torch.tensor([[0.2, 0.35, 0.9, 0.]]))
    assert select_prototypes(candidates[:1], 'hr') is candidates[0], 'one resolution leaves nothing to select'
    with pytest.raises(ValueError, match="unknown selection 'best'"):
        select_prototypes(candidates, 'best')


def test_groups_of_images():
    assert group_images('pair', [2, 2]) == ([[0, 1], [0, 1]], 2)
    assert group_images('pair', [2, 2, 2]) == ([[0, 1]] * 3, 2)
    assert group_images('pair', [5]) == ([[0, 0, 1, 1, 1]], 2)
    assert group_images('pair', [1]) == ([[0]], 1)
    assert group_images('pair', [2], only_pass=False) == ([[0, 1]], 2)
    assert group_images('batch', [2, 3]) == ([[0, 0], [1, 1, 1]], 2)
    assert group_images('step', [2, 3]) == ([[0, 0], [0, 0, 0]], 1)
    assert group_images('image', [2, 3]) == ([[0, 1], [2, 3, 4]], 5)
    with pytest.raises(ValueError, match=r'they have \[2, 3\] images'):
        group_images('pair', [2, 3])
    with pytest.raises(ValueError, match="'couple'"):
        group_images('couple', [2, 2])


# ---------------------------------------------------------------- InfoNCE
def test_info_nce_against_the_formula():
    g = torch.Generator().manual_seed(0)
    queries = F.normalize(torch.randn(9, 5, generator=g, dtype=torch.float64), dim=1)
    prototypes = F.normalize(torch.randn(4, 5, generator=g, dtype=torch.float64), dim=1)
    present, labels = torch.tensor([True, False, True, True]), torch.randint(0, 4, (9, ), generator=g)
    weight = torch.rand(9, generator=g, dtype=torch.float64)
    total, count = info_nce(queries, labels, prototypes, present, 0.1, weight)
    expected, number = 0., 0
    for q, y, w in zip(queries.numpy(), labels.tolist(), weight.tolist()):
        if present[y]:
            e = np.exp(prototypes.numpy() @ q / 0.1)
            expected -= w * np.log(e[y] / e[present.numpy()].sum())
            number += 1
    assert float(total) == pytest.approx(expected) and int(count) == number < 9


def test_gathered_pixels_are_the_marked_ones_in_order():
    features, labels, _ = random_case(dtype=torch.float32)
    mask = labels == 1
    rows = gather_pixels(features, mask)
    assert [len(x) for x in rows] == mask.sum((1, 2)).tolist()
    for i, got in enumerate(rows):
        expected = F.normalize(torch.stack([features[i, :, y, x] for y, x in mask[i].nonzero().tolist()]), dim=1)
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize('dtype, length, unit', [(torch.float16, 0.01, True), (torch.float16, 1e-4, False),
                                                 (torch.float32, 1e-4, True), (torch.float32, 1e-7, False)])
def test_lengths_below_what_the_precision_carries_are_not_divided_by(dtype, length, unit):
    features = torch.zeros(1, 3, 1, 1, dtype=dtype)
    features[0, 1] = length
    rows, = gather_pixels(features, torch.ones(1, 1, 1, dtype=torch.bool))
    assert (float(rows.norm()) == pytest.approx(1, abs=1e-2)) == unit and 0 < float(rows.norm()) < 1.01


def test_gradients_in_float64_reach_drift_pixels_only():
    features, labels, _ = random_case(size=(3, 3))
    features.requires_grad_()
    mask = (labels != 255) & (torch.arange(9).view(3, 3) % 2 == 0)
    prototypes = F.normalize(torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), dim=1)
    present = torch.tensor([True, True, False, True])

    def loss(x):
        parts = [info_nce(rows, label[m], prototypes, present, 0.5)[0]
                 for rows, label, m in zip(gather_pixels(x, mask), labels, mask)]
        return torch.stack(parts).sum()

    assert torch.autograd.gradcheck(loss, (features, ))
    loss(features).backward()
    moved = features.grad.abs().sum(1) > 0
    counted = mask & (labels != 2)
    assert torch.equal(moved, counted)


@pytest.mark.parametrize('present, rows', [([True, True], 0), ([True, False], 4), ([False, False], 4)])
def test_nothing_to_align_is_exactly_zero_with_a_graph(present, rows):
    """No pixel; one class only, where the softmax has one entry; no prototype at all."""
    features = torch.randn(1, 3, 2, 2, requires_grad=True)
    mask = torch.arange(4).view(1, 2, 2) < rows
    queries, = gather_pixels(features, mask)
    prototypes = F.normalize(torch.randn(2, 3), dim=1) * torch.tensor(present).unsqueeze(1)
    total, _ = info_nce(queries, torch.zeros(rows, dtype=torch.long), prototypes, torch.tensor(present), 0.1)
    assert float(total) == 0 and total.requires_grad
    total.backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_loss_falls_when_a_drift_feature_moves_to_its_prototype():
    prototypes = F.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(2)), dim=1)
    start = F.normalize(torch.randn(6, generator=torch.Generator().manual_seed(5)), dim=0)
    present, label = torch.ones(4, dtype=torch.bool), torch.tensor([1])
    path = [F.normalize(start + s * (prototypes[1] - start), dim=0)[None] for s in (0., 0.25, 0.5, 0.75, 1.)]
    losses = [float(info_nce(q, label, prototypes, present, 0.1)[0]) for q in path]
    assert all(a > b for a, b in zip(losses, losses[1:])), losses


def test_zero_features_have_finite_gradients():
    features = torch.zeros(1, 3, 1, 2, requires_grad=True)
    queries, = gather_pixels(features, torch.ones(1, 1, 2, dtype=torch.bool))
    info_nce(queries, torch.tensor([0, 1]), torch.eye(2, 3), torch.ones(2, dtype=torch.bool), 0.1)[0].backward()
    assert features.grad.isfinite().all()


# ---------------------------------------------------------------- entropy-guided crops
def test_detail_crop_goes_where_the_context_is_uncertain():
    logits = torch.zeros(2, 3, 16, 16)
    logits[:, 0] = 9.
    logits[0, :, 8:, 8:] = 0.  # image 0: bottom right, image 1: top middle
    logits[1, :, :8, 4:12] = 0.
    boxes = entropy_guided_boxes(logits, (128, 128), (64, 64), 32)
    assert boxes == [(64, 128, 64, 128), (0, 64, 32, 96)]
    assert entropy_guided_boxes(torch.zeros(1, 3, 16, 16), (128, 128), (64, 64), 32) == [(0, 64, 0, 64)]
    with pytest.raises(ValueError, match='64x64 is larger than the image 32x128'):
        entropy_guided_boxes(logits, (32, 128), (64, 64), 32)
