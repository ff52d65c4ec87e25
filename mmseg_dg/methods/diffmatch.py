"""DiffMatch: semi-supervised segmentation as mask diffusion, with a teacher that samples the
pseudo-labels.

Source: Sun et al., "Toward Unbiased Learning in Semi-Supervised Semantic Segmentation", ICLR 2025.
Its code is not public. CONFIRMED: diffusion over the label map conditioned on the image, teacher
and student, mask denoiser (L = 4, b = 0.1), three sampling steps, a debiased adjustment with a
factor t, strong views without CutMix, feature dropout. RECONSTRUCTED
(docs/behavior/diffmatch.md#confirmed-inferred-unconfirmed), every one an argument: label code,
schedule, inside of the denoiser, sampler, how pseudo-labels are made and learned from, loss
weights, the form of the adjustment.

Shapes: B images, C classes of counts, else channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from mmengine.dist import all_reduce
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor

from mmseg_dg.models.segmentors.mask_diffusion import (
    DenoisedLabels,
    MaskDiffusionEncoderDecoder,
    NoiseDraws,
)
from mmseg_dg.ops import PseudoLabels, confident_cross_entropy, pseudo_labels_from
from mmseg_dg.ops.diffusion import check_steps
from mmseg_dg.ops.precision import lower_precision
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.arguments import refuse_unknown, unsupported_arguments
from mmseg_dg.utils.seeding import StepGenerator

from .alignment import NO_ALIGNMENT
from .base import stack_labels
from .semi_supervised import SemiDraws, SemiSupervised, evaluation_mode
from .step import Pass, PassResult, StepState
from .unimatch import decoder_levels, drop_channels

#: Draws for no image, to which those of images are joined.
_NO_NOISE = NoiseDraws([], [])


@dataclass(frozen=True)
class DiffMatchDraws(SemiDraws):
    """Every random decision of one step; noise as seeds.

    Attributes:
        labeled: Times and noise of the labeled images.
        strong: Of each strong view of the unlabeled images.
        feature: Of the weak views with dropped channels.
        teacher_seeds: Noise from which the teacher samples pseudo-labels, one seed per unlabeled
            image.
        mix_teacher_seeds: Likewise of the mix stream; empty without CutMix.
    """
    labeled: NoiseDraws = _NO_NOISE
    strong: list[NoiseDraws] = field(default_factory=list)
    feature: NoiseDraws = _NO_NOISE
    teacher_seeds: list[int] = field(default_factory=list)
    mix_teacher_seeds: list[int] = field(default_factory=list)


@MODELS.register_module()
@unsupported_arguments(
    alignment=NO_ALIGNMENT + 'The feature behind the logits of a mask denoiser changes with '
    'the noise',
    denoiser_optimizer='one optimizer steps the whole method; the denoiser gets rates and '
    'decays of its own by '
    'optim_wrapper.paramwise_cfg.custom_keys.denoiser (docs/diffmatch.md, '
    '"Not built")')
class DiffMatch(SemiSupervised):
    """``loss = (L_x + 0.5 mean(L_strong) + 0.5 L_fd) / 2`` with mask-diffusion losses.

    One step: (1) the teacher, in evaluation mode, samples pseudo-labels of the weak views; (2) one
    training forward of [labeled; weak with dropped channels]: L_x, where ground truth is noised,
    and L_fd, where the pseudo-labels are; (3) one training forward of all strong views: the
    pseudo-labels are noised with times of their own and denoised given the strongly augmented
    image. Cross-entropy counts confident pixels and is divided by all that are not padding. Each
    stream has the plain classifier's loss beside the denoiser's.

    Args:
        network: Config of a ``MaskDiffusionEncoderDecoder``. Label code, scale, schedule, layers,
            sampler, time range and the weight of the plain classifier are its arguments; OHEM on
            labeled pixels is ``denoiser.loss_decode=dict(type='OHEMCrossEntropyLoss')``.
        view_weights: Weights of the strong views; their number is that of the views.
        feature_weight: Weight of L_fd; 0 leaves the stream out.
        feature_dropout: Probability of dropping a channel of each level the decoder reads.
        teacher_steps: Sampling steps of the teacher in training (3; 1 is faster).
        adjustment: The debiased adjustment, arguments of :class:`PriorAdjustment`: ``where``,
            ``weighting``, ``tau``, ``prior``, ``momentum``, ``floor``, ``on_pseudo_labels``; handed
            to the network. Needs ``ClassPriorHook`` where ``prior`` is ``'labeled'`` or ``'ema'``.
        semi: Of :class:`SemiSupervised`, except ``pseudo_labels``. ``labeled_weight`` is that of
            L_x, ``cutmix`` is None (the paper's list of augmentations has none).

    Raises:
        ValueError: Another kind of network, no sampling step, or arguments out of range.
    """

    fixed_arguments = ('pseudo_labels', )
    #: What padding of label maps becomes before they are noised.
    fixed_ignore_index = 255

    def __init__(self, network: dict, view_weights: Sequence[float] = (0.125, 0.125),
                 feature_weight: float = 0.25, feature_dropout: float = 0.5, teacher_steps: int = 3,
                 adjustment: Optional[dict] = None, **semi: Any) -> None:
        # arguments of the base that DiffMatch fixes itself
        refuse_unknown(type(self), set(semi) & set(self.fixed_arguments))
        check_steps(teacher_steps, 'teacher_steps')
        if not 0 <= feature_dropout < 1:
            raise ValueError(f'feature_dropout is a probability below 1, got {feature_dropout}')
        network = self.network_config(dict(network=network, adjustment=adjustment))
        super().__init__(network, view_weights=view_weights, pseudo_labels='teacher', **semi)
        if not isinstance(self.student, MaskDiffusionEncoderDecoder):
            raise ValueError('DiffMatch trains a MaskDiffusionEncoderDecoder, got '
                             f'{type(self.student).__name__}')
        self.feature_weight, self.feature_dropout = feature_weight, feature_dropout
        self.teacher_steps = teacher_steps
        # ``given``: class frequencies that the config states. Without them the hook counts those of
        # the labeled images, where an adjustment is on (``where``)
        debiasing = self.student.adjustment
        if debiasing.where != 'none' and debiasing.given is None:
            self.required_hooks = ('ClassPriorHook', )

    @classmethod
    def network_config(cls, model: dict) -> dict:
        """The network of a method's config, to which the method's ``adjustment`` is handed down.

        Raises:
            ValueError: The network has an ``adjustment`` of its own beside it.
        """
        network, adjustment = model['network'], model.get('adjustment')
        if adjustment is None:
            return network
        if network.get('adjustment') is not None:
            raise ValueError('the debiased adjustment is given twice, in model.adjustment and in '
                             'model.network.adjustment: remove one')
        return dict(network, adjustment=adjustment)

    # ------------------------------------------------------------------ draws
    def draw_step(self, batch: dict[str, dict], generator: Any) -> DiffMatchDraws:
        """Draw the strong views and CutMix, then times and seeds of the noise for every pass and
        for the teacher.
        """
        rng = StepGenerator.wrap(generator)
        count = len(batch[self.unlabeled_stream]['inputs'])
        semi_draws = super().draw_step(batch, rng)

        def noise(images: int = count) -> NoiseDraws:
            """Fresh times and seeds, by default for as many images as the unlabeled stream has."""
            return self.student.draw_noise(images, rng.torch)

        # the fields of SemiDraws, then those of this method; keyword arguments are evaluated in
        # this order, which recorded runs repeat. The teacher has times of its own: seeds only
        return DiffMatchDraws(**vars(semi_draws),
                              labeled=noise(len(batch[self.labeled_stream]['inputs'])),
                              strong=[noise() for _ in range(self.num_views)], feature=noise(),
                              teacher_seeds=noise().seeds,
                              mix_teacher_seeds=noise().seeds if self.reads_mix_stream else [])

    # ------------------------------------------------------------------ passes
    def passes(self, batch: dict[str, dict], draws: DiffMatchDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        """The step's passes: pseudo-labels by the teacher, labeled images, then strong views."""
        state = StepState() if state is None else state
        self.check_step(batch)
        passes = [
            Pass('pseudo_labels', lambda: self._pseudo_label_pass(batch, draws, state)),
            Pass('labeled', lambda: self._labeled_pass(batch, draws, state)),
        ]
        if self.num_views:
            passes.append(Pass('strong', lambda: self._strong_pass(batch, draws, state)))
        return passes

    @torch.no_grad()
    def _pseudo_label_pass(self, batch: dict[str, dict], draws: DiffMatchDraws,
                           state: StepState) -> PassResult:
        """The teacher samples pseudo-labels of the weak views, and of the images that CutMix
        pastes.
        """
        pseudo = self._sampled_labels(batch, self.unlabeled_stream, draws.teacher_seeds)
        if self.reads_mix_stream and self.pastes(draws):
            state.mix_pseudo = self._sampled_labels(batch, str(self.mix_stream),
                                                    draws.mix_teacher_seeds)
        # a running average of class frequencies is fed here; stated or counted ones stay
        if self.student.adjustment.kind == 'ema':
            self._observe_classes(pseudo.label[pseudo.mask(self.threshold)])
        return self.remember(pseudo, state)

    def _sampled_labels(self, batch: dict[str, dict], stream: str,
                        seeds: Sequence[int]) -> PseudoLabels:
        """Pseudo-labels of a stream's images by the teacher, which denoises from the noise of
        ``seeds``, one per image.
        """
        assert self.teacher is not None  # pseudo-labels are the teacher's
        network = self.teacher.module
        images = batch[stream]['inputs']
        with evaluation_mode(network), lower_precision(self.teacher_precision, images.device):
            # noise drawn where the images lie: faster, but not the same on every device
            logits = network.predict_logits(images, seeds, self.teacher_steps, noise_on_cpu=False)
        return pseudo_labels_from(logits, self.valid_mask(batch, stream))

    def _observe_classes(self, labels: Tensor) -> None:
        """Let the running average of class frequencies (of every network) see confident
        pseudo-labels, int64 (n,), those of all processes.
        """
        # how often each class occurs: (n,) -> (C,)
        counts = torch.bincount(labels.flatten(), minlength=self.student.num_classes)
        all_reduce(counts)  # the sum over processes, in place
        networks: dict[str, BaseSegmentor] = self.networks()
        for network in networks.values():
            network.adjustment.observe(counts)

    def _labeled_pass(self, batch: dict[str, dict], draws: DiffMatchDraws,
                      state: StepState) -> PassResult:
        """Labeled images, and weak views with dropped channels, through the student in one batch:
        L_x and L_fd of the class's formula.
        """
        network, labeled = self.student, batch[self.labeled_stream]
        labels = stack_labels(labeled['data_samples'], self.labeled_stream)
        count, images, noise, masks = len(labels), labeled['inputs'], draws.labeled, labels
        if self.feature_weight:
            # (B_labeled + B, 3, H, W); the diffusion starts from labels and pseudo-labels
            images = torch.cat([images, batch[self.unlabeled_stream]['inputs']])
            masks = torch.cat([labels, _padding_ignored(self._pseudo_labels_left(state))])
            noise = noise.joined(draws.feature)
        levels = network.extract_feat(images)
        feature = network.image_feature(
            self._dropped(levels, count) if self.feature_weight else levels)
        result = network.denoise(feature, masks, noise)
        # the first ``count`` images are the labeled ones
        supervised = network.label_losses(result.part(0, count), [x[:count] for x in levels],
                                          labels)
        supervised = supervised.weighted(self.labeled_weight).prefixed(self.labeled_stream)
        if not self.feature_weight:
            return supervised
        return supervised.joined(
            self._unlabeled_losses('feature', self._for_pseudo_labels(result.part(count)),
                                   self._pseudo_labels_left(state), self.feature_weight))

    @staticmethod
    def _pseudo_labels_left(state: StepState) -> PseudoLabels:
        """Pseudo-labels of the weak views that an earlier pass of the step has left."""
        assert state.own_pseudo is not None  # an earlier pass has left them
        return state.own_pseudo

    def _dropped(self, levels: Sequence[Tensor], first: int) -> list[Tensor]:
        """Encoder maps (B, C, h, w) whose images from ``first`` on lose random channels, on the
        levels that the decoder reads; the images before (the labeled ones) keep theirs.
        """
        used = decoder_levels(self.student.decode_head, len(levels))
        return [
            torch.cat([x[:first], drop_channels(x[first:], self.feature_dropout)])
            if i in used else x for i, x in enumerate(levels)
        ]

    def _strong_pass(self, batch: dict[str, dict], draws: DiffMatchDraws,
                     state: StepState) -> PassResult:
        """All strong views through the student in one forward, each against its (pasted)
        pseudo-labels.
        """
        network, views = self.student, self.strong_batch(batch, draws)
        targets = self.pasted_labels(state.own_pseudo, state.mix_pseudo, draws)
        noise = _NO_NOISE
        for view_noise in draws.strong:
            noise = noise.joined(view_noise)
        feature = network.image_feature(network.extract_feat(torch.cat(views)))
        result = self._for_pseudo_labels(
            network.denoise(feature, torch.cat([_padding_ignored(t) for t in targets]), noise))
        self.remember_strong(views[0], targets[0], state)
        losses, count = PassResult(), len(views[0])
        for k, (target, weight) in enumerate(zip(targets, self.view_weights)):
            of_view = result.part(k * count, (k + 1) * count)  # the views lie one after the other
            losses = losses.joined(self._unlabeled_losses(f'strong{k + 1}', of_view, target,
                                                          weight))
        # for the log: the loss by ranges of the noise time
        bins = network.time_bins(result, torch.cat([t.label for t in targets]),
                                 torch.cat([t.mask(self.threshold) for t in targets]))
        return losses.joined(PassResult(logs=bins).prefixed('strong'))

    def _for_pseudo_labels(self, result: DenoisedLabels) -> DenoisedLabels:
        """The result whose field ``adjusted`` is what losses on pseudo-labels compare: as it is, or
        the raw logits where the adjustment is not for pseudo-labels (``on_pseudo_labels=False``).
        """
        return result if self.student.adjustment.on_pseudo_labels else result._replace(
            adjusted=result.logits)

    def _unlabeled_losses(self, name: str, result: DenoisedLabels, target: PseudoLabels,
                          weight: float) -> PassResult:
        """Losses on confident pseudo-labels, of the denoiser and of the plain classifier.

        Args:
            name: Of the images (``feature``, ``strong1``, ...), the prefix of the values' names.
            result: What the network gave, on the grid of its features.
            target: Pseudo-labels (B, H, W) of the same images.
            weight: Factor of all losses.
        """
        network, size = self.student, tuple(target.label.shape[-2:])
        # ``adjusted`` and ``plain``: logits of the denoiser and of the plain classifier, enlarged
        # to the size of the labels
        values = {
            'loss_ce': confident_cross_entropy(network.to_size(result.adjusted, size), target,
                                               self.threshold)
        }
        if network.plain_weight:
            plain = confident_cross_entropy(network.to_size(result.plain, size), target,
                                            self.threshold)
            values['plain.loss_ce'] = network.plain_weight * plain
        return PassResult(values).weighted(weight).prefixed(name)


def _padding_ignored(labels: PseudoLabels) -> Tensor:
    """The label maps (B, H, W) that are noised: hard pseudo-labels of all pixels, sure or not, and
    255 on padding.
    """
    return torch.where(labels.valid, labels.label, 255)
