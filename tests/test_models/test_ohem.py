"""Cross-entropy on hard pixels."""
import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.models.losses import OHEMCrossEntropyLoss
from mmseg_dg.registry import MODELS


def logits_of(probabilities):
    """Two-class logits whose softmax gives class 0 these probabilities; (1, 2, 1, N)."""
    p = torch.tensor(probabilities, dtype=torch.float32)
    return torch.stack([p.log(), (1 - p).log()]).view(1, 2, 1, -1)


def test_keeps_pixels_below_the_threshold_and_averages_over_them():
    logits, labels = logits_of([0.1, 0.6, 0.8, 0.9, 0.2]), torch.zeros(1, 1, 5, dtype=torch.long)
    labels[..., -1] = 255
    loss = OHEMCrossEntropyLoss(threshold=0.7, min_kept_per_image=1)(logits, labels)
    expected = -(torch.tensor(0.1).log() + torch.tensor(0.6).log()) / 2
    torch.testing.assert_close(loss, expected)


def test_keeps_at_least_min_kept_per_image():
    logits, labels = logits_of([0.95, 0.9, 0.99, 0.97]), torch.zeros(1, 1, 4, dtype=torch.long)
    two = OHEMCrossEntropyLoss(threshold=0.7, min_kept_per_image=2)(logits, labels)
    torch.testing.assert_close(two, -torch.tensor([0.95, 0.9]).log().mean())
    # two images: the four hardest of the batch, wherever they are
    batch = torch.cat([logits, logits_of([0.99, 0.99, 0.99, 0.91])])
    loss = OHEMCrossEntropyLoss(threshold=0.7, min_kept_per_image=2)(batch, labels.expand(2, 1, 4))
    torch.testing.assert_close(loss, -torch.tensor([0.9, 0.91, 0.95, 0.97]).log().mean())


def test_few_or_no_valid_pixels():
    logits, labels = logits_of([0.95, 0.9]), torch.tensor([[[0, 255]]])
    expected = F.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(OHEMCrossEntropyLoss()(logits, labels), expected)
    logits.requires_grad_()
    nothing = OHEMCrossEntropyLoss()(logits, torch.full((1, 1, 2), 255))
    nothing.backward()
    assert float(nothing.detach()) == 0 and not logits.grad.any()


def test_is_a_loss_of_a_head():
    loss = MODELS.build(dict(type='OHEMCrossEntropyLoss', loss_weight=0.5))
    assert loss.loss_name == 'loss_ce'
    head = MODELS.build(dict(type='FCNHead', in_channels=4, channels=4, num_convs=1, num_classes=3, norm_cfg=dict(
        type='BN'), loss_decode=dict(type='OHEMCrossEntropyLoss')))
    from mmseg_dg.models.segmentors.network import head_losses
    values = head_losses(head, torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 8, 8)))
    assert set(values) == {'loss_ce', 'acc_seg'} and values['loss_ce'] > 0
    with pytest.raises(ValueError, match='threshold'):
        OHEMCrossEntropyLoss(threshold=2)
