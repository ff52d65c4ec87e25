"""The loss on confident pseudo-labels."""
import math

import pytest
import torch

from mmseg_dg.ops import PseudoLabels, confident_cross_entropy, pseudo_labels_from


def test_denominator_counts_all_pixels_that_are_not_padding():
    """Four pixels: confident, unconfident, confident padding, confident. Each valid one counts in the mean."""
    target = PseudoLabels(torch.tensor([[[0, 1, 0, 1]]]), torch.tensor([[[0.99, 0.5, 0.99, 0.95]]]),
                          torch.tensor([[[True, True, False, True]]]))
    logits = torch.zeros(1, 2, 1, 4)  # cross-entropy log 2 everywhere
    loss = confident_cross_entropy(logits, target, 0.95)
    assert float(loss) == pytest.approx(2 * math.log(2) / 3), '2 confident valid pixels of 3 valid ones'
    assert float(confident_cross_entropy(logits, target, 0.)) == pytest.approx(math.log(2))
    assert float(confident_cross_entropy(logits, target, 1.)) == 0


def test_loss_pulls_confident_valid_pixels_only():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, 6, generator=g, requires_grad=True)
    target = PseudoLabels(torch.randint(0, 4, (2, 5, 6), generator=g), torch.rand(2, 5, 6, generator=g),
                          torch.rand(2, 5, 6, generator=g) > 0.3)
    confident_cross_entropy(logits, target, 0.6).backward()
    touched = logits.grad.abs().sum(1) > 0
    assert torch.equal(touched, (target.confidence >= 0.6) & target.valid)


def test_nothing_but_padding_gives_zero():
    target = PseudoLabels(torch.zeros(1, 2, 2, dtype=torch.long), torch.ones(1, 2, 2),
                          torch.zeros(1, 2, 2, dtype=torch.bool))
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = confident_cross_entropy(logits, target, 0.)
    loss.backward()
    assert float(loss.detach()) == 0 and not logits.grad.any()


def test_pseudo_labels_of_logits():
    logits = torch.tensor([[2., 0., 0.], [0., 3., 0.]]).T.view(1, 3, 1, 2)
    labels = pseudo_labels_from(logits, torch.tensor([[[1, 255]]]))
    assert labels.label.tolist() == [[[0, 1]]]
    assert float(labels.confidence[0, 0, 1]) == pytest.approx(math.exp(3) / (math.exp(3) + 2))
    assert labels.valid.tolist() == [[[True, False]]], '255, with which masks may be padded, is not valid'
    assert pseudo_labels_from(logits).valid.all()
    half = pseudo_labels_from(logits.bfloat16())
    assert half.confidence.dtype == torch.float32


def test_shapes_are_checked():
    target = pseudo_labels_from(torch.randn(1, 2, 4, 4))
    with pytest.raises(ValueError, match='same'):
        confident_cross_entropy(torch.zeros(1, 2, 2, 2), target, 0.5)
    with pytest.raises(ValueError, match='valid'):
        pseudo_labels_from(torch.randn(1, 2, 4, 4), torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match='logits'):
        pseudo_labels_from(torch.randn(2, 4, 4))
