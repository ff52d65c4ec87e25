"""DACS self-training with DAFormer's additions: the method behind DAFormer and HRDA.

Shapes: B images, C classes, H x W pixels.
"""
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Optional, Union, cast

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from mmseg_dg.models.losses.alignment import AlignmentImages
from mmseg_dg.models.segmentors.network import (
    CropChoice,
    draw_crop_box,
    pixel_views,
    segmentation_losses,
)
from mmseg_dg.ops import (
    EncodedImages,
    class_mask,
    color_jitter,
    confident_pseudo_labels,
    denormalize,
    draw_jitter_params,
    draw_mix_classes,
    gaussian_blur,
    mix,
    normalize,
    pseudo_label_weights,
)
from mmseg_dg.ops.pairs import pair
from mmseg_dg.ops.pixel_alignment import boxes_per_image
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.arguments import refuse_unknown
from mmseg_dg.utils.options import removed_arguments
from mmseg_dg.utils.seeding import StepGenerator

from .alignment import EntropyCrop
from .base import stack_labels
from .encoded_mix import mix_encoded_batch
from .labeled_unlabeled import LabeledUnlabeled, checked_tta
from .margins import check_height, check_margins, report_rows
from .masked_pass import MaskedDraws, MaskedPass
from .self_training_draws import StepDraws
from .step import Pass, PassResult, StepState
from .supervised import Supervised
from .teacher import EMATeacher

#: Range of the blur's standard deviation in pixels
#: (docs/behavior/daformer_hrda.md#class-mix-jitter-and-blur).
BLUR_SIGMA = (0.15, 1.15)


@MODELS.register_module()
@removed_arguments(
    color_jitter_probability='it was the probability of NOT jittering. Set '
    'jitter_probability to 1 minus it', mix='the class mix is all there is. Remove the argument')
