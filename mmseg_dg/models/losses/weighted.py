"""MMSegmentation's losses with a weight per pixel, under their own names.

The methods of this package weigh every pixel of a mixed image (confidence of the pseudo-label,
margins, padding). Of MMSegmentation's losses only ``CrossEntropyLoss`` takes such weights:
``DiceLoss``, ``FocalLoss`` and ``OhemCrossEntropy`` fail on them, ``TverskyLoss`` and
``LovaszLoss`` ignore them without a word. In the scope ``mmseg_dg`` the names of this file mean
these classes; ``type='mmseg.DiceLoss'`` still is MMSegmentation's.

What all forms share: without weights, and with all weights 1, the value is that of MMSegmentation;
with all weights 0 it is exactly 0; a uniform weight q gives q times the plain loss, as in a
weighted cross-entropy; a pixel of weight 0 has no effect on a region loss (Dice, Tversky, Lovasz)
but through the share of weight the image has.

Shapes: B images, P pixels, C classes, H x W pixels.
"""
from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
import torch.nn.functional as F
from mmseg.models import losses as mmseg_losses
from mmseg.models.losses.cross_entropy_loss import binary_cross_entropy
from mmseg.models.losses.utils import get_class_weight, weight_reduce_loss
from torch import Tensor

from mmseg_dg.ops import at_least_float32
from mmseg_dg.registry import MODELS

#: Weight of each class, or the file that has them; None: 1 each.
ClassWeight = Union[Sequence[float], str, None]
#: What the sum is divided by; None: the number of values.
AvgFactor = Union[float, Tensor, None]


def region_weights(labels: Tensor, weight: Optional[Tensor],
                   ignore_index: int) -> tuple[Tensor, Tensor]:
    """How much each pixel counts within its image, and each image within its batch.

    A ratio of sums over pixels (Dice, Jaccard) does not change if all weights are halved. So the
    weights are split: relative to the largest one of their image they go into the sums, and their
    mean multiplies the image's loss.

    Args:
        labels: (B, H, W) int64.
        weight: (B, H, W), 0 or more; None for 1 everywhere.
        ignore_index: Label of pixels that do not count.

    Returns:
        (B, H, W) float32 in [0, 1], 0 where ignored; and (B,) float32, the mean weight of the valid
        pixels, 0 for an image without one.
    """
    valid = (labels != ignore_index).float()
    if weight is None:
        # (B, H, W) and (B,): 1 where an image has any valid pixel
        return valid, valid.flatten(1).amax(1)
    weight = weight.float() * valid
    largest = weight.flatten(1).amax(1)  # (B,)
    share = weight.flatten(1).sum(1) / valid.flatten(1).sum(1).clamp(min=1)  # (B,): the mean weight
    divisor = torch.where(largest > 0, largest, torch.ones_like(largest))
    return weight / divisor[:, None, None], share


