"""UniMatch V2: two strong views of complementary channels, pseudo-labels of the averaged weights.

Shapes: B images, C channels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from torch import Tensor

from mmseg_dg.models.losses.alignment import AlignmentImages
from mmseg_dg.ops import PixelView, draw_complementary_masks, drop_complementary_channels
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator

from .base import stack_labels
from .fixmatch import FixMatch
from .semi_supervised import SemiDraws
from .step import Pass, PassResult, StepState
from .unimatch import decoder_levels


@MODELS.register_module()
class UniMatchV2(FixMatch):
    """``loss = (L_x + (L_s1 + L_s2) / 2) / 2`` (docs/behavior/unimatch_v2.md#one-step).

    One step: (1) pseudo-labels of the weak view, by the average in evaluation mode; (2) one
    training forward of the labeled images alone: L_x; (3) one training forward of both strong
    views, with pasted boxes of the reversed batch, whose features lose complementary channels
    before the decoder. (2) and (3) are back-propagated one after the other: the gradients are those
    of one backward of the sum.

    Args:
        network: Config of the segmentor, an encoder with one decode head.
        mix_stream: None pastes the reversed batch (the paper's); a name reads a stream as
            :class:`UniMatch` does.
        view_weights: Weights of L_s1 and L_s2 in the objective.
        complementary_dropout: Share of the images whose channels are dropped, in [0, 1]; 0 switches
            it off.
        pseudo_labels: ``'teacher'``, the average (needs ``EMAUpdateHook(beta=0.996,
            when='after_step', ramp=True, buffers='average')``), or ``'student'``.
        evaluate: ``'teacher'``, as in the paper's tables, or ``'student'``.
        fixmatch: Of :class:`FixMatch`.

    Raises:
        ValueError: Arguments without meaning, or a decoder whose config does not say what it reads.
    """

    hook_settings = {
        'EMAUpdateHook': dict(beta=0.996, when='after_step', ramp=True, buffers='average')
    }

    def __init__(self, network: dict, mix_stream: Optional[str] = None,
                 view_weights: Sequence[float] = (0.25, 0.25), complementary_dropout: float = 0.5,
                 pseudo_labels: str = 'teacher', evaluate: str = 'teacher',
                 **fixmatch: Any) -> None:
        super().__init__(network, mix_stream=mix_stream, view_weights=view_weights,
                         pseudo_labels=pseudo_labels, evaluate=evaluate, **fixmatch)
        if not 0 <= complementary_dropout <= 1:
            raise ValueError('complementary_dropout is a share of the images, in [0, 1], got '
                             f'{complementary_dropout}')
        if complementary_dropout and len(self.view_weights) != 2:
            raise ValueError(f'complementary_dropout={complementary_dropout} divides the channels '
                             'between two strong views, but view_weights has '
                             f'{len(self.view_weights)}: give two, or set it to 0')
        self.complementary_dropout = complementary_dropout
        self.level_widths = decoder_widths(network['decode_head']) if complementary_dropout else ()

    def forward_sizes(self, batch_sizes: dict[str, int]) -> dict[str, tuple[str, int]]:
        """How many images pass the network together: labeled ones alone, and all strong views."""
        labeled, unlabeled = batch_sizes[self.labeled_stream], batch_sizes[self.unlabeled_stream]
        return {
            f'stream "{self.labeled_stream}" (batch_size={labeled})':
                (self.labeled_stream, labeled),
            f'strong views of stream "{self.unlabeled_stream}" (batch_size={unlabeled})':
                (self.unlabeled_stream, self.num_views * unlabeled)
        }

    def draw_step(self, batch: dict[str, dict], generator: Any) -> SemiDraws:
        """Draw the strong views and CutMix, then which channels each of the two views loses."""
        rng = StepGenerator.wrap(generator)
        draws = super().draw_step(batch, rng)
        if not self.complementary_dropout:
            return draws
        count = len(batch[self.unlabeled_stream]['inputs'])
        return replace(
            draws, dropout=draw_complementary_masks(count, self.level_widths, rng.numpy,
                                                    self.complementary_dropout))

    # ------------------------------------------------------------------ passes
    def passes(self, batch: dict[str, dict], draws: SemiDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        """The step's passes: pseudo-labels of the weak views, then the passes of FixMatch.

        Raises:
            ValueError: Recorded draws without channels to drop, which the settings demand.
        """
        state = StepState() if state is None else state
        passes = super().passes(batch, draws, state)
        if self.complementary_dropout and draws.dropout is None:
            raise ValueError('complementary_dropout is on, but the draws of this step have no '
                             'channels to drop: take them from draw_step of this method, or set '
                             'complementary_dropout=0')
        pseudo_labels = Pass('pseudo_labels', lambda: self._pseudo_label_pass(batch, state))
        return [pseudo_labels, *passes]

    def _pseudo_label_pass(self, batch: dict[str, dict], state: StepState) -> PassResult:
        """Leave pseudo-labels of the weak views in ``state``; their confident share for the log."""
        return self.remember(self.evaluated_pseudo_labels(batch, self.unlabeled_stream), state)

    def _labeled_pass(self, batch: dict[str, dict], draws: SemiDraws,
                      state: StepState) -> PassResult:
        """Labeled images alone through the student: the supervised loss L_x."""
        labeled = batch[self.labeled_stream]
        labels = stack_labels(labeled['data_samples'], self.labeled_stream)
        features = self.student.extract_feat(labeled['inputs'])
        decoded = self.decoded(features)
        result = self.labeled_losses(features, decoded, labels)
        seen = AlignmentImages([PixelView(*call) for call in decoded.calls], labels,
                               levels=result.features[0])
        aligned = self.align_images(state, [seen], pass_follows=self.num_views > 0,
                                    seed=draws.alignment_seed,
                                    ahead=lambda: self._strong_ahead(batch, draws, state))
        terms = result.terms.weighted(self.labeled_weight).joined(aligned)
        # an alignment term may let them wait for the strong pass, which then returns them
        return self.hold_losses(state, terms.prefixed(self.labeled_stream))

    def perturbed(self, features: Sequence[Tensor], draws: SemiDraws) -> Sequence[Tensor]:
        """Maps (2 B, C, h, w) of both views, one per encoder level, without the channels that the
        draws take from each view; levels that the decode head does not read stay as they are.
        """
        if draws.dropout is None:
            return features
        levels = decoder_levels(self.student.decode_head, len(features))
        widths = [features[i].shape[1] for i in levels]
        drawn = [m.shape[1] for m in draws.dropout.channels]  # one mask of channels per level
        if widths != drawn:
            raise ValueError(f'the draws drop channels of levels with {drawn} channels, but the '
                             f'decoder reads {widths}')
        masks = dict(zip(levels, draws.dropout.channels))
        return [
            drop_complementary_channels(x, masks[i], draws.dropout.whole) if i in masks else x
            for i, x in enumerate(features)
        ]


def decoder_widths(head: dict) -> tuple[int, ...]:
    """Numbers of channels of the encoder's maps that a decode head reads, in the order of
    :func:`mmseg_dg.methods.unimatch.decoder_levels`.

    Args:
        head: Config of the head: ``in_channels`` (one number for all maps, or a list) and
            ``in_index`` (a number, or a list), and ``c1_in_channels`` of a DeepLabV3+ head, whose
            map comes first.

    Raises:
        ValueError: They do not say it.
    """
    channels, index = head.get('in_channels'), head.get('in_index')
    if isinstance(channels, (list, tuple)):
        index = range(len(channels)) if index is None else index
        if isinstance(index, (list, tuple, range)) and len(index) == len(channels):
            ordered = sorted(zip(index, channels))
            return tuple(int(c) for _, c in ordered)
    elif channels is not None and isinstance(index, (list, tuple)):
        return (int(channels), ) * len(index)
    elif channels is not None:
        first = head.get('c1_in_channels')
        return (*(() if not first else (int(first), )), int(channels))
    raise ValueError('complementary_dropout draws channels of the maps the decoder reads, but '
                     f'decode_head has in_channels={channels} and in_index={index}: give lists of '
                     'one length, or in_channels as one number; or set complementary_dropout=0')
