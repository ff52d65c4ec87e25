"""What the semi-supervised methods share: streams, weak and strong views, CutMix, pseudo-labels.

Shapes: B images, C classes, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from torch import Tensor, nn

from mmseg_dg.models.decode_heads.classifier import Decoded, decode, main_logits
from mmseg_dg.models.segmentors.network import (
    NetworkLosses,
    auxiliary_losses,
    head_result,
)
from mmseg_dg.ops import (
    ComplementaryMasks,
    CropBox,
    EncodedImages,
    PseudoLabels,
    StrongView,
    apply_strong_view,
    at_least_float32,
    check_cutmix,
    check_strong_view,
    denormalize,
    draw_cutmix_box,
    draw_strong_view,
    normalize,
    paste_boxes,
    paste_encoded,
    pseudo_labels_from,
)
from mmseg_dg.ops.resize import resize
from mmseg_dg.utils.options import check_options
from mmseg_dg.utils.seeding import StepGenerator

from .labeled_unlabeled import LabeledUnlabeled
from .step import PassResult, StepState
from .teacher import EMATeacher


@dataclass(frozen=True)
class SemiDraws:
    """Every random decision of one semi-supervised step, network-internal noise (dropout) excepted.

    Attributes:
        views: ``[k][i]``: strong view k of unlabeled image i.
        mix_views: ``[k][i]``: strong view k of image i of the mix stream; empty without such a
            stream.
        boxes: ``[k][i]``: box (y1, y2, x1, x2) that is pasted into view k of image i, or None;
            empty without CutMix.
        alignment_seed: For an alignment term with random decisions, else None.
        dropout: Channels that the two strong views of an image lose (UniMatch V2), else None; drawn
            last.
    """
    views: list[list[StrongView]] = field(default_factory=list)
    mix_views: list[list[StrongView]] = field(default_factory=list)
    boxes: list[list[Optional[CropBox]]] = field(default_factory=list)
    alignment_seed: Optional[int] = None
    dropout: Optional[ComplementaryMasks] = None


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Every module of the network in evaluation mode inside the block; those that were in training
    mode before are so again after it.
    """
    # only those that are to change: a frozen encoder's are there already
    training = [module for module in network.modules() if module.training]
    for module in training:
        # not module.eval(), which removes a teacher's hooks and which mmseg's backbones override
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class SemiSupervised(LabeledUnlabeled):
    """Base of methods that learn from labeled images and from pseudo-labels of unlabeled ones.

    The loaders deliver weak views. Strong views are made here, on the device, from drawn
    parameters; several strong views of one image are independent draws. With CutMix a further
    stream of unlabeled images is read, whose strong view k is pasted into strong view k, labels,
    confidence and padding with it; or, without such a stream, image i takes its box from image B -
    1 - i of the batch itself (UniMatch V2), its own strong view k.

    Args:
        network: Config of the segmentor that is trained.
        labeled_stream: Name of the stream with labels.
        unlabeled_stream: Name of the stream without. Its samples carry ``valid_pseudo_mask``
            (``PseudoLabelMargins``).
        mix_stream: Name of the second pass over the unlabeled images, which CutMix pastes; read
            only with it. None pastes the batch in reversed order: no second stream, and no
            pseudo-labels of it to make.
        labeled_weight: Weight of the labeled images' loss in the objective.
        view_weights: Weight of each strong view's loss in the objective; their number is that of
            the views.
        cutmix: Arguments of :func:`mmseg_dg.ops.draw_cutmix_box` (``dict()``: UniMatch's), or None
            for none.
        strong_view: Arguments of :func:`mmseg_dg.ops.draw_strong_view`; None: UniMatch's.
        threshold: Least confidence of a pseudo-label that is learned from (0.95; 0 on Cityscapes).
        pseudo_labels: ``'student'`` or ``'teacher'``, an exponential moving average (needs
            ``EMAUpdateHook``).
        base: Of :class:`BaseMethod`. The preprocessor's mean and std undo and redo the
            normalization; ``teacher_precision`` is that of the network that makes pseudo-labels in
            evaluation mode.

    Raises:
        ValueError: Arguments without meaning.
    """

    reads_all_labels = True
    hook_settings = {
        'EMAUpdateHook': dict(beta=0.999, when='after_step', ramp=True, buffers='average')
    }
    # heads see labeled images; pseudo-labels have a cross-entropy of their own
    weighs_pixels = False

    def __init__(self, network: dict, labeled_stream: str = 'labeled',
                 unlabeled_stream: str = 'unlabeled', mix_stream: Optional[str] = 'unlabeled_mix',
                 labeled_weight: float = 0.5, view_weights: Sequence[float] = (0.5, ),
                 cutmix: Optional[dict] = None, strong_view: Optional[dict] = None,
                 threshold: float = 0.95, pseudo_labels: str = 'student', **base: Any) -> None:
        super().__init__(network, labeled_stream, unlabeled_stream, **base)
        if not 0 <= threshold <= 1:
            raise ValueError(f'threshold is a probability, got {threshold}')
        if pseudo_labels not in ('student', 'teacher'):
            raise ValueError(f"pseudo_labels must be 'student' or 'teacher', got {pseudo_labels!r}")
        self.mix_stream = mix_stream
        self.cutmix = None if cutmix is None else _checked(cutmix, check_cutmix, 'cutmix')
        self.strong_view = _checked(strong_view or {}, check_strong_view, 'strong_view')
        if mix_stream is not None and self.reads_mix_stream:
            self.streams = (*self.streams, mix_stream)
        self.labeled_weight, self.view_weights = labeled_weight, tuple(view_weights)
        self.threshold, self.pseudo_labels = threshold, pseudo_labels
        if pseudo_labels == 'teacher':
            self.teacher = EMATeacher(self.student, beta=0.999, ramp=True, buffers='average')

    @property
    def reads_mix_stream(self) -> bool:
        """Whether CutMix pastes images of a stream of its own."""
        return self.cutmix is not None and self.mix_stream is not None

    @property
    def num_views(self) -> int:
        """Strong views per image."""
        return len(self.view_weights)

    # ------------------------------------------------------------------ checks
    def forward_sizes(self, batch_sizes: dict[str, int]) -> dict[str, tuple[str, int]]:
        """How many images pass the network together: labeled and unlabeled ones, and all strong
        views. Pseudo-labels do not count: they are made in evaluation mode.
        """
        labeled, unlabeled = batch_sizes[self.labeled_stream], batch_sizes[self.unlabeled_stream]
        strong = {
            f'strong views of stream "{self.unlabeled_stream}" (batch_size={unlabeled})':
                (self.unlabeled_stream, self.num_views * unlabeled)
        } if self.num_views else {}
        both = f'"{self.labeled_stream}" and "{self.unlabeled_stream}"'
        return {
            f'streams {both} (batch_size={labeled} and {unlabeled})':
                (self.labeled_stream, labeled + unlabeled), **strong
        }

    def before_training(self) -> None:
        """Besides the base's last checks: all streams are normalized alike, and strong views, which
        undo it, know how.
        """
        super().before_training()
        self.check_normalization('semi-supervised training',
                                 'strong views undo' if self.num_views else '')

    # ------------------------------------------------------------------ draws
    def draw_step(self, batch: dict[str, dict], generator: Any) -> SemiDraws:
        """Draw parameters of every strong view of every image, and boxes of CutMix."""
        rng = StepGenerator.wrap(generator).numpy
        images = batch[self.unlabeled_stream]['inputs']
        count, size = len(images), tuple(images.shape[-2:])

        def views() -> list[list[StrongView]]:
            """Parameters by view, then by image."""
            return [[draw_strong_view(rng, **self.strong_view) for _ in range(count)]
                    for _ in range(self.num_views)]

        # in this order, so that recorded runs can be repeated
        own_views = views()
        mix_views = views() if self.reads_mix_stream else []
        boxes = [] if self.cutmix is None else [[
            draw_cutmix_box(size, rng, **self.cutmix) for _ in range(count)
        ] for _ in range(self.num_views)]
        return SemiDraws(views=own_views, mix_views=mix_views, boxes=boxes)

    # ------------------------------------------------------------------ batches
    def check_step(self, batch: dict[str, dict]) -> None:
        """Refuse a batch or settings with which a step would fail, or be wrong in silence.

        Raises:
            ValueError: Crops or batch sizes of the streams that do not go together, or a teacher
                whose BatchNorm statistics would never follow the student.
        """
        # set by EMAUpdateHook; evaluation mode, in which pseudo-labels are made, normalizes with
        # running statistics, and 'batch' does not take these over from the student
        if self.teacher is not None and self.teacher.buffer_policy == 'batch':
            raise ValueError(
                "EMAUpdateHook(buffers='batch') would leave the teacher's BatchNorm at its initial "
                'statistics, with which it normalizes in evaluation mode, as pseudo-labels are '
                "made: set buffers='average'")
        shapes = {name: tuple(batch[name]['inputs'].shape) for name in self.streams}
        labeled, unlabeled = shapes[self.labeled_stream], shapes[self.unlabeled_stream]
        if labeled[1:] != unlabeled[1:]:  # (3, H, W); the numbers of images may differ
            raise ValueError('labeled and unlabeled images pass the network together, but their '
                             f'crops are {labeled[2:]} and {unlabeled[2:]}: use one crop size for '
                             'all streams')
        # CutMix pastes image by image: the mix stream must have as many, of the same size
        mix = shapes[str(self.mix_stream)] if self.reads_mix_stream else unlabeled
        if mix != unlabeled:
            raise ValueError(f'CutMix pastes image i of "{self.mix_stream}" into image i of '
                             f'"{self.unlabeled_stream}", but their batches are '
                             f'{mix} and {unlabeled}: give both streams the '
                             'same dataset and batch_size')

    def valid_mask(self, batch: dict[str, dict], stream: str) -> Tensor:
        """Where unlabeled images are learned from (no padding, no margins); bool (B, H, W), on the
        device of the images.
        """
        return self.valid_masks(batch, stream).to(batch[stream]['inputs'].device) == 1

    @torch.no_grad()
    def strong_images(self, images: Tensor, views: Sequence[StrongView]) -> Tensor:
        """One strong view of each image; normalized (B, 3, H, W) in and out.

        ``views`` are the drawn parameters, one per image.
        """
        mean, std = self.data_preprocessor.mean, self.data_preprocessor.std
        plain = denormalize(images, mean, std).clamp(0, 1)
        return normalize(torch.stack([apply_strong_view(x, view) for x, view in zip(plain, views)]),
                         mean, std)

    def strong_batch(self, batch: dict[str, dict], draws: SemiDraws) -> list[Tensor]:
        """Strong views of the unlabeled images after CutMix, one normalized (B, 3, H, W) per view.
        """
        result = []
        for k in range(self.num_views):
            images = self._strong_view(batch[self.unlabeled_stream]['inputs'], k, draws.views[k])
            # one box or None per image
            boxes = draws.boxes[k] if self.cutmix is not None else ()
            if any(box is not None for box in boxes):
                if self.reads_mix_stream:
                    # of a partner without a box nothing is pasted: an empty StrongView saves work
                    views = [
                        StrongView() if box is None else view
                        for box, view in zip(boxes, draws.mix_views[k])
                    ]
                    others = self._strong_view(batch[str(self.mix_stream)]['inputs'], k, views)
                else:
                    others = images.flip(0)  # partners are the batch's own images in reverse order
                paste = paste_encoded if isinstance(images, EncodedImages) else paste_boxes
                images = paste(images, others, boxes)
            result.append(images)
        return result

    def _strong_view(self, images: Any, number: int, views: Sequence[StrongView]) -> Any:
        """Strong view ``number`` (from 0) of images (B, 3, H, W), made with the parameters
        ``views``; of cached features the encoded view that was drawn and kept before training.
        """
        if isinstance(images, EncodedImages):
            return images.variants[f'strong{number + 1}']
        return self.strong_images(images, views)

    def pasted_labels(self, own: Optional[PseudoLabels], mix: Optional[PseudoLabels],
                      draws: SemiDraws) -> list[PseudoLabels]:
        """Pseudo-labels of each strong view: labels, confidence and padding are pasted like the
        images.

        Args:
            own: (B, H, W), of the unlabeled images, into which CutMix pastes.
            mix: (B, H, W), of the mix stream's images, which are pasted; not needed without that
                stream or where nothing is pasted.
            draws: With the boxes.

        Returns:
            One per view, (B, H, W).
        """
        assert own is not None  # an earlier pass has left them
        if not self.pastes(draws):
            return [own] * self.num_views
        if not self.reads_mix_stream:
            # the batch in reverse order, as strong_batch pastes its images
            mix = PseudoLabels(*(x.flip(0) for x in own))
        assert mix is not None  # an earlier pass has left those of the mix stream
        return [
            PseudoLabels(*(paste_boxes(a, b, boxes) for a, b in zip(own, mix)))
            for boxes in draws.boxes
        ]

    def pastes(self, draws: SemiDraws) -> bool:
        """Whether CutMix pastes anything in this step; if not, the mix stream needs no
        pseudo-labels.
        """
        return any(box is not None for boxes in draws.boxes for box in boxes)

    # ------------------------------------------------------------------ predictions
    @torch.no_grad()
    def evaluated_pseudo_labels(self, batch: dict[str, dict], stream: str) -> PseudoLabels:
        """Pseudo-labels of a stream's weak views in evaluation mode: the teacher's, or the
        student's without one.
        """
        with evaluation_mode(self.labeling_network):
            logits = self.labeling_logits(batch[stream]['inputs'])
        return pseudo_labels_from(logits, self.valid_mask(batch, stream))

    def remember(self, own: PseudoLabels, state: StepState) -> PassResult:
        """Leave the pseudo-labels (B, H, W) of the unlabeled images for later passes, hooks and
        pictures.

        Returns:
            No loss; as a log value the share of confident pixels among those that are not padding.
        """
        mask = own.mask(self.threshold)
        state.own_pseudo = own
        share = mask.sum() / own.valid.sum().clamp(min=1)
        return self.leave_pseudo_labels(own.label, mask.float(), share, state)

    def remember_strong(self, images: Tensor, target: PseudoLabels, state: StepState) -> None:
        """Leave the first strong view, normalized (B, 3, H, W), and the pseudo-labels that it is
        compared with, for pictures of the step.
        """
        state.mixed_image, state.mixed_label = images, target.label
        state.mixed_weight = target.mask(self.threshold).float()

    def full_size(self, logits: Any, images: Tensor) -> Tensor:
        """A head's logits (B, C, h, w) enlarged to the size of images (B, 3, H, W): (B, C, H, W),
        at least float32. Of a head that gives several maps (DAHead) the first, which predicts.
        """
        head = self.student.decode_head
        return resize(at_least_float32(main_logits(logits)), images.shape[-2:], head.align_corners)

    def labeled_losses(self, features: Sequence[Tensor], decoded: Decoded,
                       labels: Tensor) -> NetworkLosses:
        """Losses of every head on the first ``len(labels)`` images of a joint forward pass.

        Args:
            features: Encoder maps (B, C_i, h_i, w_i).
            decoded: What the head gave for them.
            labels: (B', H, W) int64 of the first B' images.

        Returns:
            The losses as terms ``decode.*`` and of auxiliary heads; features and logits of the
            first B' images.
        """
        count = len(labels)

        def of_labeled(value: Any) -> Any:
            """The part of a tensor, or of each tensor of a list, that is of the labeled images."""
            return value[:count] if isinstance(value, Tensor) else [x[:count] for x in value]

        labeled_features = of_labeled(features)
        logits = of_labeled(decoded.logits)
        terms = head_result(self.student.decode_head, logits, labels).prefixed('decode')
        terms = terms.joined(*auxiliary_losses(self.student, labeled_features, labels))
        fused = None if decoded.features is None else of_labeled(decoded.features)
        return NetworkLosses(terms, [labeled_features], main_logits(logits), fused)

    def decoded(self, features: Sequence[Tensor]) -> Decoded:
        """What the student's head gives for encoder maps (B, C_i, h_i, w_i)."""
        return decode(self.student.decode_head, features)


def _checked(arguments: dict, check: Any, name: str) -> dict:
    """The arguments of a drawing function as a config gives them, with tuples in place of lists.

    Args:
        arguments: Of the config.
        check: Takes the same arguments and raises ValueError for values without meaning.
        name: Of the setting, for messages.

    Raises:
        ValueError: An argument its check does not take, or a value it refuses.
    """
    check_options(check, arguments, name)
    arguments = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in arguments.items()}
    check(**arguments)
    return arguments
