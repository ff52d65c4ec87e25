"""FixMatch for segmentation: learn from confident pseudo-labels of the weak view on one strong
view.
"""
from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor

from mmseg_dg.models.losses.alignment import AlignmentImages
from mmseg_dg.models.segmentors.network import ClassifierTap, main_logits
from mmseg_dg.ops import PixelView, PseudoLabels, confident_cross_entropy, pseudo_labels_from
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator

from .alignment import DEFAULT, AlignmentMixin
from .base import stack_labels, weighted, with_prefix
from .semi_supervised import SemiDraws, SemiSupervised
from .step import Pass, StepState

#: CutMix with UniMatch's boxes, the defaults of :func:`mmseg_dg.ops.draw_cutmix_box`.
CUTMIX: dict = {}


@MODELS.register_module()
class FixMatch(AlignmentMixin, SemiSupervised):
    """``loss = (L_x + L_s) / 2``: the baseline of UniMatch's tables
    (docs/behavior/unimatch.md#unimatch-step).

    One step: (1) pseudo-labels of the mix stream in evaluation mode; (2) one training forward of
    [labelled; unlabelled weak], which gives L_x and the pseudo-labels of the own images; (3) one
    training forward of all strong views, which gives the unsupervised loss. Forward (2) and (3) are
    back-propagated one after the other: the objective is a sum, so the gradients are those of one
    backward, and one graph lives at a time. BatchNorm sees the batches of UniMatch's code.

    Args:
        network: Config of the segmentor, an encoder with one decode head.
        labeled_weight: Weight of L_x in the objective.
        view_weights: Weight of each strong view's loss in the objective; their number is that of
            the views.
        cutmix: See :class:`SemiSupervised`; the default is UniMatch's CutMix, None switches it off.
        alignment: ``dict(type='PixelAlignment' | 'PixelContrast', ...)``, a term between the pixels
            of labelled image i and the strong views of unlabelled image i, or None. There, pixels
            below the threshold weigh 0; ``PixelAlignment`` leaves them out unless
            ``ignore_zero_weight=False`` is given: a network's least sure pixels are almost all
            below the threshold, so that the term would have no weight.
        kwargs: Of :class:`SemiSupervised`, except ``num_views``.
    """
    def __init__(self, network: dict, data_preprocessor: Optional[dict] = None,
                 labeled_stream: str = 'labeled', unlabeled_stream: str = 'unlabeled',
                 mix_stream: Optional[str] = 'unlabeled_mix', labeled_weight: float = 0.5,
                 view_weights: Sequence[float] = (0.5, ), cutmix: Optional[dict] = CUTMIX,
                 strong_view: Optional[dict] = None, threshold: float = 0.95,
                 pseudo_labels: str = 'student', evaluate: str = 'student', norm_eval: bool = False,
                 alignment: Optional[dict] = None, teacher_precision: Optional[str] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(network, data_preprocessor, labeled_stream=labeled_stream,
                         unlabeled_stream=unlabeled_stream, mix_stream=mix_stream,
                         num_views=len(view_weights), cutmix=cutmix, strong_view=strong_view,
                         threshold=threshold, pseudo_labels=pseudo_labels, evaluate=evaluate,
                         norm_eval=norm_eval, teacher_precision=teacher_precision,
                         init_cfg=init_cfg)
        self.labeled_weight, self.view_weights = labeled_weight, tuple(view_weights)
        if hasattr(self.student, 'segmentation_losses') or not hasattr(self.student, 'decode_head'):
            raise ValueError(f'{type(self).__name__} trains an encoder with one decode head, not '
                             f'{type(self.student).__name__}: use EncoderDecoder, or self-training '
                             '(DACS) for a multi-resolution network')
        if alignment is not None and alignment.get('type', DEFAULT) == DEFAULT:
            alignment = dict(dict(ignore_zero_weight=True), **alignment)
        self.build_alignment(alignment)

    def before_training(self) -> None:
        super().before_training()
        self.log_alignment()

    def draw_step(self, batch: dict[str, dict], generator: Any) -> SemiDraws:
        rng = StepGenerator.of(generator)
        draws = super().draw_step(batch, rng)
        draws.alignment_seed = self.draw_alignment(rng)
        return draws

    # ------------------------------------------------------------------ passes
    def passes(self, batch: dict[str, dict], draws: SemiDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        state = StepState() if state is None else state
        self.check_step(batch)
        passes = [Pass('labeled', lambda: self._labeled_pass(batch, draws, state))]
        if self.reads_mix_stream and self.pastes(draws):
            passes.insert(0, Pass('mix_pseudo_labels',
                                  lambda: self._mix_pseudo_labels(batch, state)))
        if self.num_views:
            passes.append(Pass('strong', lambda: self._strong_pass(batch, draws, state)))
        return passes

    def _mix_pseudo_labels(self, batch: dict[str, dict], state: StepState) -> dict[str, Tensor]:
        state['mix_pseudo'] = self.evaluated_pseudo_labels(batch, self.mix_stream)
        return {}

    def _labeled_pass(self, batch: dict[str, dict], draws: SemiDraws,
                      state: StepState) -> dict[str, Tensor]:
        """[labelled; weak] through the student: L_x, and the pseudo-labels of the weak views."""
        labeled, weak = batch[self.labeled_stream], batch[self.unlabeled_stream]['inputs']
        labels = stack_labels(labeled['data_samples'], self.labeled_stream)
        images = torch.cat([labeled['inputs'], weak])
        features = self.student.extract_feat(images)
        with ClassifierTap(self.student.decode_head) as tap:
            logits, fused, dropped = self.decode_views(features, len(labels))
        result = self.labeled_losses(features, logits, fused, labels)
        seen = AlignmentImages([PixelView(*(x[:len(labels)] for x in maps)) for maps in tap.seen],
                               labels, levels=result.features[0])
        own = self._own_pseudo_labels(batch, main_logits(logits)[len(labels):].detach(), weak)
        share = self.remember(own, state)
        aligned = self.align_images(state, [seen], more=self.num_views > 0,
                                    seed=draws.alignment_seed,
                                    ahead=lambda: self._strong_ahead(batch, draws, state))
        values = with_prefix(self.labeled_stream,
                             dict(weighted(result.losses, self.labeled_weight), **aligned))
        values.update(share)
        if dropped is not None:
            values.update(self.dropped_loss(dropped, own, weak))
        return self.hold_losses(state, values)

    def decode_views(self, features: Sequence[Tensor],
                     labeled: int) -> tuple[Any, Optional[Tensor], Any]:
        """Logits of [labelled; weak], the decoder's features, and logits of perturbed weak features
        (None here).
        """
        return (*self.forward_features(features), None)

    def dropped_loss(self, logits: Any, target: PseudoLabels, images: Tensor) -> dict[str, Tensor]:
        """Loss on the predictions of perturbed features; methods with such a stream define it."""
        raise NotImplementedError(f'{type(self).__name__} has no stream of perturbed features')

    def _own_pseudo_labels(self, batch: dict[str, dict], logits: Tensor,
                           images: Tensor) -> PseudoLabels:
        if self.teacher is not None:
            return self.evaluated_pseudo_labels(batch, self.unlabeled_stream)
        valid = self.valid_mask(batch, self.unlabeled_stream)
        return pseudo_labels_from(self.full_size(logits, images), valid)

    def remember(self, own: PseudoLabels, state: StepState) -> dict[str, Tensor]:
        """Leave the pseudo-labels for later passes, hooks and pictures; returns the share that is
        learned from.
        """
        mask = own.mask(self.threshold)
        state.update(own_pseudo=own, pseudo_label=own.label, pseudo_weight=mask.float())
        return {
            f'{self.unlabeled_stream}.pseudo_label_share': mask.sum() / own.valid.sum().clamp(min=1)
        }

    def _strong_pass(self, batch: dict[str, dict], draws: SemiDraws,
                     state: StepState) -> dict[str, Tensor]:
        """All strong views through the student in one forward, each against its (pasted)
        pseudo-labels.
        """
        views, targets = self._views_and_targets(batch, draws, state)
        images = torch.cat(views)
        features = self.perturbed(self.student.extract_feat(images), draws)
        with ClassifierTap(self.student.decode_head) as tap:
            logits, _ = self.forward_features(features)
        logits = self.full_size(logits, images)
        state.update(mixed_image=views[0], mixed_label=targets[0].label,
                     mixed_weight=targets[0].mask(self.threshold).float())
        values = {}
        for k, (part, target) in enumerate(zip(logits.chunk(self.num_views), targets)):
            loss = confident_cross_entropy(part, target, self.threshold)
            values[f'strong{k + 1}.loss_ce'] = loss * self.view_weights[k]
        aligned = self.align_images(state, self._strong_pixels(tap.seen, targets, features),
                                    seed=draws.alignment_seed)
        return dict(values, **with_prefix('strong', aligned), **self.held_losses(state))

    def perturbed(self, features: Sequence[Tensor], draws: SemiDraws) -> Sequence[Tensor]:
        """What the decoder gets of the strong views' maps (views one after the other); here the
        maps themselves.
        """
        return features

    def _views_and_targets(self, batch: dict[str, dict], draws: SemiDraws,
                           state: StepState) -> tuple[list[Tensor], list[PseudoLabels]]:
        """The strong views and their (pasted) pseudo-labels; views that an alignment term saw ahead
        are taken over.
        """
        views = state.pop('strong_views', None) or self.strong_batch(batch, draws)
        return views, self.pasted_labels(state['own_pseudo'], state.get('mix_pseudo'), draws)

    def _strong_ahead(self, batch: dict[str, dict], draws: SemiDraws,
                      state: StepState) -> list[AlignmentImages]:
        """What an alignment term will see of the strong views, for a labelled pass that looks
        ahead.
        """
        views, targets = self._views_and_targets(batch, draws, state)
        state['strong_views'] = views
        features = self.perturbed(self.student.extract_feat(torch.cat(views)), draws)
        with ClassifierTap(self.student.decode_head) as tap:
            self.forward_features(features)
        return self._strong_pixels(tap.seen, targets, features)

    def _strong_pixels(self, seen: Sequence[tuple[Tensor, Tensor]], targets: Sequence[PseudoLabels],
                       levels: Sequence[Tensor]) -> list[AlignmentImages]:
        """What an alignment term sees of each strong view: padding has no label, other pixels weigh
        0 or 1.
        """
        result = []
        for k, target in enumerate(targets):
            maps = [PixelView(*(x.chunk(self.num_views)[k] for x in pair)) for pair in seen]
            result.append(
                AlignmentImages(maps, torch.where(target.valid, target.label, 255),
                                target.mask(self.threshold).float(),
                                [x.chunk(self.num_views)[k] for x in levels]))
        return result
