"""FixMatch for segmentation: learn from confident pseudo-labels of the weak view on one strong
view.

Shapes: B images, V views, C channels, or classes of logits, H x W pixels, h x w places of a smaller
map.
"""
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

import torch
from torch import Tensor

from mmseg_dg.models.decode_heads.classifier import Classified, Decoded, main_logits
from mmseg_dg.models.losses.alignment import AlignmentImages
from mmseg_dg.models.segmentors.network import interface_of
from mmseg_dg.ops import PixelView, PseudoLabels, confident_cross_entropy, pseudo_labels_from
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator

from .alignment import DEFAULT, AlignmentMixin
from .base import stack_labels
from .semi_supervised import SemiDraws, SemiSupervised
from .step import Pass, PassResult, StepState

#: CutMix with UniMatch's boxes, the defaults of :func:`mmseg_dg.ops.draw_cutmix_box`.
CUTMIX: dict = {}


@MODELS.register_module()
class FixMatch(AlignmentMixin, SemiSupervised):
    """``loss = (L_x + L_s) / 2``: the baseline of UniMatch's tables
    (docs/behavior/unimatch.md#unimatch-step).

    One step: (1) pseudo-labels of the mix stream in evaluation mode; (2) one training forward of
    [labeled; unlabeled weak], which gives L_x and the pseudo-labels of the own images; (3) one
    training forward of all strong views, which gives the unsupervised loss. Forward (2) and (3) are
    back-propagated one after the other: the objective is a sum, so the gradients are those of one
    backward, and one graph lives at a time. BatchNorm sees the batches of UniMatch's code.

    Args:
        network: Config of the segmentor, an encoder with one decode head.
        cutmix: See :class:`SemiSupervised`; the default is UniMatch's CutMix, None switches it off.
        alignment: ``dict(type='PixelAlignment' | 'PixelContrast', ...)``, a term between the pixels
            of labeled image i and the strong views of unlabeled image i, or None. There, pixels
            below the threshold weigh 0; ``PixelAlignment`` leaves them out unless
            ``ignore_zero_weight=False`` is given: a network's least sure pixels are almost all
            below the threshold, so that the term would have no weight.
        semi: Of :class:`SemiSupervised`. ``labeled_weight`` is that of L_x.
    """
    def __init__(self, network: dict, cutmix: Optional[dict] = CUTMIX,
                 alignment: Optional[dict] = None, **semi: Any) -> None:
        super().__init__(network, cutmix=cutmix, **semi)
        if not interface_of(self.student).plain or not self.student.with_decode_head:
            raise ValueError(f'{type(self).__name__} trains an encoder with one decode head, not '
                             f'{type(self.student).__name__}: use EncoderDecoder, or self-training '
                             '(DACS) for a multi-resolution network')
        if alignment is not None and alignment.get('type', DEFAULT) == DEFAULT:
            # pixels below the threshold have a pseudo-label of weight 0, which is no label
            alignment = dict(dict(ignore_zero_weight=True), **alignment)
        self.build_alignment(alignment)

    def before_training(self) -> None:
        """Besides the base's last checks, log the alignment term."""
        super().before_training()
        self.log_alignment()

    def draw_step(self, batch: dict[str, dict], generator: Any) -> SemiDraws:
        """Draw the strong views and CutMix, then the seed of the alignment term."""
        rng = StepGenerator.wrap(generator)
        draws = super().draw_step(batch, rng)
        return replace(draws, alignment_seed=self.draw_alignment(rng))

    # ------------------------------------------------------------------ passes
    def passes(self, batch: dict[str, dict], draws: SemiDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        """The step's passes: labeled and weak images, then the strong views; images that CutMix
        pastes from a stream of their own get pseudo-labels first.
        """
        state = StepState() if state is None else state
        self.check_step(batch)
        passes = [Pass('labeled', lambda: self._labeled_pass(batch, draws, state))]
        if self.reads_mix_stream and self.pastes(draws):
            passes.insert(0, Pass('mix_pseudo_labels',
                                  lambda: self._mix_pseudo_labels(batch, state)))
        if self.num_views:
            passes.append(Pass('strong', lambda: self._strong_pass(batch, draws, state)))
        return passes

    def _mix_pseudo_labels(self, batch: dict[str, dict], state: StepState) -> PassResult:
        """Leave pseudo-labels of the images that CutMix pastes in ``state``; nothing to learn."""
        state.mix_pseudo = self.evaluated_pseudo_labels(batch, str(self.mix_stream))
        return PassResult()

    def _labeled_pass(self, batch: dict[str, dict], draws: SemiDraws,
                      state: StepState) -> PassResult:
        """Labeled and weak images through the student in one batch: the supervised loss L_x, with
        it the alignment term and the loss of dropped features where these are on, and the
        pseudo-labels of the weak views, left in ``state``.
        """
        labeled, weak = batch[self.labeled_stream], batch[self.unlabeled_stream]['inputs']
        labels = stack_labels(labeled['data_samples'], self.labeled_stream)
        images = torch.cat([labeled['inputs'], weak])  # (B_labeled + B, 3, H, W)
        features = self.student.extract_feat(images)
        decoded, dropped = self.decode_views(features, len(labels))
        result = self.labeled_losses(features, decoded, labels)
        # what an alignment term sees: the labeled images, which come first
        seen = AlignmentImages([
            PixelView(call.features[:len(labels)], call.logits[:len(labels)])
            for call in decoded.calls
        ], labels, levels=result.features[0])
        weak_logits = main_logits(decoded.logits)[len(labels):]
        pseudo = self._own_pseudo_labels(batch, weak_logits.detach(), weak)
        share = self.remember(pseudo, state)  # a PassResult without loss: only a share for the log
        # ahead: a term of pair 'recompute' alone calls it, since it needs the strong views' pixels
        # now; they pass the student once more, without a graph, and need ``remember`` before
        aligned = self.align_images(state, [seen], pass_follows=self.num_views > 0,
                                    seed=draws.alignment_seed,
                                    ahead=lambda: self._strong_ahead(batch, draws, state))
        terms = result.terms.weighted(self.labeled_weight).joined(aligned).prefixed(
            self.labeled_stream).joined(share)
        if dropped is not None:  # logits of weak features with dropped channels (UniMatch)
            terms = terms.joined(self.dropped_loss(dropped, pseudo, weak))
        # an alignment term may let them wait for the strong pass, which then returns them
        return self.hold_losses(state, terms)

    def decode_views(self, features: Sequence[Tensor], labeled: int) -> tuple[Decoded, Any]:
        """Decode labeled and weak images, which lie in one batch.

        Args:
            features: Encoder maps (B, C_i, h_i, w_i) of [labeled; weak].
            labeled: How many of the B images are labeled; they come first.

        Returns:
            What the head gives for all images, and the logits of perturbed features of the weak
            ones, as the head gives logits: None here, a subclass may perturb.
        """
        return self.decoded(features), None

    def dropped_loss(self, logits: Any, target: PseudoLabels, images: Tensor) -> PassResult:
        """Loss on predictions of perturbed features; methods with such a stream define it.

        Args:
            logits: Second result of :meth:`decode_views`: (B, C, h, w), or several such maps.
            target: Pseudo-labels of the weak images.
            images: The weak images, (B, 3, H, W), for their size.
        """
        raise NotImplementedError(f'{type(self).__name__} has no stream of perturbed features')

    def _own_pseudo_labels(self, batch: dict[str, dict], logits: Tensor,
                           images: Tensor) -> PseudoLabels:
        """Pseudo-labels of the weak views: the teacher's, or from the student's ``logits`` (B, C,
        h, w), enlarged to the size of ``images`` (B, 3, H, W).
        """
        if self.teacher is not None:
            return self.evaluated_pseudo_labels(batch, self.unlabeled_stream)
        valid = self.valid_mask(batch, self.unlabeled_stream)
        return pseudo_labels_from(self.full_size(logits, images), valid)

    def _strong_pass(self, batch: dict[str, dict], draws: SemiDraws,
                     state: StepState) -> PassResult:
        """All strong views through the student in one forward, each against its (pasted)
        pseudo-labels.
        """
        views, targets = self._views_and_targets(batch, draws, state)
        images = torch.cat(views)  # (V B, 3, H, W): all of view 1, then all of view 2
        features = self.perturbed(self.student.extract_feat(images), draws)
        decoded = self.decoded(features)
        logits = self.full_size(decoded.logits, images)
        self.remember_strong(views[0], targets[0], state)
        losses = {}
        for k, (part, target) in enumerate(zip(logits.chunk(self.num_views), targets)):
            loss = confident_cross_entropy(part, target, self.threshold)
            losses[f'strong{k + 1}.loss_ce'] = loss * self.view_weights[k]
        aligned = self.align_images(state, self._strong_pixels(decoded.calls, targets, features),
                                    seed=draws.alignment_seed)
        return PassResult(losses).joined(aligned.prefixed('strong'), self.held_losses(state))

    def perturbed(self, features: Sequence[Tensor], draws: SemiDraws) -> Sequence[Tensor]:
        """What the decoder gets of the strong views' maps (V B, C, h, w), the views one after
        the other; here the maps themselves.
        """
        return features

    def _views_and_targets(self, batch: dict[str, dict], draws: SemiDraws,
                           state: StepState) -> tuple[list[Tensor], list[PseudoLabels]]:
        """The strong views and their (pasted) pseudo-labels; views that an alignment term saw ahead
        are taken over.
        """
        views = state.strong_views or self.strong_batch(batch, draws)
        state.strong_views = None  # used up; _strong_ahead puts them back for the strong pass
        return views, self.pasted_labels(state.own_pseudo, state.mix_pseudo, draws)

    def _strong_ahead(self, batch: dict[str, dict], draws: SemiDraws,
                      state: StepState) -> list[AlignmentImages]:
        """What an alignment term will see of the strong views, for a labeled pass that looks
        ahead.
        """
        views, targets = self._views_and_targets(batch, draws, state)
        state.strong_views = views
        features = self.perturbed(self.student.extract_feat(torch.cat(views)), draws)
        return self._strong_pixels(self.decoded(features).calls, targets, features)

    def _strong_pixels(self, calls: Sequence[Classified], targets: Sequence[PseudoLabels],
                       levels: Sequence[Tensor]) -> list[AlignmentImages]:
        """What an alignment term sees of each strong view: padding has no label, other pixels weigh
        0 or 1.
        """
        result = []
        for k, target in enumerate(targets):
            # view k of (V B, C, h, w), for each call of the head's classifier
            maps = [
                PixelView(
                    call.features.chunk(self.num_views)[k],
                    call.logits.chunk(self.num_views)[k]) for call in calls
            ]
            result.append(
                AlignmentImages(maps, torch.where(target.valid, target.label, 255),
                                target.mask(self.threshold).float(),
                                [x.chunk(self.num_views)[k] for x in levels]))
        return result
