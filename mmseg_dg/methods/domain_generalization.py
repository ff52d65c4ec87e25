"""Domain generalization: training on one source so that unseen domains are predicted well.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from typing import Any, Optional

from mmengine.logging import print_log
from torch import Tensor

from mmseg_dg.models.backbones.style_hallucination import StyleHallucination
from mmseg_dg.models.losses.feature_distance import DistanceRegion
from mmseg_dg.models.segmentors.network import NetworkLosses, segmentation_losses
from mmseg_dg.ops import CropBox, style_consistency
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.arguments import unsupported_arguments
from mmseg_dg.utils.modules import child

from .alignment import NO_ALIGNMENT
from .step import PassResult
from .supervised import Supervised


@MODELS.register_module()
@unsupported_arguments(alignment=NO_ALIGNMENT
                       + 'Stylized copies of an image would be pairs of another kind '
                       'than PiXL means. Use model.type=Supervised, which is this '
                       'method without styles')
class DomainGeneralization(Supervised):
    """Source-only training with the feature distance and, if the encoder hallucinates styles, their
    consistency.

    With ``network.backbone.style_hallucination=dict()`` the student sees every image twice, as it
    is and stylized: both are trained with the same label, the feature distance compares both with
    the ImageNet features of the image, and the consistency loss draws the two predictions together
    (at the head's own resolution; of HRDA's fusion). All of it is one pass with one backward unless
    ``shared_backward=False``. Without styles it is :class:`Supervised` with the feature distance.
    Source: the generalization part of DAFormer + HRDA (Hoyer et al., TPAMI 2023), with SHADE (Zhao
    et al., ECCV 2022); docs/behavior/daformer_hrda.md#domain-generalization.

    Args:
        network: Config of the segmentor.
        style_consistency_weight: Factor of the consistency loss, 10 in the paper; 0 leaves it out.
            Not used without styles.
        supervised: Of :class:`Supervised`, except ``alignment``.

    Raises:
        ValueError: A negative weight, or styles in something else than the network's backbone.
    """

    trains_styles = True

    def __init__(self, network: dict, style_consistency_weight: float = 10.,
                 **supervised: Any) -> None:
        super().__init__(network, **supervised)
        if style_consistency_weight < 0:
            raise ValueError(f'style_consistency_weight={style_consistency_weight} must not be '
                             'negative')
        self.style_consistency_weight = style_consistency_weight

    @property
    def styles(self) -> Optional[StyleHallucination]:
        """The part of the student's encoder that hallucinates styles, or None."""
        part = child(self.student.backbone, 'style_hallucination')
        return part if isinstance(part, StyleHallucination) else None

    def source_losses(self, images: Tensor, labels: Tensor,
                      box: Optional[CropBox]) -> NetworkLosses:
        """Forward pass and losses of the labeled images (B, 3, H, W). An encoder that hallucinates
        styles appends a stylized copy of each, so that labels (B, H, W) count twice.
        """
        if not self._stylizes():
            return super().source_losses(images, labels, box)
        result = segmentation_losses(self.student, images, labels.repeat(2, 1, 1), crop_box=box)
        if self.style_consistency_weight:
            # (2 B, C, h, w): logits of the originals, then of their stylized copies
            difference = style_consistency(*result.logits.chunk(2))
            term = PassResult(
                {'loss_style_consistency': self.style_consistency_weight * difference})
            return result._replace(terms=result.terms.joined(term))
        return result

    def distance_region(self, features: Tensor, reference: Tensor,
                        labels: Tensor) -> DistanceRegion:
        """What the feature distance compares; reference (B, C, h, w) and labels (B, H, W) are
        repeated for the stylized copies, which ``features`` (2 B, C, h, w) contain.
        """
        # the ImageNet encoder sees no styles, so its features of the copy are the same
        if self._stylizes():
            reference, labels = reference.repeat(2, 1, 1, 1), labels.repeat(2, 1, 1)
        return super().distance_region(features, reference, labels)

    def _stylizes(self) -> bool:
        """Whether the encoder appends stylized copies to a batch now: it does in training mode."""
        return self.styles is not None and self.styles.training

    def before_training(self) -> None:
        """Besides the base's last checks, log the settings of the styles."""
        super().before_training()
        state = 'off' if self.styles is None else (
            f'{self.styles.num_prototypes} prototypes, concentration {self.styles.concentration}, '
            f'consistency weight {self.style_consistency_weight}')
        print_log(f'style hallucination: {state}', logger='current')