def one_hot(labels: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """(B, H, W) int64 -> (B, C, H, W) float32, all 0 where ignored."""
    valid = labels != ignore_index
    # (B, H, W, C) -> (B, C, H, W)
    codes = F.one_hot(labels.masked_fill(~valid, 0), num_classes).movedim(-1, 1)
    return codes * valid.unsqueeze(1).float()


@MODELS.register_module()
class CrossEntropyLoss(mmseg_losses.CrossEntropyLoss):
    """MMSegmentation's, with ``class_weight`` that works beside ignored pixels and with
    ``use_sigmoid``.

    Its own mean looks the class weight of label 255 up, which is an IndexError in every padded
    crop, and lays the class weights of ``use_sigmoid`` along the image's width. Here an ignored
    pixel counts 1 in the denominator (0 with ``avg_non_ignore``), so that class weights of 1 change
    nothing.

    Args:
        use_sigmoid, use_mask, reduction, class_weight, loss_weight, loss_name, avg_non_ignore: As
            in MMSegmentation.
    """
    def forward(self, cls_score: Tensor, label: Tensor, weight: Optional[Tensor] = None,
                avg_factor: AvgFactor = None, reduction_override: Optional[str] = None,
                ignore_index: int = -100, **kwargs: Any) -> Tensor:
        """The loss, reduced as the class says.

        Args:
            cls_score: Logits, (B, C, H, W).
            label, weight: (B, H, W), int64; (B, H, W) or None.
            avg_factor, reduction_override: As in MMSegmentation.
            ignore_index: Label of ignored pixels.
        """
        if self.class_weight is None or self.use_mask:  # MMSegmentation's own form
            softmax_mean = not (self.use_mask or self.use_sigmoid) and avg_factor is None and (
                reduction_override or self.reduction) == 'mean'
            if softmax_mean and self.avg_non_ignore:
                # the number MMSegmentation would take, without its .item(), which waits for a GPU
                avg_factor = (label != ignore_index).sum().to(
                    torch.promote_types(cls_score.dtype, torch.float32))
            return super().forward(cls_score, label, weight, avg_factor, reduction_override,
                                   ignore_index, **kwargs)
        reduction = reduction_override or self.reduction
        factors = cls_score.new_tensor(self.class_weight)
        if self.use_sigmoid:
            spatial = (1, ) * (cls_score.dim() - 2)
            factors = factors.view(-1, *spatial)  # (C,) -> (C, 1, 1), against (B, C, H, W)
            return self.loss_weight * binary_cross_entropy(
                cls_score, label, weight, reduction=reduction, avg_factor=avg_factor,
                ignore_index=ignore_index, class_weight=factors, avg_non_ignore=self.avg_non_ignore)
        values = F.cross_entropy(cls_score, label, weight=factors, reduction='none',
                                 ignore_index=ignore_index)
        if avg_factor is None and reduction == 'mean':
            # divided by the sum of the pixels' class weights; an ignored pixel counts 0 or 1
            ignored = label == ignore_index
            counts = factors[label.masked_fill(ignored, 0)]
            avg_factor = torch.where(ignored, float(not self.avg_non_ignore), counts).sum()
        weight = None if weight is None else weight.float()
        return self.loss_weight * weight_reduce_loss(values, weight, reduction, avg_factor)


@MODELS.register_module()
class DiceLoss(mmseg_losses.DiceLoss):
    """MMSegmentation's Dice loss per image over all classes, with weights and without ignored
    pixels.

    ``1 - 2 sum w p t / (sum w p^2 + sum w t^2)`` (``naive_dice``: first powers), times the mean
    weight of the image's valid pixels; w relative to the image's largest weight. MMSegmentation's
    counts an ignored pixel as one that is no class at all and pushes its probabilities down; here
    it does not count.

    Args:
        use_sigmoid, activate, reduction, naive_dice, loss_weight, eps, loss_name: As in
            MMSegmentation.
        ignore_index: A class that is left out of the sums; None for none. (The label of ignored
            pixels is the head's.)
    """
    def __init__(self, use_sigmoid: bool = True, activate: bool = True, reduction: str = 'mean',
                 naive_dice: bool = False, loss_weight: float = 1.0,
                 ignore_index: Optional[int] = None, eps: float = 1e-3,
                 loss_name: str = 'loss_dice') -> None:
        super().__init__(use_sigmoid, activate, reduction, naive_dice, loss_weight, ignore_index,
                         eps, loss_name)

    def forward(self, pred: Tensor, target: Tensor, weight: Optional[Tensor] = None,
                avg_factor: AvgFactor = None, reduction_override: Optional[str] = None,
                ignore_index: int = 255, **kwargs: Any) -> Tensor:
        """The loss, reduced as the class says.

        Args:
            pred: Logits, (B, C, H, W).
            target, weight: (B, H, W), int64; (B, H, W) or None.
            avg_factor, reduction_override: As in MMSegmentation.
            ignore_index: Label of ignored pixels.
        """
        # the target has probabilities of classes: nothing tells which pixels are ignored
        if pred.shape == target.shape:
            return super().forward(pred, target, weight, avg_factor, reduction_override, **kwargs)
        pred, classes = at_least_float32(pred), pred.shape[1]
        if self.activate:
            pred = pred.sigmoid() if self.use_sigmoid else pred.softmax(1)
        pixels, share = region_weights(target, weight, ignore_index)
        truth = one_hot(target, classes, ignore_index)
        # the constructor's ignore_index names a class to leave out, the argument a label
        kept = [c for c in range(classes) if c != self.ignore_index]
        p, t = pred[:, kept], truth[:, kept]
        w = pixels.unsqueeze(1)
        overlap = 2 * (w * p * t).flatten(1).sum(1)  # (B,): sums over classes and pixels at once
        if self.naive_dice:
            # (B,), as the overlap
            dice = (overlap + self.eps) / ((w * p).flatten(1).sum(1) +
                                           (w * t).flatten(1).sum(1) + self.eps)
        else:
            # (B,)
            dice = overlap / ((w * p * p).flatten(1).sum(1) +
                              (w * t).flatten(1).sum(1) + 2 * self.eps)
        return self.loss_weight * weight_reduce_loss(
            (1 - dice) * share, None, reduction_override or self.reduction, avg_factor)


@MODELS.register_module()
class TverskyLoss(mmseg_losses.TverskyLoss):
    """MMSegmentation's Tversky loss per image and class, with weights.

    True positives, false positives and false negatives are sums over pixels times w, relative to
    the image's largest weight; the image's loss is multiplied by the mean weight of its valid
    pixels.

    Args:
        smooth, class_weight, loss_weight, alpha, beta, loss_name: As in MMSegmentation.
        ignore_index: A class that is left out; None for none. (The label of ignored pixels is the
            head's.)
    """
    def __init__(self, smooth: float = 1, class_weight: ClassWeight = None,
                 loss_weight: float = 1.0, ignore_index: Optional[int] = None, alpha: float = 0.3,
                 beta: float = 0.7, loss_name: str = 'loss_tversky') -> None:
        super().__init__(smooth, class_weight, loss_weight, ignore_index, alpha, beta, loss_name)

    def forward(self, pred: Tensor, target: Tensor, weight: Optional[Tensor] = None,
                ignore_index: int = 255, **kwargs: Any) -> Tensor:
        """The loss, reduced as the class says.

        Args:
            pred: Logits, (B, C, H, W).
            target, weight: (B, H, W), int64; (B, H, W) or None.
            ignore_index: Label of ignored pixels.
        """
        p = at_least_float32(pred).softmax(1)
        pixels, share = region_weights(target, weight, ignore_index)
        t, w = one_hot(target, p.shape[1], ignore_index), pixels.unsqueeze(1)
        # (B, C)
        hit, false, missed = ((w * x).flatten(2).sum(2) for x in (p * t, p * (1 - t), (1 - p) * t))
        values = 1 - (hit + self.smooth) / (hit + self.alpha * false + self.beta * missed
                                            + self.smooth)
        if self.class_weight is not None:
            values = values * values.new_tensor(self.class_weight)
        if self.ignore_index is not None:
            values = torch.cat([values[:, :self.ignore_index], values[:, self.ignore_index + 1:]],
                               1)
        # divided by all classes, also if one is left out, as in MMSegmentation
        return self.loss_weight * (values.sum(1) * share).mean() / p.shape[1]


@MODELS.register_module()
class LovaszLoss(mmseg_losses.LovaszLoss):
    """MMSegmentation's Lovasz-Softmax loss with weights.

    The Jaccard index that is extended counts pixels by their weight (all 1: by their number). The
    loss is multiplied by the mean weight of the valid pixels, of the image with ``per_image``, else
    of the batch.

    Args:
        loss_type, classes, per_image, reduction, class_weight, loss_weight, loss_name: As in
            MMSegmentation.
    """
    def forward(self, cls_score: Tensor, label: Tensor, weight: Optional[Tensor] = None,
                avg_factor: AvgFactor = None, reduction_override: Optional[str] = None,
                ignore_index: int = 255, **kwargs: Any) -> Tensor:
        """The loss, reduced as the class says.

        Args:
            cls_score: Logits, (B, C, H, W).
            label, weight: (B, H, W), int64; (B, H, W) or None.
            avg_factor, reduction_override: As in MMSegmentation.
            ignore_index: Label of ignored pixels.

        Raises:
            ValueError: A weight where ``loss_type='binary'``, whose hinge form has none.
        """
        if self.cls_criterion is not mmseg_losses.lovasz_loss.lovasz_softmax:
            if weight is not None:
                raise ValueError("LovaszLoss(loss_type='binary') takes no weight per pixel: use "
                                 "loss_type='multi_class'")
            return super().forward(cls_score, label, None, avg_factor, reduction_override,
                                   ignore_index=ignore_index)
        probabilities = at_least_float32(cls_score).softmax(1)
        if not self.per_image:  # one set of pixels
            # (B, C, H, W) -> (1, C, B H, W)
            probabilities = probabilities.movedim(1, 0).flatten(1, 2).unsqueeze(0)
            label = label.flatten(0, 1).unsqueeze(0)  # (B, H, W) -> (1, B H, W)
            # (B, H, W) -> (1, B H, W)
            weight = None if weight is None else weight.flatten(0, 1).unsqueeze(0)
        pixels, share = region_weights(label, weight, ignore_index)
        values = torch.stack([self._one(p, y, w)
                              for p, y, w in zip(probabilities, label, pixels)]) * share
        if not self.per_image:
            return self.loss_weight * values[0]
        return self.loss_weight * weight_reduce_loss(values, None, reduction_override
                                                     or self.reduction, avg_factor)

    def _one(self, probabilities: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        """Loss of one set of pixels, (C, H, W), (H, W), (H, W) -> 0-d; 0 if no pixel counts."""
        counted = weight > 0
        p, y = probabilities[:, counted], labels[counted]  # (C, P), (P,)
        w = weight[counted].to(p.dtype)
        classes = range(len(p)) if self.classes in ('all', 'present') else self.classes
        losses = []
        for c in classes:
            truth = (y == c).to(p.dtype)
            if not len(y) or (self.classes == 'present' and not truth.any()):
                continue
            errors, order = (truth - p[c]).abs().sort(descending=True)  # (P,) each
            value = torch.dot(errors, weighted_lovasz_gradient(truth[order], w[order]))
            losses.append(value if self.class_weight is None else value * self.class_weight[c])
        return torch.stack(losses).mean() if losses else probabilities.sum() * 0


def weighted_lovasz_gradient(truth: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the Lovasz extension of the Jaccard loss with weighted pixels, which are sorted
    by their errors.

    Source: Berman, Triki and Blaschko, "The Lovasz-Softmax loss", CVPR 2018, algorithm 1, with
    weights for ones.

    Args:
        truth: (P,), 1 where the pixel is of the class, else 0.
        weight: (P,), above 0.

    Returns:
        (P,).
    """
    inside, outside = weight * truth, weight * (1 - truth)
    total = inside.sum()
    jaccard = 1 - (total - inside.cumsum(0)) / (total + outside.cumsum(0))
    return torch.diff(jaccard, prepend=jaccard.new_zeros(1))


@MODELS.register_module()
class FocalLoss(mmseg_losses.FocalLoss):
    """MMSegmentation's sigmoid focal loss with weights, in plain torch: on the CPU its own takes
    class ids wrongly.

    The mean runs over all pixels and classes, ignored and zero-weighted pixels included, as
    MMSegmentation's does.

    Args:
        use_sigmoid, gamma, alpha, reduction, class_weight, loss_weight, loss_name: As in
            MMSegmentation.
    """
    def forward(self, pred: Tensor, target: Tensor, weight: Optional[Tensor] = None,
                avg_factor: AvgFactor = None, reduction_override: Optional[str] = None,
                ignore_index: int = 255, **kwargs: Any) -> Tensor:
        """The loss, reduced as the class says.

        Args:
            pred: Logits, (B, C, H, W).
            target, weight: (B, H, W), int64; (B, H, W) or None.
            avg_factor, reduction_override: As in MMSegmentation.
            ignore_index: Label of ignored pixels.
        """
        if pred.shape == target.shape:
            return super().forward(pred, target, weight, avg_factor, reduction_override,
                                   ignore_index, **kwargs)
        pred = at_least_float32(pred)

        def by_class(values: Sequence[float]) -> Tensor:
            """A number per class, in the shape that multiplies maps (B, C, H, W)."""
            return pred.new_tensor(values).view(-1, *(1, ) * (pred.dim() - 2))  # (C, 1, 1)

        truth, probability = one_hot(target, pred.shape[1], ignore_index), pred.sigmoid()
        alpha = by_class(self.alpha) if isinstance(self.alpha, list) else self.alpha
        # of each class, one minus the probability of its right answer (yes or no): the focal factor
        wrong = (1 - probability) * truth + probability * (1 - truth)
        values = F.binary_cross_entropy_with_logits(pred, truth, reduction='none') * wrong.pow(
            self.gamma)
        values = values * (alpha * truth + (1 - alpha) * (1 - truth))
        if self.class_weight is not None:
            values = values * by_class(self.class_weight)
        values = values * (target != ignore_index).unsqueeze(1)
        if weight is not None:
            values = values * weight.unsqueeze(1)
        return self.loss_weight * weight_reduce_loss(values, None, reduction_override
                                                     or self.reduction, avg_factor)


@MODELS.register_module()
class OhemCrossEntropy(mmseg_losses.OhemCrossEntropy):
    """MMSegmentation's mean cross-entropy over hard pixels, with weights; pixels of weight 0 are
    not chosen.

    Args:
        ignore_label: Label of ignored pixels; None: the head's ``ignore_index``.
        thres, min_kept, loss_weight, class_weight, loss_name: As in MMSegmentation.
    """
    def __init__(self, ignore_label: Optional[int] = None, thres: float = 0.7,
                 min_kept: int = 100000, loss_weight: float = 1.0, class_weight: ClassWeight = None,
                 loss_name: str = 'loss_ohem') -> None:
        super().__init__(ignore_label, thres, min_kept, loss_weight, get_class_weight(class_weight),
                         loss_name)

    def forward(self, score: Tensor, target: Tensor, weight: Optional[Tensor] = None,
                ignore_index: int = 255, **kwargs: Any) -> Tensor:
        """The loss, reduced as the class says.

        Args:
            score: Logits, (B, C, H, W).
            target, weight: (B, H, W), int64; (B, H, W) or None.
            ignore_index: Label of ignored pixels.
        """
        score = at_least_float32(score)
        factors = None if self.class_weight is None else score.new_tensor(self.class_weight)
        values = F.cross_entropy(score, target, weight=factors, ignore_index=ignore_index,
                                 reduction='none')
        counted = target != ignore_index
        if weight is not None:
            counted, values = counted & (weight > 0), values * weight
        with torch.no_grad():
            labels = target.masked_fill(~counted, 0)
            # of each pixel's own class, (B, H, W)
            probability = score.softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
            ordered = probability[counted].sort().values
            hard = counted
            if len(ordered):
                # all pixels below the threshold (mmseg's attribute of ``thres``), and the
                # ``min_kept`` least sure ones, which are those below ordered[min_kept]
                limit = ordered[min(self.min_kept, len(ordered) - 1)].clamp(min=self.thresh)
                hard = counted & (probability < limit)
        return self.loss_weight * (values * hard).sum() / hard.sum().clamp(min=1)
