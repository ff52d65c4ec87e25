"""Losses with a weight per pixel: MMSegmentation's values without, and independent formulas with."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmseg.models import losses as stock
from mmseg.registry import MODELS as MMSEG_MODELS

from mmseg_dg.models.losses import weighted
from mmseg_dg.models.segmentors.network import head_losses

CLASSES, SIZE = 4, (9, 7)
KINDS = [
    dict(type='DiceLoss'), dict(type='DiceLoss', naive_dice=True, use_sigmoid=False),
    dict(type='DiceLoss', ignore_index=0, loss_weight=3.), dict(type='TverskyLoss'),
    dict(type='TverskyLoss', alpha=0.4, beta=0.6, class_weight=[1., 2., 3., 0.5]),
    dict(type='LovaszLoss', reduction='none'), dict(type='LovaszLoss', per_image=True, classes='all'),
    dict(type='LovaszLoss', per_image=True, class_weight=[1., 2., 3., 0.5]),
    dict(type='OhemCrossEntropy', min_kept=40), dict(type='CrossEntropyLoss', class_weight=[1., 2., 3., 0.5]),
    dict(type='CrossEntropyLoss', use_sigmoid=True), dict(type='OHEMCrossEntropyLoss', min_kept_per_image=20),
    dict(type='FocalLoss')
]


def sample(ignored=False):
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(2, CLASSES, *SIZE, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (2, *SIZE), generator=generator)
    if ignored:
        labels[:, :2] = 255
    return logits, labels, torch.rand(2, *SIZE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize('kind', KINDS, ids=lambda k: '-'.join(map(str, k.values())))
def test_weights_of_zero_one_and_in_between(kind):
    loss = MMSEG_MODELS.build(dict(kind))  # what mmseg's heads call, in the scope of this package
    assert type(loss).__module__.startswith('mmseg_dg.')
    logits, labels, _ = sample(ignored=True)
    logits.requires_grad_()
    head = type('Head', (), dict(align_corners=False, ignore_index=255, sampler=None, loss_decode=loss))

    def value(weight):
        value, = (v for k, v in head_losses(head, logits, labels, weight).items() if k != 'acc_seg')
        return value

    plain, ones = value(None), torch.ones_like(labels, dtype=torch.float64)
    assert float(plain) > 0
    assert float(value(0 * ones)) == 0 and not torch.autograd.grad(value(0 * ones), logits)[0].any()
    torch.testing.assert_close(value(ones), plain, check_dtype=False)
    torch.testing.assert_close(value(0.3 * ones), 0.3 * plain, check_dtype=False)  # as a cross-entropy
    weight = ones.clone()
    weight[:, 4:] = 0
    assert not torch.autograd.grad(value(weight), logits)[0][:, :, 4:].any(), 'pixels of weight 0 are learned'
    assert torch.autograd.grad(value(weight), logits)[0][:, :, 2:4].any()


@pytest.mark.parametrize('kind', [k for k in KINDS if k['type'] != 'OHEMCrossEntropyLoss'],
                         ids=lambda k: '-'.join(map(str, k.values())))
def test_plain_values_are_those_of_mmseg(kind):
    logits, labels, _ = sample()
    logits, kind = logits.float(), dict(kind)  # mmseg's Lovasz loss knows no other
    name = kind.pop('type')
    ours, theirs = getattr(weighted, name)(**kind), getattr(stock, name)(**kind)
    if name == 'FocalLoss':  # on the CPU mmseg's takes probabilities of classes only
        target = F.one_hot(labels, CLASSES).movedim(-1, 1)
        expected = theirs(logits, target)
    else:
        expected = theirs(logits, labels)
    torch.testing.assert_close(ours(logits, labels), expected)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_dice_and_tversky_by_loops():
    """Scale-free ratios of weighted sums, times the mean weight of an image's valid pixels."""
    logits, labels, weight = sample(ignored=True)
    p, y = softmax(logits.numpy()), labels.numpy()
    dice, tversky = [], []
    for image in range(2):
        valid = y[image] != 255
        w = weight[image].numpy() * valid
        share, w = w.sum() / valid.sum(), w / w.max()
        a = b = t = 0
        for c in range(CLASSES):
            truth = (y[image] == c).astype(float)
            prob = p[image, c]
            a, b = a + (w * prob * truth).sum(), b + (w * prob**2).sum() + (w * truth**2).sum()
            hit, false, miss = (w * prob * truth).sum(), (w * prob * (1 - truth)).sum(), (w * (1 - prob) * truth).sum()
            t += 1 - (hit + 1) / (hit + 0.3 * false + 0.7 * miss + 1)
        dice.append(share * (1 - 2 * a / (b + 2e-3)))
        tversky.append(share * t / CLASSES)
    found = weighted.DiceLoss(use_sigmoid=False)(logits, labels, weight)
    torch.testing.assert_close(float(found), np.mean(dice), rtol=1e-6, atol=0)
    found = weighted.TverskyLoss()(logits, labels, weight)
    torch.testing.assert_close(float(found), np.mean(tversky), rtol=1e-6, atol=0)