class DACS(LabeledUnlabeled, Supervised):
    """Unsupervised domain adaptation by self-training on class-mixed images.

    One step: supervised loss on source images (with the thing-class feature distance),
    pseudo-labels of the teacher on target images, and a supervised loss on images mixed from both.
    Source: DACS; DAFormer (TPAMI version); docs/behavior/daformer_hrda.md#self-training.

    Args:
        network: Config of the segmentor (student and teacher).
        labeled_stream: Stream with labels (``source`` in adaptation, ``labeled`` in semi-supervised
            training).
        unlabeled_stream: Stream without (``target``, ``unlabeled``).
        pseudo_threshold: The batch's pseudo-label weight is the share of pixels whose top
            probability reaches it.
        ignore_top: Rows at the top of every crop whose pseudo-labels get weight 0 (DAFormer: 15).
        ignore_bottom: Rows at the bottom (DAFormer: 120).
        margins_of: Class name(s) of the target datasets whose images have these margins (a bonnet,
            a rectification border). Training refuses them on another target, which a child config
            would inherit in silence. None: whatever the target.
        use_valid_mask: Multiply weights by the sample's ``valid_pseudo_mask`` (HRDA); excludes
            ``ignore_top/bottom``.
        blur: Gaussian blur of mixed images in half of the steps.
        color_jitter_strength: Range of the jitter factors; 0 switches jitter off.
        jitter_probability: Probability of jittering the images of a step (0.8: the official code's
            value of 0.2 is the probability of not doing it).
        detail_crop: ``dict(type='entropy', start=12001, stride=256)`` puts the detail crop of each
            mixed image, from iteration ``start`` on, where the context prediction is most
            uncertain, among windows ``stride`` pixels apart (CLUDA); None keeps random crops.
            Multi-resolution networks only.
        masked: Arguments of :class:`MaskedPass` (``dict(ratio=0.7, block_size=64, images='target',
            augment=True, weight=1.0, mode='pixel')``): one more pass, which predicts the teacher's
            labels of whole images from masked ones (MIC, docs/behavior/mic.md). None switches it
            off.
        pseudo_label_tta: ``('flip',)`` averages the teacher's probabilities over each target image
            and its mirror image (VFM-UDA, docs/behavior/mic.md#vfm-uda-step); empty for none.
        target_labeled_stream: A third stream, of the few target images that have labels
            (``'target_labeled'``): one more supervised pass, without feature distance
            (docs/daformer.md, "Few target labels"). None for none.
        target_labeled_weight: Factor of that pass's losses.
        supervised: Of :class:`Supervised`, except ``stream``: ``feature_distance``
            (``ProjectedFeatureDistance`` is taken on target images too), ``sync_statistics``
            (shares pseudo-label weight, class set, masked means between processes), ``alignment``
            (a term between the pixels of labeled and mixed image of each slot), and those of
            :class:`BaseMethod`: the preprocessor's mean and std undo and redo normalization for
            color jitter; ``evaluate`` is ``'student'``, as in the papers, or ``'teacher'``.

    Raises:
        ValueError: Contradictory or out-of-range arguments.
    """

    hook_settings = {'EMAUpdateHook': dict(beta=0.999, when='before_step', ramp=True)}
    teacher: EMATeacher
    fixed_arguments = ('stream', )  # labeled_stream
    weighs_pixels = True

    def __init__(self, network: dict, labeled_stream: str = 'source',
                 unlabeled_stream: str = 'target', pseudo_threshold: float = 0.968,
                 ignore_top: int = 0, ignore_bottom: int = 0, margins_of: Union[str, Sequence[str],
                                                                                None] = None,
                 use_valid_mask: bool = False, blur: bool = True,
                 color_jitter_strength: float = 0.2, jitter_probability: float = 0.8,
                 detail_crop: Optional[dict] = None, masked: Optional[dict] = None,
                 pseudo_label_tta: Sequence[str] = (), target_labeled_stream: Optional[str] = None,
                 target_labeled_weight: float = 1.0, **supervised: Any) -> None:
        # arguments of Supervised that DACS fixes itself
        refuse_unknown(type(self), set(supervised) & set(self.fixed_arguments))
        super().__init__(network, labeled_stream, unlabeled_stream, stream=labeled_stream,
                         **supervised)
        check_margins(ignore_top, ignore_bottom, use_valid_mask)
        for name, value in (('pseudo_threshold', pseudo_threshold), ('jitter_probability',
                                                                     jitter_probability)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name} is a probability, got {value}')
        self.target_stream = unlabeled_stream
        self.target_labeled_stream = target_labeled_stream
        self.target_labeled_weight = target_labeled_weight
        if target_labeled_stream is not None:
            self.streams = (*self.streams, target_labeled_stream)
            self.labeled_streams = (*self.labeled_streams, target_labeled_stream)
        if target_labeled_weight <= 0:
            raise ValueError('target_labeled_weight must be positive, got '
                             f'{target_labeled_weight}: target_labeled_stream=None switches the '
                             'pass off')
        self.pseudo_threshold = pseudo_threshold
        self.ignore_top, self.ignore_bottom = ignore_top, ignore_bottom
        self.margins_of = margins_of
        self.use_valid_mask = use_valid_mask
        self._rows_reported = False  # the log says once how many rows have no pseudo-labels
        self.blur = blur
        self.color_jitter_strength = color_jitter_strength
        self.jitter_probability = jitter_probability
        self.detail_crop = None if detail_crop is None else EntropyCrop.from_config(
            self.student, detail_crop)
        self.masked = None if masked is None else MaskedPass.from_config(self.student, masked)
        self.pseudo_label_tta = checked_tta(pseudo_label_tta)
        self.teacher = EMATeacher(self.student)

    def before_training(self) -> None:
        """Besides the base's last checks: all streams have one normalization, known to jitter."""
        super().before_training()
        self.check_normalization('class mixing',
                                 'color jitter undoes' if self.color_jitter_strength > 0 else '',
                                 ', or set color_jitter_strength=0')

    # ------------------------------------------------------------------ draws
    def draw_step(self, batch: dict[str, dict], generator: Any) -> StepDraws:
        """Draw jitter, blur, classes to paste and detail crops of the step, in a fixed order."""
        rng = StepGenerator.wrap(generator)
        images = batch[self.source_stream]['inputs']
        size, count = tuple(images.shape[-2:]), len(images)
        labels = batch[self.source_stream].get('host_labels')  # the preprocessor's copy on the CPU
        if labels is None:
            labels = stack_labels(batch[self.source_stream]['data_samples'], self.source_stream)
        draws = StepDraws(
            jitter=bool(rng.numpy.uniform() > 1 - self.jitter_probability)
            and self.color_jitter_strength > 0, blur=bool(rng.numpy.uniform() > 0.5) and self.blur,
            mix_classes=draw_mix_classes(labels, rng.numpy,
                                         classes=self._classes_of_all_processes(labels)),
            crop_box_source=draw_crop_box(self.student, size, rng.numpy),
            crop_box_mix=draw_crop_box(self.student, size, rng.numpy))
        # in this order, and only what is on, so that recorded runs can be repeated
        params = [draw_jitter_params(rng.torch, self.color_jitter_strength)
                  for _ in range(count)] if draws.jitter else []
        sigma = [float(rng.numpy.uniform(*BLUR_SIGMA)) for _ in range(count)] if draws.blur else []
        draws = replace(draws, jitter_params=params, sigma=sigma,
                        alignment_seed=self.draw_alignment(rng))
        if self.masked is not None:  # last: steps with and without the pass share all other draws
            draws = replace(
                draws,
                masked=self.masked.draw(self.student, self.masked.count(count), size, rng,
                                        (self.jitter_probability, self.color_jitter_strength),
                                        BLUR_SIGMA if self.blur else None))
        if self.target_labeled_stream is not None:
            size = tuple(batch[self.target_labeled_stream]['inputs'].shape[-2:])
            draws = replace(draws,
                            crop_box_target_labeled=draw_crop_box(self.student, size, rng.numpy))
        return draws

    def taken_draws(self, draws: StepDraws, state: StepState) -> StepDraws:
        """The draws; where entropy chose the detail crops of mixed images, with these crops."""
        return draws if state.mixed_boxes is None else replace(draws,
                                                               crop_box_mix=state.mixed_boxes)

    def _classes_of_all_processes(self, labels: Tensor) -> Optional[Tensor]:
        """Classes that ``labels`` of any process have, int64 (n,); None where each process draws
        from its own.
        """
        if not self.sync_statistics or get_world_size() == 1:
            return None
        present = torch.zeros(256, dtype=torch.int32, device=labels.device)  # one per 8-bit id
        present[torch.unique(labels)] = 1
        all_reduce(present)
        return present.nonzero().flatten()  # (n, 1) -> (n,): classes that any process has

    # ------------------------------------------------------------------ passes
    def passes(self, batch: dict[str, dict], draws: StepDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        """The step's passes: source, pseudo-labels and mix, then what the settings switch on."""
        state = StepState() if state is None else state
        self._check_batch(batch)
        source = self.source_passes(batch, draws, state, pass_follows=True,
                                    ahead=lambda: self._mixed_pixels(batch, draws, state))
        pseudo = [Pass('pseudo_labels', lambda: self._pseudo_label_pass(batch, state))]
        # a source pass that looks ahead at the mixed images needs their labels first
        first = pseudo + source if self.alignment_looks_ahead(state) else source + pseudo
        passes = [*first, Pass('mix', lambda: self._mix_pass(batch, draws, state))]
        if self.masked is not None:
            count = self.masked.count(len(batch[self.target_stream]['inputs']))
            masked = self.masked.check_draws(draws.masked, count)
            passes.append(Pass('masked', partial(self._masked_pass, batch, masked, state)))
        if self.takes_projected_distance('target'):
            passes.append(Pass('feature_distance', lambda: self._target_distance_pass(batch)))
        if self.target_labeled_stream is not None:
            passes.append(
                Pass(self.target_labeled_stream, lambda: self._target_labeled_pass(batch, draws)))
        return passes

    def _check_batch(self, batch: dict[str, dict]) -> None:
        """Refuse batches of two shapes, which class mixing cannot paste together."""
        source, target = batch[self.source_stream]['inputs'], batch[self.target_stream]['inputs']
        if source.shape != target.shape:
            raise ValueError(
                f'class mixing pastes image i of "{self.source_stream}" onto image i of '
                f'"{self.target_stream}", so both batches must have one shape, got '
                f'{tuple(source.shape)} and {tuple(target.shape)}: use the same batch_size and '
                'crop size')
        check_height(self.ignore_top, self.ignore_bottom, target.shape[-2])

    @torch.no_grad()
    def _pseudo_label_pass(self, batch: dict[str, dict], state: StepState) -> PassResult:
        """Teacher labels of the target images, and one weight for the batch: its share of confident
        pixels.
        """
        logits = self._teacher_logits(batch[self.target_stream]['inputs'])
        labels, confident, number = confident_pseudo_labels(logits, self.pseudo_threshold)
        total: Union[int, Tensor] = number
        if self.sync_statistics and get_world_size() > 1:  # one share for all processes
            counts = torch.stack([confident.double(), confident.new_tensor(number).double()])
            all_reduce(counts)
            confident, total = counts[0], counts[1]
        valid = self.valid_masks(batch, self.target_stream) if self.use_valid_mask else None
        self._report_rows(labels.shape[-2], valid)
        weight = pseudo_label_weights(labels.shape, confident, total, self.ignore_top,
                                      self.ignore_bottom, valid)
        return self.leave_pseudo_labels(labels, weight.to(labels.device, logits.dtype),
                                        confident / total, state)

    def _teacher_logits(self, images: Tensor) -> Tensor:
        """The teacher's logits (B, C, H, W), or the logarithm of its probabilities' average over
        mirrored images.
        """
        logits = self.labeling_logits(images).float()
        if 'flip' not in self.pseudo_label_tta:
            return logits
        mirrored = self.labeling_logits(images.flip(-1)).float().flip(-1)
        # a logarithm of probabilities is a logit: its softmax is the average itself
        return ((logits.softmax(1) + mirrored.softmax(1)) / 2).log()

    def _report_rows(self, height: int, valid: Optional[Tensor]) -> None:
        """Log the share of rows without pseudo-labels (:func:`report_rows`), in the first step."""
        if not self._rows_reported:
            self._rows_reported = True
            report_rows(self.target_stream, height, self.ignore_top, self.ignore_bottom, valid)

    def _mix_pass(self, batch: dict[str, dict], draws: StepDraws, state: StepState) -> PassResult:
        """Supervised loss on the strongly augmented mix of source and target."""
        images, labels, weight = self._mixed(batch, draws, state)
        box = self._mixed_box(images, draws, state)
        result = segmentation_losses(self.student, images, labels, weight=weight, crop_box=box)
        if callable(box) and result.views:  # the pass chose it (last view: detail); for a replay
            state.mixed_boxes = boxes_per_image(result.views[-1].crop_box, len(images))
        aligned = self.align(state, result, labels, weight, seed=draws.alignment_seed)
        return result.terms.joined(aligned).prefixed('mix').joined(self.held_losses(state))

    def _mixed(self, batch: dict[str, dict], draws: StepDraws,
               state: StepState) -> tuple[Tensor, Tensor, Tensor]:
        """The step's mixed images, labels and weights, made once."""
        if state.mixed_image is None:
            mixed = self.mix_batch(batch, draws, *state.pseudo_labels())
            state.mixed_image, state.mixed_label, state.mixed_weight, state.mix_mask = mixed
        assert state.mixed_label is not None and state.mixed_weight is not None  # beside the image
        return state.mixed_image, state.mixed_label, state.mixed_weight

    def _mixed_box(self, images: Tensor, draws: StepDraws,
                   state: StepState) -> Optional[CropChoice]:
        """The detail crop of the mixed images: the drawn box; a list of one box per image that a
        recorded or an earlier pass chose; or a function that chooses them by entropy.
        """
        box = draws.crop_box_mix if state.mixed_boxes is None else state.mixed_boxes
        if self.detail_crop is None or not self.detail_crop.starts(state) or isinstance(box, list):
            return box
        return partial(self.detail_crop.boxes, pair(images.shape[-2:]))

    def _mixed_pixels(self, batch: dict[str, dict], draws: StepDraws,
                      state: StepState) -> list[AlignmentImages]:
        """What an alignment term will see of mixed images, for a source pass that looks ahead."""
        images, labels, weight = self._mixed(batch, draws, state)
        box = self._mixed_box(images, draws, state)
        views = pixel_views(self.student, images, crop_box=box)
        # the detail is the last view; the mix pass takes the crops that were just chosen for it
        if callable(box) and views:
            state.mixed_boxes = boxes_per_image(views[-1].crop_box, len(images))
        return [AlignmentImages(views, labels, weight)]

    @torch.no_grad()
    def mix_batch(self, batch: dict[str, dict], draws: StepDraws, pseudo_label: Tensor,
                  pseudo_weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Class mix of both streams' images, then jitter and blur; ``pseudo_label`` int64 and
        ``pseudo_weight`` float are the target images', (B, H, W).

        Returns:
            Mixed images (B, 3, H, W), labels (B, H, W), weights (B, H, W) that are 1 where source,
            and masks, bool (B, H, W), True where source.
        """
        source = batch[self.source_stream]
        labels = stack_labels(source['data_samples'], self.source_stream)
        if isinstance(source['inputs'], EncodedImages):
            mixed = mix_encoded_batch(source, batch[self.target_stream], labels, draws.mix_classes,
                                      pseudo_label, pseudo_weight)
            return cast(Tensor, mixed[0]), *mixed[1:]  # maps stand where images would
        masks = torch.stack([class_mask(label, c) for label, c in zip(labels, draws.mix_classes)])
        images = mix(masks.unsqueeze(1), source['inputs'], batch[self.target_stream]['inputs'])
        images = torch.stack([self._augment(image, draws, i) for i, image in enumerate(images)])
        mixed_label = mix(masks, labels, pseudo_label)
        mixed_weight = mix(masks, torch.ones_like(pseudo_weight), pseudo_weight)
        return images, mixed_label, mixed_weight, masks

    def _masked_pass(self, batch: dict[str, dict], draws: MaskedDraws,
                     state: StepState) -> PassResult:
        """Loss of masked images against labels and weights as they were before the mix, margins
        included.
        """
        source, target = batch[self.source_stream], batch[self.target_stream]
        masked = self.masked
        assert masked is not None  # only then is there this pass
        pseudo_label, weight = state.pseudo_labels()
        images = self.masked_images(masked.select(source['inputs'], target['inputs']), draws)
        labels = masked.select(stack_labels(source['data_samples'], self.source_stream),
                               pseudo_label)
        weight = masked.select(torch.ones_like(weight), weight)
        state.masked_image = images
        with masked.tokens(self.student, draws):
            result = segmentation_losses(self.student, images, labels, weight=weight,
                                         crop_box=draws.crop_box)
        return result.terms.weighted(masked.weight).prefixed('masked')

    def masked_images(self, images: Union[Tensor, EncodedImages], draws: MaskedDraws) -> Tensor:
        """Normalized images (B, 3, H, W) with jitter, blur and masked blocks as drawn; of cached
        features those that were masked before they were encoded."""
        if isinstance(images, EncodedImages):
            return cast(Tensor, images.variants['masked'])  # maps stand where images would
        assert self.masked is not None  # only then is this called
        return self.masked.cover(
            torch.stack([self._augment(x, draws, i) for i, x in enumerate(images)]), draws)

    def _target_distance_pass(self, batch: dict[str, dict]) -> PassResult:
        """Distance of the student's target features to the frozen encoder's (VFM-UDA++)."""
        images = batch[self.target_stream]['inputs']
        return self.projected_loss(self.target_stream, self.student.extract_feat(images), images)

    def _target_labeled_pass(self, batch: dict[str, dict], draws: StepDraws) -> PassResult:
        """Supervised loss on the target images that have labels."""
        name = str(self.target_labeled_stream)
        stream = batch[name]
        labels = stack_labels(stream['data_samples'], name)
        result = segmentation_losses(self.student, stream['inputs'], labels,
                                     crop_box=draws.crop_box_target_labeled)
        return result.terms.weighted(self.target_labeled_weight).prefixed(name)

    def _augment(self, image: Tensor, draws: Union[StepDraws, MaskedDraws], index: int) -> Tensor:
        """Image ``index`` of the batch, normalized (3, H, W), with its jitter (of colors in [0, 1],
        for which the normalization is undone) and then its blur as drawn.
        """
        if draws.jitter:
            mean, std = self.data_preprocessor.mean, self.data_preprocessor.std
            image = normalize(
                color_jitter(denormalize(image, mean, std), draws.jitter_params[index]), mean, std)
        if draws.blur:
            image = gaussian_blur(image.unsqueeze(0), draws.sigma[index]).squeeze(0)
        return image
