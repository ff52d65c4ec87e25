"""UniMatch: FixMatch with two strong views and a stream of perturbed features.

Shapes: B images, C channels, or classes of logits, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from mmseg_dg.models.decode_heads.classifier import Decoded, main_logits
from mmseg_dg.ops import PseudoLabels, confident_cross_entropy
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.modules import child

from .fixmatch import FixMatch
from .step import PassResult


@MODELS.register_module()
class UniMatch(FixMatch):
    """``loss = (L_x + 0.25 L_s1 + 0.25 L_s2 + 0.5 L_fp) / 2``
    (docs/behavior/unimatch.md#unimatch-step).

    L_fp compares the weak view's prediction from features with dropped channels with its own
    pseudo-labels. The decoder sees [clean; dropped] features of labeled and weak images in one
    forward, as in UniMatch's code: the labeled half of the dropped ones is there for BatchNorm
    only.

    Args:
        network: Config of the segmentor, an encoder with one decode head.
        view_weights: Weights of L_s1 and L_s2 in the objective.
        feature_weight: Weight of L_fp in the objective.
        feature_dropout: Probability of dropping a channel (Dropout2d) of each level the decoder
            uses, level by level.
        fixmatch: Of :class:`FixMatch`.

    Raises:
        ValueError: Arguments without meaning.
    """
    def __init__(self, network: dict, view_weights: Sequence[float] = (0.125, 0.125),
                 feature_weight: float = 0.25, feature_dropout: float = 0.5,
                 **fixmatch: Any) -> None:
        super().__init__(network, view_weights=view_weights, **fixmatch)
        if not 0 <= feature_dropout < 1:
            raise ValueError(f'feature_dropout is a probability below 1, got {feature_dropout}')
        self.feature_weight, self.feature_dropout = feature_weight, feature_dropout

    def decode_views(self, features: Sequence[Tensor], labeled: int) -> tuple[Decoded, Any]:
        """Decode the maps (B, C_i, h_i, w_i) of [labeled; weak] and, in the same call, a copy of
        them with dropped channels.

        Returns:
            What the head gives for the clean maps, and its logits of the weak images' maps with
            dropped channels.
        """
        count = len(features[0])  # images before those with dropped channels
        levels = decoder_levels(self.student.decode_head, len(features))
        both = [
            torch.cat([x, drop_channels(x, self.feature_dropout)]) if i in levels else x
            for i, x in enumerate(features)
        ]
        decoded = self.decoded(both)

        def images_of(value: Any, start: int, stop: Optional[int] = None) -> Any:
            """Images ``start`` to ``stop`` of a tensor, or of each tensor of a list."""
            return value[start:stop] if isinstance(value,
                                                   Tensor) else [x[start:stop] for x in value]

        fused = None if decoded.features is None else decoded.features[:count]
        clean = Decoded(images_of(decoded.logits, 0, count), decoded.calls, fused)
        # [labeled; weak; labeled dropped; weak dropped]: the last part
        return clean, images_of(decoded.logits, count + labeled)

    def dropped_loss(self, logits: Any, target: PseudoLabels, images: Tensor) -> PassResult:
        """``feature_weight`` times L_fp: predictions of features with dropped channels against the
        pseudo-labels of the same weak images.

        Args:
            logits: (B, C, h, w), or several such maps of which the first predicts.
            target: The pseudo-labels.
            images: The weak images, (B, 3, H, W), for their size.
        """
        loss = confident_cross_entropy(self.full_size(main_logits(logits), images), target,
                                       self.threshold)
        return PassResult({'feature.loss_ce': loss * self.feature_weight})


def decoder_levels(head: BaseDecodeHead, count: int) -> list[int]:
    """Positions of the encoder's maps that a decode head reads: c1 of a DeepLabV3+ head, and its
    ``in_index``.

    Args:
        head: mmseg's ``BaseDecodeHead``.
        count: Number of maps the encoder gives; a negative ``in_index`` counts from their end.

    Returns:
        0-based positions without repetition; c1 first, then in the order of the numbers of
        ``in_index``, negative ones first.
    """
    index = head.in_index
    levels = [i % count for i in sorted(index if isinstance(index, (list, tuple)) else [index])]
    # mmseg's DeepLabV3+ takes the first map besides in_index
    if child(head, 'c1_bottleneck') is not None:
        levels.insert(0, 0)
    return list(dict.fromkeys(levels))


def drop_channels(features: Tensor, probability: float) -> Tensor:
    """Whole channels of an image set to 0, the others scaled up; noise of torch's global generator.

    Args:
        features: (B, C, h, w).
        probability: Of dropping a channel of an image.

    Returns:
        (B, C, h, w), kept channels divided by ``1 - probability``.
    """
    return F.dropout2d(features, probability, training=True)