def test_lovasz_with_weights_is_lovasz_of_repeated_pixels():
    """A pixel of weight 3 counts as three pixels."""
    logits, labels, _ = sample()
    logits, labels = logits[:1].float(), labels[:1]
    times = torch.randint(0, 4, labels.shape, generator=torch.Generator().manual_seed(1))
    times[0, 0, 0] = 3
    repeated = logits.flatten(2).repeat_interleave(times.flatten(), dim=2).unsqueeze(2)
    expected = stock.LovaszLoss(reduction='none')(repeated, labels.flatten().repeat_interleave(times.flatten())[None,
                                                                                                                None])
    found = weighted.LovaszLoss(reduction='none')(logits, labels, times.double())
    torch.testing.assert_close(found, expected * times.float().mean())
    with pytest.raises(ValueError, match='weight per pixel'):
        weighted.LovaszLoss(loss_type='binary', reduction='none')(logits[:, 0], labels, times.double())


def test_focal_and_ohem_by_formula():
    logits, labels, weight = sample(ignored=True)
    y, w, q = labels.numpy(), weight.numpy(), 1 / (1 + np.exp(-logits.numpy()))
    total = 0.
    for c in range(CLASSES):
        right = np.where(y == c, q[:, c], 1 - q[:, c])
        total += (np.where(y == 255, 0, w) * 0.5 * -np.log(right) * (1 - right)**2).sum()
    torch.testing.assert_close(float(weighted.FocalLoss()(logits, labels, weight)), total / q.size)
    alpha, factors, total = [0.1, 0.3, 0.6, 0.9], [2., 1., 3., 0.5], 0.
    for c in range(CLASSES):
        right = np.where(y == c, q[:, c], 1 - q[:, c])
        share = np.where(y == c, alpha[c], 1 - alpha[c]) * factors[c]
        total += (np.where(y == 255, 0, w) * share * -np.log(right) * (1 - right)**2).sum()
    by_class = weighted.FocalLoss(alpha=alpha, class_weight=factors)
    torch.testing.assert_close(float(by_class(logits, labels, weight)), total / q.size)
    weight[:, 3] = 0
    p = np.take_along_axis(softmax(logits.numpy()), np.where(y == 255, 0, y)[:, None], 1)[:, 0]
    counted = (y != 255) & (weight.numpy() > 0)
    limit = max(np.sort(p[counted])[20], 0.7)
    hard = counted & (p < limit)
    expected = (-np.log(p) * weight.numpy())[hard].sum() / hard.sum()
    found = weighted.OhemCrossEntropy(min_kept=20)(logits, labels, weight)
    torch.testing.assert_close(float(found), expected)


def test_class_weights_beside_ignored_pixels():
    """mmseg's own mean looks up the class weight of label 255."""
    logits, labels, _ = sample(ignored=True)
    equal = weighted.CrossEntropyLoss(class_weight=[1.] * CLASSES)(logits, labels, ignore_index=255)
    torch.testing.assert_close(equal, stock.CrossEntropyLoss()(logits, labels, ignore_index=255))
    factors = [1., 2., 3., 0.5]
    found = weighted.CrossEntropyLoss(class_weight=factors, avg_non_ignore=True)(logits, labels, ignore_index=255)
    expected = F.cross_entropy(logits, labels, torch.tensor(factors, dtype=torch.float64), ignore_index=255)
    torch.testing.assert_close(found, expected)
    sigmoid = weighted.CrossEntropyLoss(use_sigmoid=True, class_weight=factors)(logits, labels, ignore_index=255)
    truth = weighted.one_hot(labels, CLASSES, 255).double()
    values = F.binary_cross_entropy_with_logits(logits, truth, reduction='none',
                                                pos_weight=torch.tensor(factors).view(4, 1, 1))
    torch.testing.assert_close(sigmoid, (values * (labels != 255).unsqueeze(1)).mean(), check_dtype=False)


def test_images_without_a_valid_pixel_give_zero():
    logits, labels = torch.randn(2, CLASSES, *SIZE, requires_grad=True), torch.full((2, *SIZE), 255)
    for kind in KINDS:
        value = MMSEG_MODELS.build(dict(kind))(logits, labels, ignore_index=255)
        value.sum().backward()
        assert float(value.sum()) == 0 and torch.isfinite(logits.grad).all(), kind
