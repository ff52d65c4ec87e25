"""DACS self-training with DAFormer's additions: the method behind DAFormer and HRDA."""
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Optional, Union

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_dg.models.data_preprocessor import check_one_normalisation
from mmseg_dg.models.losses.alignment import AlignmentImages
from mmseg_dg.models.segmentors.network import (
    CropChoice,
    draw_crop_box,
    pixel_views,
    predict_logits,
    segmentation_losses,
)
from mmseg_dg.ops import (
    CropBox,
    EncodedImages,
    JitterParams,
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
from mmseg_dg.ops.pixel_alignment import boxes_per_image
from mmseg_dg.ops.precision import lower_precision
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.options import refuses
from mmseg_dg.utils.seeding import StepGenerator

from .alignment import EntropyCrop
from .base import stack_labels, weighted, with_prefix
from .encoded_mix import mix_encoded_batch
from .masked_pass import MaskedDraws, MaskedPass
from .step import Pass, StepState
from .supervised import Supervised
from .teacher import EMATeacher

#: Share of rows without pseudo-labels above which a warning is due (Cityscapes: 26 % of the paper's
#: crops).
MANY_ROWS = 0.3
#: Range of the blur's standard deviation in pixels
#: (docs/behavior/daformer_hrda.md#class-mix-jitter-and-blur).
BLUR_SIGMA = (0.15, 1.15)


@dataclass
class StepDraws:
    """Every random decision of one DACS step, network-internal noise excepted.

    Attributes:
        jitter: Colour jitter on (one decision for the whole batch).
        blur: Gaussian blur on (likewise).
        jitter_params: Per image, brightness, contrast, hue, saturation and order; empty when off.
        sigma: Per image, blur standard deviation in pixels; empty when off.
        mix_classes: Per image, the labels that are pasted (int64).
        crop_box_source: Detail crop of the source pass, (y1, y2, x1, x2), multi-resolution networks
            only.
        crop_box_mix: Detail crop of the mixed pass: one drawn for all images, or a list of one per
            image, which is what an entropy-guided step writes here.
        alignment_seed: For an alignment term with random decisions, else None.
        masked: Of the masked pass, or None without it; drawn after all the above.
        crop_box_target_labeled: Detail crop of the pass over labelled target images,
            multi-resolution networks only.
    """
    jitter: bool = False
    blur: bool = False
    jitter_params: list[JitterParams] = field(default_factory=list)
    sigma: list[float] = field(default_factory=list)
    mix_classes: list[Tensor] = field(default_factory=list)
    crop_box_source: Optional[CropBox] = None
    crop_box_mix: Union[CropBox, list[CropBox], None] = None
    alignment_seed: Optional[int] = None
    masked: Optional[MaskedDraws] = None
    crop_box_target_labeled: Optional[CropBox] = None


@MODELS.register_module()
@refuses(
    color_jitter_probability='it was the probability of NOT jittering. Set '
    'jitter_probability to 1 minus it', mix='the class mix is all there is. Remove the argument')
class DACS(Supervised):
    """Unsupervised domain adaptation by self-training on class-mixed images.

    One step: supervised loss on source images (with the thing-class feature distance),
    pseudo-labels of the teacher on target images, and a supervised loss on images mixed from both.
    Source: DACS; DAFormer (TPAMI version); docs/behavior/daformer_hrda.md#self-training.

    Args:
        network: Config of the segmentor (student and teacher).
        data_preprocessor: Config of the preprocessor; its mean and std undo and redo normalisation
            for colour jitter.
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
        feature_distance: See :class:`Supervised`; ``ProjectedFeatureDistance`` is taken on target
            images too.
        shared_backward: See :class:`Supervised`.
        sync_statistics: Share pseudo-label weight, class set and masked means between processes.
        norm_eval: BatchNorm of student and teacher on running statistics during training.
        evaluate: ``'student'`` (as in the papers) or ``'teacher'``.
        alignment: ``dict(type='PixelAlignment' | 'PixelContrast', ...)``, a term between the pixels
            of labelled and mixed image of each slot, or None.
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
        teacher_precision: ``'bf16'`` or ``'fp16'`` autocasts the networks that learn nothing
            (teacher, ImageNet copy); their softmax, entropies, losses and distances stay in
            float32. None: the precision of the other passes.
        init_cfg: mmengine's.

    Raises:
        ValueError: Contradictory or out-of-range arguments.
    """

    hook_settings = {'EMAUpdateHook': dict(beta=0.999, when='before_step', ramp=True)}
    weighs_pixels = True

    def __init__(self, network: dict, data_preprocessor: Optional[dict] = None,
                 labeled_stream: str = 'source', unlabeled_stream: str = 'target',
                 pseudo_threshold: float = 0.968, ignore_top: int = 0, ignore_bottom: int = 0,
                 margins_of: Union[str, Sequence[str],
                                   None] = None, use_valid_mask: bool = False, blur: bool = True,
                 color_jitter_strength: float = 0.2, jitter_probability: float = 0.8,
                 feature_distance: Optional[dict] = None, shared_backward: bool = True,
                 sync_statistics: bool = False, norm_eval: bool = False, evaluate: str = 'student',
                 alignment: Optional[dict] = None, detail_crop: Optional[dict] = None,
                 masked: Optional[dict] = None, pseudo_label_tta: Sequence[str] = (),
                 target_labeled_stream: Optional[str] = None, target_labeled_weight: float = 1.0,
                 teacher_precision: Optional[str] = None, init_cfg: Optional[dict] = None) -> None:
        super().__init__(network, data_preprocessor, stream=labeled_stream,
                         feature_distance=feature_distance, shared_backward=shared_backward,
                         sync_statistics=sync_statistics, norm_eval=norm_eval, evaluate=evaluate,
                         alignment=alignment, teacher_precision=teacher_precision,
                         init_cfg=init_cfg)
        _check_arguments(pseudo_threshold, ignore_top, ignore_bottom, use_valid_mask,
                         jitter_probability)
        self.target_stream = unlabeled_stream
        self.target_labeled_stream = target_labeled_stream
        self.target_labeled_weight = target_labeled_weight
        few = () if target_labeled_stream is None else (target_labeled_stream, )
        self.streams = (labeled_stream, unlabeled_stream, *few)
        self.labeled_streams = (labeled_stream, *few)
        if target_labeled_weight <= 0:
            raise ValueError('target_labeled_weight must be positive, got '
                             f'{target_labeled_weight}: target_labeled_stream=None switches the '
                             'pass off')
        self.pseudo_threshold = pseudo_threshold
        self.ignore_top, self.ignore_bottom = ignore_top, ignore_bottom
        self.margins_of = margins_of
        self.use_valid_mask = use_valid_mask
        self._rows_reported = False
        self.blur = blur
        self.color_jitter_strength = color_jitter_strength
        self.jitter_probability = jitter_probability
        self.detail_crop = None if detail_crop is None else EntropyCrop.of(
            self.student, detail_crop)
        self.masked = None if masked is None else MaskedPass.of(self.student, masked)
        self.pseudo_label_tta = _checked_tta(pseudo_label_tta)
        self.teacher = EMATeacher(self.student)

    def ema_pairs(self) -> dict[str, tuple[nn.Module, EMATeacher]]:
        return {'teacher': (self.student, self.teacher)}

    def networks(self) -> dict[str, nn.Module]:
        return {'student': self.student, 'teacher': self.teacher.module}

    def before_training(self) -> None:
        super().before_training()
        if self.color_jitter_strength > 0 and not hasattr(self.data_preprocessor, 'mean'):
            raise ValueError('colour jitter undoes the normalisation: give data_preprocessor its '
                             'mean and std, or set color_jitter_strength=0')
        check_one_normalisation(self.data_preprocessor, 'class mixing')

    # ------------------------------------------------------------------ draws
    def draw_step(self, batch: dict[str, dict], generator: Any) -> StepDraws:
        rng = StepGenerator.of(generator)
        images = batch[self.source_stream]['inputs']
        size, count = tuple(images.shape[-2:]), len(images)
        labels = batch[self.source_stream].get('host_labels')  # a GPU would have to be asked
        if labels is None:
            labels = stack_labels(batch[self.source_stream]['data_samples'], self.source_stream)
        draws = StepDraws(
            jitter=bool(rng.numpy.uniform() > 1 - self.jitter_probability)
            and self.color_jitter_strength > 0, blur=bool(rng.numpy.uniform() > 0.5) and self.blur,
            mix_classes=draw_mix_classes(labels, rng.numpy,
                                         classes=self._classes_of_all_processes(labels)),
            crop_box_source=draw_crop_box(self.student, size, rng.numpy),
            crop_box_mix=draw_crop_box(self.student, size, rng.numpy))
        if draws.jitter:
            draws.jitter_params = [
                draw_jitter_params(rng.torch, self.color_jitter_strength) for _ in range(count)
            ]
        if draws.blur:
            draws.sigma = [float(rng.numpy.uniform(*BLUR_SIGMA)) for _ in range(count)]
        draws.alignment_seed = self.draw_alignment(rng)
        if self.masked is not None:  # last: steps with and without the pass share all other draws
            draws.masked = self.masked.draw(self.student, self.masked.count(count), size, rng,
                                            (self.jitter_probability, self.color_jitter_strength),
                                            BLUR_SIGMA if self.blur else None)
        if self.target_labeled_stream is not None:
            few = batch[self.target_labeled_stream]['inputs']
            draws.crop_box_target_labeled = draw_crop_box(self.student, tuple(few.shape[-2:]),
                                                          rng.numpy)
        return draws

    def _classes_of_all_processes(self, labels: Tensor) -> Optional[Tensor]:
        if not self.sync_statistics or get_world_size() == 1:
            return None
        present = torch.zeros(256, dtype=torch.int32, device=labels.device)
        present[torch.unique(labels)] = 1
        all_reduce(present)
        return present.nonzero().flatten()

    # ------------------------------------------------------------------ passes
    def passes(self, batch: dict[str, dict], draws: StepDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        state = StepState() if state is None else state
        self._check_batch(batch)
        source = self.source_passes(batch, draws, state, more=True,
                                    ahead=lambda: self._mixed_pixels(batch, draws, state))
        labels = [Pass('pseudo_labels', lambda: self._pseudo_label_pass(batch, state))]
        # a source pass that looks ahead at the mixed images needs their labels first
        first = labels + source if self.alignment_looks_ahead(state) else source + labels
        passes = [*first, Pass('mix', lambda: self._mix_pass(batch, draws, state))]
        if self.masked is not None:
            self.masked.check_draws(draws.masked,
                                    self.masked.count(len(batch[self.target_stream]['inputs'])))
            passes.append(Pass('masked', lambda: self._masked_pass(batch, draws.masked, state)))
        if self.takes_projected_distance('target'):
            passes.append(Pass('feature_distance', lambda: self._target_distance_pass(batch)))
        if self.target_labeled_stream is not None:
            passes.append(
                Pass(self.target_labeled_stream, lambda: self._target_labeled_pass(batch, draws)))
        return passes

    def _check_batch(self, batch: dict[str, dict]) -> None:
        source, target = batch[self.source_stream]['inputs'], batch[self.target_stream]['inputs']
        if source.shape != target.shape:
            raise ValueError(
                f'class mixing pastes image i of "{self.source_stream}" onto image i of '
                f'"{self.target_stream}", so both batches must have one shape, got '
                f'{tuple(source.shape)} and {tuple(target.shape)}: use the same batch_size and '
                'crop size')
        if self.ignore_top + self.ignore_bottom >= target.shape[-2]:
            raise ValueError(f'ignore_top={self.ignore_top} and ignore_bottom={self.ignore_bottom} '
                             f'leave no row of a crop of height {target.shape[-2]}: no '
                             'pseudo-label would ever count')

    @torch.no_grad()
    def _pseudo_label_pass(self, batch: dict[str, dict], state: StepState) -> dict[str, Tensor]:
        """Teacher labels of the target images, and one weight for the batch: its share of confident
        pixels.
        """
        target = batch[self.target_stream]
        logits = self._teacher_logits(target['inputs'])
        labels, confident, total = confident_pseudo_labels(logits, self.pseudo_threshold)
        if self.sync_statistics and get_world_size() > 1:
            counts = torch.stack([confident.double(), confident.new_tensor(total).double()])
            all_reduce(counts)
            confident, total = counts[0], counts[1]
        valid = None
        if self.use_valid_mask:
            valid = torch.stack([self._valid_mask(x) for x in target['data_samples']])
        self._report_rows(labels.shape[-2], valid)
        weight = pseudo_label_weights(labels.shape, confident, total, self.ignore_top,
                                      self.ignore_bottom, valid)
        state['pseudo_label'] = labels
        state['pseudo_weight'] = weight.to(labels.device, logits.dtype)
        return {f'{self.target_stream}.pseudo_label_share': confident / total}

    def _teacher_logits(self, images: Tensor) -> Tensor:
        """The teacher's logits (B, C, H, W), or the logarithm of its probabilities' average over
        mirrored images.
        """
        logits = self._teacher_pass(images)
        if 'flip' not in self.pseudo_label_tta:
            return logits
        mirrored = self._teacher_pass(images.flip(-1)).flip(-1)
        # whose softmax is the average itself
        return ((logits.softmax(1) + mirrored.softmax(1)) / 2).log()

    def _teacher_pass(self, images: Tensor) -> Tensor:
        with lower_precision(self.teacher_precision, images.device):
            return predict_logits(self.teacher.module, images).float()

    def _report_rows(self, height: int, valid: Optional[Tensor]) -> None:
        """Say once how many rows of the crops have no pseudo-labels; a large share is a mistake
        more often than not.

        Args:
            height: Of the crops.
            valid: (B, H, W), 1 where pseudo-labels count; None: ``ignore_top`` and
                ``ignore_bottom`` say it.
        """
        if self._rows_reported:
            return
        self._rows_reported = True
        if valid is None:
            share, reason = (self.ignore_top + self.ignore_bottom) / height, \
                f'ignore_top={self.ignore_top} and ignore_bottom={self.ignore_bottom} of {height}'
        else:
            share = 1 - float((valid == 1).any(dim=-1).float().mean())  # over (B, H)
            reason = 'valid_pseudo_mask (margins and padding) of the first batch'
        advice = '' if share <= MANY_ROWS else (
            ': the network learns nothing of the target there. If your images have no bonnet, set '
            'the margins to 0; if they have, measure them in rows of this crop')
        print_log(
            f'stream "{self.target_stream}": {100 * share:.1f} % of the rows have no '
            f'pseudo-labels ({reason}){advice}', logger='current',
            level=logging.WARNING if share > MANY_ROWS else logging.INFO)

    def _valid_mask(self, sample) -> Tensor:
        if 'valid_pseudo_mask' not in sample:
            raise ValueError('use_valid_mask=True, but '
                             f'{sample.metainfo.get("img_path", "a sample")} of stream '
                             f'"{self.target_stream}" has no valid_pseudo_mask: add '
                             'PseudoLabelMargins to its pipeline')
        return sample.valid_pseudo_mask.data.squeeze(0)

    def _mix_pass(self, batch: dict[str, dict], draws: StepDraws,
                  state: StepState) -> dict[str, Tensor]:
        """Supervised loss on the strongly augmented mix of source and target."""
        images, labels, weight = self._mixed(batch, draws, state)
        box = self._mixed_box(images, draws, state)
        result = segmentation_losses(self.student, images, labels, weight=weight, crop_box=box)
        if callable(box):  # recorded, so that a replay takes the same
            draws.crop_box_mix = boxes_per_image(result.views[-1].crop_box, len(images))
        aligned = self.align(state, result, labels, weight, seed=draws.alignment_seed)
        return dict(with_prefix('mix', dict(result.losses, **aligned)), **self.held_losses(state))

    def _mixed(self, batch: dict[str, dict], draws: StepDraws,
               state: StepState) -> tuple[Tensor, Tensor, Tensor]:
        """The step's mixed images, labels and weights, made once."""
        if 'mixed_image' not in state:
            names = ('mixed_image', 'mixed_label', 'mixed_weight', 'mix_mask')
            state.update(
                zip(names,
                    self.mix_batch(batch, draws, state['pseudo_label'], state['pseudo_weight'])))
        return state['mixed_image'], state['mixed_label'], state['mixed_weight']

    def _mixed_box(self, images: Tensor, draws: StepDraws, state: StepState) -> CropChoice:
        """The detail crop of the mixed images: drawn, recorded, or a function that finds it by
        their entropy.
        """
        box = draws.crop_box_mix
        if self.detail_crop is None or not self.detail_crop.starts(state) or isinstance(box, list):
            return box
        return partial(self.detail_crop.boxes, tuple(images.shape[-2:]))

    def _mixed_pixels(self, batch: dict[str, dict], draws: StepDraws,
                      state: StepState) -> list[AlignmentImages]:
        """What an alignment term will see of the mixed images, for a source pass that looks ahead.
        """
        images, labels, weight = self._mixed(batch, draws, state)
        box = self._mixed_box(images, draws, state)
        views = pixel_views(self.student, images, crop_box=box)
        if callable(box) and views:
            draws.crop_box_mix = boxes_per_image(views[-1].crop_box, len(images))
        return [AlignmentImages(views, labels, weight)]

    @torch.no_grad()
    def mix_batch(self, batch: dict[str, dict], draws: StepDraws, pseudo_label: Tensor,
                  pseudo_weight: Tensor):
        """Class mix, then jitter and blur of the images.

        Returns:
            (images (B, 3, H, W), labels (B, H, W), weights (B, H, W), masks bool (B, H, W); True
            where source).
        """
        source = batch[self.source_stream]
        labels = stack_labels(source['data_samples'], self.source_stream)
        if isinstance(source['inputs'], EncodedImages):
            return mix_encoded_batch(source, batch[self.target_stream], labels, draws.mix_classes,
                                     pseudo_label, pseudo_weight)
        masks = torch.stack([class_mask(label, c) for label, c in zip(labels, draws.mix_classes)])
        images = mix(masks.unsqueeze(1), source['inputs'], batch[self.target_stream]['inputs'])
        images = torch.stack([self._augment(image, draws, i) for i, image in enumerate(images)])
        mixed_label = mix(masks, labels, pseudo_label)
        mixed_weight = mix(masks, torch.ones_like(pseudo_weight), pseudo_weight)
        return images, mixed_label, mixed_weight, masks

    def _masked_pass(self, batch: dict[str, dict], draws: MaskedDraws,
                     state: StepState) -> dict[str, Tensor]:
        """Loss of masked images against labels and weights as they were before the mix, margins
        included.
        """
        source, target = batch[self.source_stream], batch[self.target_stream]
        weight = state['pseudo_weight']
        images = self.masked_images(self.masked.select(source['inputs'], target['inputs']), draws)
        labels = self.masked.select(stack_labels(source['data_samples'], self.source_stream),
                                    state['pseudo_label'])
        weight = self.masked.select(torch.ones_like(weight), weight)
        state['masked_image'] = images
        with self.masked.tokens(self.student, draws):
            result = segmentation_losses(self.student, images, labels, weight=weight,
                                         crop_box=draws.crop_box)
        return with_prefix('masked', weighted(result.losses, self.masked.weight))

    def masked_images(self, images: Union[Tensor, EncodedImages],
                      draws: MaskedDraws) -> Union[Tensor, EncodedImages]:
        """Normalised images (B, 3, H, W) with jitter, blur and masked blocks as drawn; of cached
        features those that were masked before they were encoded."""
        if isinstance(images, EncodedImages):
            return images.variants['masked']
        return self.masked.cover(
            torch.stack([self._augment(x, draws, i) for i, x in enumerate(images)]), draws)

    def _target_distance_pass(self, batch: dict[str, dict]) -> dict[str, Tensor]:
        """Distance of the student's features of target images to the frozen encoder's (VFM-UDA++).
        """
        images = batch[self.target_stream]['inputs']
        return self.projected_loss(self.target_stream, self.student.extract_feat(images), images)

    def _target_labeled_pass(self, batch: dict[str, dict], draws: StepDraws) -> dict[str, Tensor]:
        """Supervised loss on the target images that have labels."""
        stream = batch[self.target_labeled_stream]
        labels = stack_labels(stream['data_samples'], self.target_labeled_stream)
        result = segmentation_losses(self.student, stream['inputs'], labels,
                                     crop_box=draws.crop_box_target_labeled)
        return with_prefix(self.target_labeled_stream,
                           weighted(result.losses, self.target_labeled_weight))

    def _augment(self, image: Tensor, draws: Union[StepDraws, MaskedDraws], index: int) -> Tensor:
        """Colour jitter in [0, 1], then blur of the normalised image; (3, H, W)."""
        if draws.jitter:
            mean, std = self.data_preprocessor.mean, self.data_preprocessor.std
            image = normalize(
                color_jitter(denormalize(image, mean, std), draws.jitter_params[index]), mean, std)
        if draws.blur:
            image = gaussian_blur(image.unsqueeze(0), draws.sigma[index]).squeeze(0)
        return image


def _checked_tta(names: Sequence[str]) -> tuple[str, ...]:
    """Raise ValueError for a transformation that pseudo-labels are not averaged over."""
    names = (names, ) if isinstance(names, str) else tuple(names)
    if set(names) - {'flip'}:
        raise ValueError(f"pseudo_label_tta={names}: ('flip', ) or () for none")
    return names


def _check_arguments(threshold: float, top: int, bottom: int, use_mask: bool,
                     jitter: float) -> None:
    if not 0 <= threshold <= 1:
        raise ValueError(f'pseudo_threshold is a probability, got {threshold}')
    if top < 0 or bottom < 0:
        raise ValueError(f'ignore_top and ignore_bottom count rows, got {top} and {bottom}')
    if use_mask and (top or bottom):
        raise ValueError('use_valid_mask=True carries the margins with each sample: set '
                         f'ignore_top={top} and ignore_bottom={bottom} to 0')
    if not 0 <= jitter <= 1:
        raise ValueError(f'jitter_probability is a probability, got {jitter}')
