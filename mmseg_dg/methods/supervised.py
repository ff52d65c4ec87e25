"""Supervised training on one labelled stream: source-only, target-only (oracle), base of domain
generalization.
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
from mmseg_dg.ops.precision import check_precision, lower_precision
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator
from mmseg_dg.weights.files import check_pretrained

from .alignment import AlignmentMixin
from .base import BaseMethod, stack_labels, with_prefix
from .step import Pass, StepState

#: The feature distance that has an encoder of its own instead of a copy of the student's.
PROJECTED = 'ProjectedFeatureDistance'


@dataclass
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
    """Cross-entropy on one labelled stream, with the ImageNet feature distance if wanted.

    Args:
        network: Config of the segmentor.
        data_preprocessor: Config of the preprocessor.
        stream: Name of the labelled stream; losses are logged under it (``source.decode.loss_ce``).
        feature_distance: Arguments of :class:`FeatureDistance`, or of another one by its type
            (``dict(type='ProjectedFeatureDistance', encoder=..., ...)``), or None.
        shared_backward: Back-propagate segmentation loss and feature distance together (same
            gradients, one encoder backward less); False does it one after the other through the
            retained graph, as the official code does.
        sync_statistics: Share counts behind masked means between processes (decision: per process
            by default).
        evaluate: Network to evaluate.
        norm_eval: BatchNorm on running statistics during training.
        alignment: ``dict(type='PixelAlignment' | 'PixelContrast', ...)``, a term between the pixels
            of the batch's images, or None.
        teacher_precision: ``'bf16'`` or ``'fp16'`` autocasts the networks that learn nothing (the
            ImageNet copy of the feature distance); their softmax, entropies, losses and distances
            stay in float32. None: the precision of the other passes.
        init_cfg: mmengine's.
    """

    weighs_pixels = False

    def __init__(self, network: dict, data_preprocessor: Optional[dict] = None,
                 stream: str = 'source', feature_distance: Optional[dict] = None,
                 shared_backward: bool = True, sync_statistics: bool = False,
                 evaluate: str = 'student', norm_eval: bool = False,
                 alignment: Optional[dict] = None, teacher_precision: Optional[str] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(network, data_preprocessor, evaluate=evaluate, norm_eval=norm_eval,
                         init_cfg=init_cfg)
        self.build_alignment(alignment)
        self.source_stream = stream
        self.streams = self.labeled_streams = (stream, )
        self.shared_backward = shared_backward
        self.sync_statistics = sync_statistics
        self.teacher_precision = check_precision('teacher_precision', teacher_precision)
        self.feature_distance: Optional[FeatureDistance] = None
        self.imnet: Optional[nn.Module] = None
        self.projected_distance: Optional[ProjectedFeatureDistance] = None
        if feature_distance is not None and feature_distance.get('type') == PROJECTED:
            self.projected_distance = MODELS.build(feature_distance)
        elif feature_distance is not None:
            num_classes = getattr(self.student, 'num_classes', 19)
            self.feature_distance = MODELS.build(
                dict(dict(type='FeatureDistance', num_classes=num_classes), **feature_distance))
            self.imnet = deepcopy(self.student.backbone).requires_grad_(False)

    # ------------------------------------------------------------------ passes
    def draw_step(self, batch: dict[str, dict], generator: Any) -> SupervisedDraws:
        rng = StepGenerator.of(generator)
        box = draw_crop_box(self.student, batch[self.source_stream]['inputs'].shape[-2:], rng.numpy)
        return SupervisedDraws(box, self.draw_alignment(rng))

    def passes(self, batch: dict[str, dict], draws: Any,
               state: Optional[StepState] = None) -> list[Pass]:
        return self.source_passes(batch, draws, StepState() if state is None else state)

    def source_passes(
            self, batch: dict[str, dict], draws: Any, state: StepState, more: bool = False,
            ahead: Optional[Callable[[], Sequence[AlignmentImages]]] = None) -> list[Pass]:
        """The segmentation pass on labelled images and, on the same graph or after it, the feature
        distance.

        Args:
            batch, draws, state: Of the step.
            more: Another pass follows, with whose images an alignment term pairs these.
            ahead: Shows that pass's images to the term, see :meth:`AlignmentMixin.align`.
        """
        stream = batch[self.source_stream]
        images = stream['inputs']
        labels = stack_labels(stream['data_samples'], self.source_stream)
        box = draws.crop_box_source
        joint = self.feature_distance is not None and self.shared_backward
        held = more and self.alignment_holds_graph(state)

        def segmentation() -> dict[str, Tensor]:
            result = self.source_losses(images, labels, box)
            aligned = self.align(state, result, labels, more=more, seed=draws.alignment_seed,
                                 ahead=ahead)
            values = with_prefix(self.source_stream, dict(result.losses, **aligned))
            if joint:
                values.update(self.distance_loss(result.features, images, labels, box, state))
            elif self.feature_distance is not None:
                state['source_features'] = result.features
            elif self.takes_projected_distance('source'):
                values.update(self.projected_loss(self.source_stream, result.features[0], images))
            return self.hold_losses(state, values)

        def distance() -> dict[str, Tensor]:
            return self.distance_loss(state.pop('source_features'), images, labels, box, state)

        if joint or self.feature_distance is None:
            return [Pass(self.source_stream, segmentation)]
        return [
            Pass(self.source_stream, segmentation, retain_graph=True),
            Pass('feature_distance', distance, retain_graph=held)
        ]

    def source_losses(self, images: Tensor, labels: Tensor,
                      box: Optional[CropBox]) -> NetworkLosses:
        """Forward pass and losses of the labelled images."""
        return segmentation_losses(self.student, images, labels, crop_box=box)

    def distance_loss(self, features: list, images: Tensor, labels: Tensor, box: Optional[CropBox],
                      state: StepState) -> dict[str, Tensor]:
        """Feature distance of the source pass, under the log name of the official code's term."""
        scale = self.feature_distance.scale
        with torch.no_grad(), lower_precision(self.teacher_precision, images.device):
            # without a box, only the context scale is encoded
            reference = reference_features(self.student, self.imnet, images,
                                           crop_box=box if scale == 'all' else None)
        ours = distance_maps(self.student, features, labels, scale, crop_box=box)
        theirs = distance_maps(self.student, reference, labels, scale, crop_box=box)
        regions = [self.distance_region(a, b, region) for (a, region), (b, _) in zip(ours, theirs)]
        value, mask = self.feature_distance(regions, reduce_count=self.mean_over_processes())
        if mask is not None:
            state['distance_mask'] = mask
        return {f'{self.source_stream}.loss_feature_distance': value}

    def takes_projected_distance(self, images: str) -> bool:
        """Whether there is a distance in a learned projection on ``'source'`` or ``'target'``
        images.
        """
        return self.projected_distance is not None and images in self.projected_distance.images

    def projected_loss(self, stream: str, features: Sequence[Tensor],
                       images: Tensor) -> dict[str, Tensor]:
        """Distance of the student's last map to the frozen encoder's, under the log name of a
        feature distance.
        """
        return {f'{stream}.loss_feature_distance': self.projected_distance(features[-1], images)}

    def distance_region(self, features: Tensor, reference: Tensor,
                        labels: Tensor) -> DistanceRegion:
        """One scale of the feature distance; subclasses whose student sees images several times
        repeat the rest.
        """
        return DistanceRegion(features, reference, labels)

    def mean_over_processes(self) -> Optional[Callable[[Tensor], Tensor]]:
        """The mean of a count over processes, where statistics are shared; else None."""
        if not self.sync_statistics or get_world_size() == 1:
            return None

        def reduce(count: Tensor) -> Tensor:
            count = count.detach().clone().double()
            all_reduce(count)
            return count / get_world_size()

        return reduce

    # ------------------------------------------------------------------ modes and weights
    def train(self, mode: bool = True) -> 'Supervised':
        super().train(mode)
        if self.imnet is not None:  # mmseg backbones return None from train()
            nn.Module.eval(self.imnet)
        return self

    def init_weights(self) -> None:
        super().init_weights()
        if self.projected_distance is not None:
            check_pretrained(self.projected_distance)
            self.projected_distance.init_weights()

    def sync_copies(self) -> None:
        super().sync_copies()
        if self.imnet is not None:
            self.imnet.load_state_dict(self.student.backbone.state_dict())

    def before_training(self) -> None:
        super().before_training()
        self.log_alignment()
        if self.projected_distance is not None and not _is_pretrained(
                self.projected_distance.encoder):
            raise ValueError(
                'feature_distance compares with a pretrained encoder, but its encoder '
                f'{type(self.projected_distance.encoder).__name__} starts from random weights: '
                "give it init_cfg=dict(type='Pretrained', checkpoint='pretrained/...')")
        if self.imnet is None:
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
    init_cfg = getattr(backbone, 'init_cfg', None)
    configs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any(c is not None and str(c.get('type', '')).endswith('Pretrained') for c in configs)
