"""Supervised training on one labeled stream: source-only, target-only (oracle), base of domain
generalization.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Callable, Optional

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_dg.models.losses.alignment import AlignmentImages
from mmseg_dg.models.losses.feature_distance import DistanceRegion, FeatureDistance
from mmseg_dg.models.losses.projected_distance import ProjectedFeatureDistance
from mmseg_dg.models.segmentors.network import (
    NetworkLosses,
    distance_maps,
    draw_crop_box,
    reference_features,
    segmentation_losses,
)
from mmseg_dg.ops import CropBox
from mmseg_dg.ops.precision import lower_precision
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator
from mmseg_dg.weights.files import check_pretrained

from .alignment import AlignmentMixin
from .base import BaseMethod, stack_labels
from .step import Pass, PassResult, StepState

#: The feature distance that has an encoder of its own instead of a copy of the student's.
PROJECTED = 'ProjectedFeatureDistance'


@dataclass(frozen=True)
class SupervisedDraws:
    """Random decisions of a supervised step.

    Attributes:
        crop_box_source: Detail crop (y1, y2, x1, x2) of a multi-resolution network, else None.
        alignment_seed: For an alignment term with random decisions, else None.
    """
    crop_box_source: Optional[CropBox] = None
    alignment_seed: Optional[int] = None


@MODELS.register_module()
class Supervised(AlignmentMixin, BaseMethod):
    """Cross-entropy on one labeled stream, with the ImageNet feature distance if wanted.

    Args:
        network: Config of the segmentor.
        stream: Name of the labeled stream; losses are logged under it (``source.decode.loss_ce``).
        feature_distance: Arguments of :class:`FeatureDistance`, or of another one by its type
            (``dict(type='ProjectedFeatureDistance', encoder=..., ...)``), or None.
        shared_backward: Back-propagate segmentation loss and feature distance together (same
            gradients, one encoder backward less); False does it one after the other through the
            retained graph, as the official code does.
        sync_statistics: Share counts behind masked means between processes (decision: per process
            by default).
        alignment: ``dict(type='PixelAlignment' | 'PixelContrast', ...)``, a term between the pixels
            of the batch's images, or None.
        base: Of :class:`BaseMethod`.
    """

    weighs_pixels = False

    def __init__(self, network: dict, stream: str = 'source',
                 feature_distance: Optional[dict] = None, shared_backward: bool = True,
                 sync_statistics: bool = False, alignment: Optional[dict] = None,
                 **base: Any) -> None:
        super().__init__(network, **base)
        self.build_alignment(alignment)
        self.source_stream = stream
        self.streams = self.labeled_streams = (stream, )
        self.shared_backward = shared_backward
        self.sync_statistics = sync_statistics
        self.feature_distance: Optional[FeatureDistance] = None
        self.imnet: Optional[nn.Module] = None
        self.projected_distance: Optional[ProjectedFeatureDistance] = None
        if feature_distance is not None and feature_distance.get('type') == PROJECTED:
            self.projected_distance = MODELS.build(feature_distance)
        elif feature_distance is not None:
            # 19, of Cityscapes, for a segmentor without the attribute
            num_classes = getattr(self.student, 'num_classes', 19)
            self.feature_distance = MODELS.build(
                dict(dict(type='FeatureDistance', num_classes=num_classes), **feature_distance))
            # the frozen encoder of the distance; ``sync_copies`` fills it with pretrained weights
            self.imnet = deepcopy(self.student.backbone).requires_grad_(False)

    # ------------------------------------------------------------------ passes
    def draw_step(self, batch: dict[str, dict], generator: Any) -> Any:
        """Draw the detail crop (None for a network without) and the seed of the alignment term."""
        rng = StepGenerator.wrap(generator)
        box = draw_crop_box(self.student, batch[self.source_stream]['inputs'].shape[-2:], rng.numpy)
        return SupervisedDraws(box, self.draw_alignment(rng))

    def passes(self, batch: dict[str, dict], draws: Any,
               state: Optional[StepState] = None) -> list[Pass]:
        """The passes over the labeled source, which are all of a step (:meth:`source_passes`)."""
        return self.source_passes(batch, draws, StepState() if state is None else state)

    def source_passes(
            self, batch: dict[str, dict], draws: Any, state: StepState, pass_follows: bool = False,
            ahead: Optional[Callable[[], Sequence[AlignmentImages]]] = None) -> list[Pass]:
        """The segmentation pass on labeled images and, on the same graph or after it, the feature
        distance.

        Args:
            batch, draws, state: Of the step.
            pass_follows: Another pass follows, with whose images an alignment term pairs these.
            ahead: Shows that pass's images to the term, see :meth:`AlignmentMixin.align`.

        Returns:
            One pass, or two where the distance has a backward pass of its own.
        """
        stream = batch[self.source_stream]
        images = stream['inputs']
        labels = stack_labels(stream['data_samples'], self.source_stream)
        box = draws.crop_box_source
        # joint: one backward pass for loss and distance instead of two on a graph that is kept
        joint = self.feature_distance is not None and self.shared_backward
        # an alignment term of the pass that follows goes back through these features, too
        graph_needed = pass_follows and self.alignment_holds_graph(state)

        def segmentation() -> PassResult:
            """Losses on the labeled images; features are left for a distance pass of its own."""
            result = self.source_losses(images, labels, box)
            aligned = self.align(state, result, labels, pass_follows=pass_follows,
                                 seed=draws.alignment_seed, ahead=ahead)
            terms = result.terms.joined(aligned).prefixed(self.source_stream)
            if joint:
                terms = terms.joined(self.distance_loss(result.features, images, labels, box,
                                                        state))
            elif self.feature_distance is not None:
                state.source_features = result.features  # ``distance`` below reads them
            elif self.takes_projected_distance('source'):
                terms = terms.joined(
                    self.projected_loss(self.source_stream, result.features[0], images))
            # an alignment term may let them wait for the pass that follows
            return self.hold_losses(state, terms)

        def distance() -> PassResult:
            """The feature distance, on what the segmentation pass left."""
            features, state.source_features = state.source_features, None
            assert features is not None  # the pass before has left them
            return self.distance_loss(features, images, labels, box, state)

        if joint or self.feature_distance is None:
            return [Pass(self.source_stream, segmentation)]
        return [
            Pass(self.source_stream, segmentation, retain_graph=True),
            Pass('feature_distance', distance, retain_graph=graph_needed)
        ]

    def source_losses(self, images: Tensor, labels: Tensor,
                      box: Optional[CropBox]) -> NetworkLosses:
        """Forward pass and losses of the labeled images (B, 3, H, W) with labels (B, H, W)."""
        return segmentation_losses(self.student, images, labels, crop_box=box)

    def distance_loss(self, features: list, images: Tensor, labels: Tensor, box: Optional[CropBox],
                      state: StepState) -> PassResult:
        """Feature distance of the source pass to the frozen encoder.

        Args:
            features: Of the student, as :attr:`NetworkLosses.features`: for each scale a sequence
                of maps (B, C, h, w).
            images: Normalized, (B, 3, H, W).
            labels: (B, H, W) int64, 255 ignored.
            box: Detail crop (y1, y2, x1, x2) of the pass, for networks that have one.
            state: Of the step; gets ``distance_mask``, which cells of the first scale counted.

        Returns:
            The weighted distance as ``<stream>.loss_feature_distance``.
        """
        assert self.feature_distance is not None and self.imnet is not None
        scale = self.feature_distance.scale
        with torch.no_grad(), lower_precision(self.teacher_precision, images.device):
            # without a box, only the context scale is encoded
            reference = reference_features(self.student, self.imnet, images,
                                           crop_box=box if scale == 'all' else None)
        ours = distance_maps(self.student, features, labels, scale, crop_box=box)
        theirs = distance_maps(self.student, reference, labels, scale, crop_box=box)
        # one entry per scale: (last map, labels of the same region)
        regions = [
            self.distance_region(maps, reference_maps, region_labels)
            for (maps, region_labels), (reference_maps, _) in zip(ours, theirs)
        ]
        value, mask = self.feature_distance(regions, reduce_count=self.mean_over_processes())
        if mask is not None:  # None: every cell counts
            state.distance_mask = mask
        return PassResult({f'{self.source_stream}.loss_feature_distance': value})

    def takes_projected_distance(self, images: str) -> bool:
        """Whether there is a distance in a learned projection, and it is taken on these images:
        ``'source'`` or ``'target'``.
        """
        return self.projected_distance is not None and images in self.projected_distance.images

    def projected_loss(self, stream: str, features: Sequence[Tensor], images: Tensor) -> PassResult:
        """Distance in a learned projection, weighted, as ``<stream>.loss_feature_distance``.

        Args:
            stream: Name of the images' stream, for the log.
            features: The student's maps, (B, C_i, h_i, w_i) each; the last one is compared.
            images: Normalized (B, 3, H, W), which the term's own frozen encoder reads.
        """
        assert self.projected_distance is not None  # callers ask takes_projected_distance first
        value = self.projected_distance(features[-1], images)
        return PassResult({f'{stream}.loss_feature_distance': value})

    def distance_region(self, features: Tensor, reference: Tensor,
                        labels: Tensor) -> DistanceRegion:
        """What is compared on one scale: ``features`` of the student and ``reference``, those of
        the frozen encoder, both (B, C, h, w), and labels (B, H, W) of the same region.

        Subclasses whose student sees every image several times repeat reference and labels here.
        """
        return DistanceRegion(features, reference, labels)

    def mean_over_processes(self) -> Optional[Callable[[Tensor], Tensor]]:
        """A function from this process's count (0-d) to the mean count of all processes, where
        statistics are shared (``sync_statistics``); else None.
        """
        if not self.sync_statistics or get_world_size() == 1:
            return None

        def reduce(count: Tensor) -> Tensor:
            """The mean, 0-d float64; ``count`` itself stays as it is."""
            count = count.detach().clone().double()
            all_reduce(count)
            return count / get_world_size()

        return reduce

    # ------------------------------------------------------------------ modes and weights
    def train(self, mode: bool = True) -> 'Supervised':
        """Training mode; the frozen encoder of the feature distance stays in evaluation mode."""
        super().train(mode)
        if self.imnet is not None:  # ``super().train`` has put it into training mode, too
            self.imnet.eval()
        return self

    def init_weights(self) -> None:
        """Initialize the method, and the encoder of a projected distance from its own file."""
        super().init_weights()
        if self.projected_distance is not None:
            check_pretrained(self.projected_distance)
            self.projected_distance.init_weights()

    def sync_copies(self) -> None:
        """Copy the student's weights into averages and the encoder of the feature distance."""
        super().sync_copies()
        if self.imnet is not None:
            self.imnet.load_state_dict(self.student.backbone.state_dict())

    def before_training(self) -> None:
        """Besides the base's last checks, refuse (ValueError) a feature distance to an encoder
        without pretrained weights, and log what is trained besides the segmentation.
        """
        super().before_training()
        self.log_alignment()
        if self.projected_distance is not None and not _is_pretrained(
                self.projected_distance.encoder):
            raise ValueError(
                'feature_distance compares with a pretrained encoder, but its encoder '
                f'{type(self.projected_distance.encoder).__name__} starts from random weights: '
                "give it init_cfg=dict(type='Pretrained', checkpoint='pretrained/...')")
        if self.imnet is None or self.feature_distance is None:
            return
        if not _is_pretrained(self.student.backbone):
            raise ValueError(
                'the feature distance keeps features near those of a pretrained encoder, but the '
                f'backbone {type(self.student.backbone).__name__} starts from random weights: give '
                "it init_cfg=dict(type='Pretrained', checkpoint='pretrained/...'), or set "
                'feature_distance=None')
        print_log(
            f'feature distance: weight {self.feature_distance.weight}, classes '
            f'{self.feature_distance.classes}', logger='current')


def _is_pretrained(backbone: nn.Module) -> bool:
    """Whether an encoder's ``init_cfg`` (one config, or several) names a weight file."""
    init_cfg = getattr(backbone, 'init_cfg', None)
    configs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any(c is not None and str(c.get('type', '')).endswith('Pretrained') for c in configs)
