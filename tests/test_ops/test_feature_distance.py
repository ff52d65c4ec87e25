"""Feature distance: label down-scaling, values and gradients of the official code, the empty mask."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops import class_membership, downscale_labels, feature_distance


def pooled_downscale(labels, factor, min_ratio, num_classes):
    """The plain way: argmax over average-pooled one-hot labels."""
    one_hot = F.one_hot(labels.masked_fill(labels == 255, num_classes), num_classes + 1).permute(0, 3, 1, 2)
    share, winner = F.avg_pool2d(one_hot.double(), factor).max(1)
    return winner.masked_fill((winner == num_classes) | (share < min_ratio), 255)


@pytest.mark.claim('DAFormer')
def test_recorded_downscale(recorded):
    record = recorded('fd')
    for case in record['downscale']:
        out = downscale_labels(case['gt'][:, 0], case['scale_factor'], case['min_ratio'], 19)
        assert torch.equal(out, case['out'][:, 0])
    for case in record['cases']:
        factor = case['gt'].shape[-1] // case['feat'].shape[-1]
        out = downscale_labels(case['gt'][:, 0], factor, record['min_ratio'], 19)
        assert torch.equal(out, case['gt_rescaled'][:, 0])
        assert torch.equal(class_membership(out, record['fdist_classes']), case['mask'][:, 0])


def test_spec_cells():
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    label[0, :4, :4] = 11
    label[0, 0, 0] = 3  # 15/16 of class 11
    label[0, :4, 4:] = torch.tensor([13] * 11 + [2] * 5).view(4, 4)
    label[0, 4:, :4] = 255
    label[0, 4:, 4:] = torch.tensor([5] * 8 + [6] * 8).view(4, 4)
    assert downscale_labels(label, 4, 0.75, 19).tolist() == [[[11, 255], [255, 255]]]
    label[0, :4, 4:] = torch.tensor([13] * 12 + [2] * 4).view(4, 4)
    assert downscale_labels(label, 4, 0.75, 19)[0, 0, 1] == 13, 'exactly 0.75 is kept'
    assert downscale_labels(label, 4, 0.5, 19)[0, 1, 1] == 5, 'the lower class wins a tie'


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 13), width=st.integers(1, 13), factor=st.integers(1, 6),
       min_ratio=st.sampled_from([0., 0.25, 0.5, 0.75, 1.]), num_classes=st.integers(1, 4))
def test_downscale_is_the_argmax_of_the_pooled_one_hot(seed, height, width, factor, min_ratio, num_classes):
    factor = min(factor, height, width)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes + 1, (2, height, width), generator=generator)
    labels[labels == num_classes] = 255
    out = downscale_labels(labels, factor, min_ratio, num_classes)
    assert out.dtype == torch.int64 and out.shape == (2, height // factor, width // factor)
    assert torch.equal(out, pooled_downscale(labels, factor, min_ratio, num_classes))
    assert torch.isin(out, torch.cat((labels.unique(), torch.tensor([255])))).all()
    blocks = out.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    assert torch.equal(downscale_labels(blocks, factor, min_ratio, num_classes), out)


def test_downscale_takes_small_integer_types_and_another_ignore_value():
    label = torch.tensor([[[0, 0], [0, 9]]], dtype=torch.uint8)
    assert downscale_labels(label, 2, 0.75, 3, ignore_index=9).tolist() == [[[0]]]
    assert downscale_labels(label, 2, 0.8, 3, ignore_index=9).tolist() == [[[9]]]


def test_downscale_refuses_wrong_arguments():
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    with pytest.raises(ValueError, match=r'\(1, 1, 8, 8\)'):
        downscale_labels(label.unsqueeze(1), 4, 0.75, 19)
    with pytest.raises(ValueError, match='float32'):
        downscale_labels(label.float(), 4, 0.75, 19)
    with pytest.raises(ValueError, match='got 9'):
        downscale_labels(label, 9, 0.75, 19)
    with pytest.raises(ValueError, match='75'):
        downscale_labels(label, 4, 75, 19)
    for bad in (19, 20, 254, -1):
        with pytest.raises(ValueError, match=r'0\.\.18 or 255'):
            downscale_labels(label.masked_fill(label == 0, bad), 4, 0.75, 19)


def test_class_membership():
    labels = torch.tensor([[6, 255], [0, 18]])
    assert class_membership(labels, (6, 18)).tolist() == [[True, False], [False, True]]
    assert not class_membership(labels, ()).any()
    assert not class_membership(labels.to(torch.uint8), (262, )).any(), 'ids must not wrap around'
    with pytest.raises(ValueError, match='float32'):
        class_membership(labels.float(), (6, ))


@pytest.mark.claim('DAFormer')
def test_recorded_distance_and_gradient(recorded):
    record = recorded('fd')
    for case in record['cases']:
        features = case['feat'].clone().requires_grad_()
        loss = record['fdist_lambda'] * feature_distance(features, case['feat_imnet'], case['mask'])
        loss.backward()
        shown = features.grad[:, ::case.get('channel_stride', 1)]
        torch.testing.assert_close(shown, case['grad'], rtol=1e-6, atol=1e-9)
        if case['name'] == 'empty':
            assert loss.item() == 0 and not features.grad.any() and not case['grad'].any()
        else:
            torch.testing.assert_close(loss, case['loss'], rtol=1e-6, atol=0)


def test_spec_value():
    features = (torch.arange(24, dtype=torch.float64) / 10).view(2, 3, 2, 2)
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 1, 0] = mask[1, 1, 1] = True
    loss = 0.005 * feature_distance(features, torch.zeros_like(features), mask)
    assert loss.item() == pytest.approx(0.012336974443272813, rel=1e-14)


def test_sum_and_count_are_the_parts_of_the_mean():
    features, reference = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    mask = torch.rand(2, 3, 3) > 0.5
    total, count = feature_distance(features, reference, mask, 'sum_count')
    assert count.item() == mask.sum().item() and count.dtype == torch.int64
    torch.testing.assert_close(total / count, feature_distance(features, reference, mask))
    expected = (features - reference).norm(dim=1)[mask].mean()
    torch.testing.assert_close(feature_distance(features, reference, mask.unsqueeze(1)), expected)
    total, count = feature_distance(features, reference, reduction='sum_count')
    assert count.item() == 18
    torch.testing.assert_close(total / 18, (features - reference).norm(dim=1).mean())


def test_equal_features_have_distance_and_gradient_0():
    features = torch.randn(1, 4, 2, 2, requires_grad=True)
    loss = feature_distance(features, features.detach().clone())
    loss.backward()
    assert loss.item() == 0 and torch.equal(features.grad, torch.zeros_like(features))


def test_empty_mask_keeps_the_graph():
    features = torch.randn(1, 4, 2, 2, requires_grad=True)
    reference = torch.randn(1, 4, 2, 2, requires_grad=True)
    for reduction in ('mean', 'sum_count'):
        loss = feature_distance(features * 1, reference, torch.zeros(1, 2, 2, dtype=torch.bool), reduction)
        loss = loss[0] if reduction == 'sum_count' else loss
        assert loss.item() == 0 and loss.requires_grad
        loss.backward()
        assert torch.equal(features.grad, torch.zeros_like(features))
    assert reference.grad is None, 'the reference is a constant'


def test_half_precision_is_computed_in_float32():
    features = torch.full((1, 64, 1, 1), 100., dtype=torch.float16)  # the sum of squares overflows float16
    loss = feature_distance(features, torch.zeros_like(features))
    assert loss.dtype == torch.float32 and loss.item() == 800


def test_distance_refuses_wrong_arguments():
    features = torch.rand(1, 4, 2, 2)
    with pytest.raises(ValueError, match=r'\(1, 4, 2, 2\).*\(1, 4, 2, 3\)'):
        feature_distance(features, torch.rand(1, 4, 2, 3))
    with pytest.raises(ValueError, match='int64'):
        feature_distance(features, features.long())
    with pytest.raises(ValueError, match=r'bool \(1, 2, 2\), got torch.float32'):
        feature_distance(features, features, torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match=r'\(1, 4, 4\)'):
        feature_distance(features, features, torch.ones(1, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="'sum'"):
        feature_distance(features, features, reduction='sum')
