"""Feature distance to a frozen, larger encoder in a learned projection (VFM-UDA++).

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.ops import at_least_float32
from mmseg_dg.ops.resize import resize
from mmseg_dg.registry import MODELS

#: Which images the distance may be taken on.
IMAGES = ('source', 'target')


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of a map (B, C, h, w)."""
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        # LayerNorm wants channels last: (B, C, H, W) -> (B, H, W, C) and back
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class ProjectedFeatureDistance(nn.Module):
    """Keeps what the student's features can be projected to near the features of another, frozen
    encoder.

    The projection (1x1 to four times the width, LayerNorm, GELU, 1x1) is trained and belongs to the
    method: exported networks and the teacher do not have it. Loss per cell: ``l1_weight`` times the
    mean over channels of smooth L1, plus ``cosine_weight`` times one minus the cosine; mean over
    all cells; times ``weight``. Source: docs/behavior/mic.md#feature-distance-in-a-projection.

    Args:
        encoder: Config of the frozen encoder; its last map is the reference. Give it its file
            (``init_cfg=dict(type='Pretrained', checkpoint=...)``): a random one is refused when
            training begins.
        in_channels: Channels of the student encoder's last map.
        out_channels: Channels of the reference.
        weight: Factor of the loss on each kind of images.
        size: Side in pixels to which images are brought for the frozen encoder (406 = 29 patches of
            14); None: as they are.
        l1_weight: Of the smooth L1 part.
        cosine_weight: Of the cosine part.
        images: Which images: ``('source', 'target')``, or one of them; methods without a target
            take the source.

    Raises:
        ValueError: Arguments without meaning.
    """
    def __init__(self, encoder: dict, in_channels: int, out_channels: int, weight: float = 0.1,
                 size: Optional[int] = 406, l1_weight: float = 0.1, cosine_weight: float = 0.9,
                 images: Sequence[str] = IMAGES) -> None:
        super().__init__()
        images = (images, ) if isinstance(images, str) else tuple(images)
        if weight <= 0:
            raise ValueError(f'feature distance weight must be positive, got {weight}: use '
                             'feature_distance=None to switch it off')
        if not images or set(images) - set(IMAGES):
            raise ValueError(f'images of ProjectedFeatureDistance must be some of {IMAGES}, got '
                             f'{images}')
        if min(l1_weight, cosine_weight) < 0 or not l1_weight + cosine_weight:
            raise ValueError(f'l1_weight={l1_weight} and cosine_weight={cosine_weight} must not be '
                             'negative, nor both 0')
        self.weight, self.size, self.images = weight, size, images
        self.l1_weight, self.cosine_weight = l1_weight, cosine_weight
        self.in_channels, self.out_channels = in_channels, out_channels
        self.projection = nn.Sequential(nn.Conv2d(in_channels, 4 * in_channels, 1),
                                        ChannelNorm(4 * in_channels), nn.GELU(),
                                        nn.Conv2d(4 * in_channels, out_channels, 1))
        self.encoder = MODELS.build(encoder).requires_grad_(False)
        self.train()  # the encoder in evaluation mode

    def init_weights(self) -> None:
        """Load the frozen encoder's file; the projection keeps torch's start."""
        self.encoder.init_weights()
        self.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> 'ProjectedFeatureDistance':
        """Training mode of the projection; the frozen encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()  # after super(), which sets the encoder's mode, too
        return self

    @torch.no_grad()
    def reference(self, images: Tensor) -> Tensor:
        """The frozen encoder's last map, (B, out_channels, h, w), of normalized images (B, 3, H,
        W).
        """
        if self.size is not None:
            images = F.interpolate(images, (self.size, self.size), mode='bilinear',
                                   align_corners=False)
        return self.encoder(images)[-1]

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """The weighted distance between projected and reference features.

        Args:
            features: The student's last map, (B, in_channels, h, w), or (k B, ...) of k copies of
                the batch.
            images: The images it saw, normalized, (B, 3, H, W).

        Returns:
            0-d loss.

        Raises:
            ValueError: Other numbers of channels than were given.
        """
        reference = self.reference(images)
        if features.shape[1] != self.in_channels or reference.shape[1] != self.out_channels:
            raise ValueError(f'feature_distance: the student gives {features.shape[1]} channels '
                             f'and the frozen encoder {reference.shape[1]}, but '
                             f'in_channels={self.in_channels} and '
                             f'out_channels={self.out_channels}: set them to the former')
        ours = at_least_float32(self.projection(features))
        ours = resize(ours, reference.shape[-2:])
        # behind a style hallucination the student's maps are those of k copies of the batch
        reference = reference.to(ours.dtype).repeat(len(ours) // len(reference), 1, 1, 1)
        # (B, h, w)
        distance = self.l1_weight * F.smooth_l1_loss(ours, reference, reduction='none').mean(1)
        distance = distance + self.cosine_weight * (1 - F.cosine_similarity(ours, reference, dim=1))
        return self.weight * distance.mean()
