"""What every method shares that learns from labeled images and from pseudo-labels of others.

Shapes: B images, C classes, H x W pixels.
"""
from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn

from mmseg_dg.models.data_preprocessor import check_one_normalization, normalization_of
from mmseg_dg.models.segmentors.network import predict_logits
from mmseg_dg.ops.precision import lower_precision

from .base import BaseMethod
from .step import PassResult, StepState
from .teacher import EMATeacher


class LabeledUnlabeled(BaseMethod):
    """Base of self-training (DACS) and of the semi-supervised methods: two streams, a teacher, the
    padding of unlabeled images, and pseudo-labels.

    Args:
        network: Config of the segmentor that is trained.
        labeled_stream: Name of the stream with labels.
        unlabeled_stream: Name of the stream without.
        base: Of the next base class (:class:`BaseMethod`, or :class:`Supervised` before it).

    Attributes:
        teacher: The average that makes pseudo-labels; None where the student makes them.
    """
    def __init__(self, network: dict, labeled_stream: str, unlabeled_stream: str,
                 **base: Any) -> None:
        super().__init__(network, **base)
        self.labeled_stream, self.unlabeled_stream = labeled_stream, unlabeled_stream
        self.streams = (labeled_stream, unlabeled_stream)
        self.labeled_streams = (labeled_stream, )
        self.teacher: Optional[EMATeacher] = None

    # ------------------------------------------------------------------ networks
    def ema_pairs(self) -> dict[str, tuple[nn.Module, EMATeacher]]:
        """``teacher``: the student and its average; empty without a teacher."""
        return {} if self.teacher is None else {'teacher': (self.student, self.teacher)}

    def networks(self) -> dict[str, nn.Module]:
        """Networks that may be evaluated: the student and, where there is one, the teacher."""
        teacher = {} if self.teacher is None else {'teacher': self.teacher.module}
        return {'student': self.student, **teacher}

    @property
    def labeling_network(self) -> nn.Module:
        """The network that makes pseudo-labels."""
        return self.student if self.teacher is None else self.teacher.module

    # ------------------------------------------------------------------ checks
    def check_normalization(self, why: str, undone_by: str = '', instead: str = '') -> None:
        """Check that all streams have one mean and standard deviation, which must be known where
        something undoes them.

        Args:
            why: What needs one for all streams; the message's subject.
            undone_by: Subject and verb, ``'strong views undo'``; empty where nothing undoes the
                normalization, so that it need not be known.
            instead: What else the config may set, ``', or set NAME=VALUE'``; empty for nothing.

        Raises:
            ValueError: There are several, or none that is known.
        """
        if undone_by and normalization_of(self.data_preprocessor) is None:
            raise ValueError(f'{undone_by} the normalization: give data_preprocessor its mean and '
                             f'std{instead}')
        check_one_normalization(self.data_preprocessor, why)

    # ------------------------------------------------------------------ pseudo-labels
    def valid_masks(self, batch: dict[str, dict], stream: str) -> Tensor:
        """Where unlabeled images are learned from: 1, and 0 on margins and padding; uint8 (B, H,
        W), on the device of the samples' masks.

        Raises:
            ValueError: A sample has no such mask (``valid_pseudo_mask``).
        """
        masks = []
        for sample in batch[stream]['data_samples']:
            if 'valid_pseudo_mask' not in sample:
                raise ValueError(
                    f'{sample.metainfo.get("img_path", "a sample")} of stream "{stream}" has no '
                    'valid_pseudo_mask, so that padding would be learned: add '
                    "dict(type='PseudoLabelMargins') after LoadImageFromFile, and pad with "
                    'pad_val=dict(img=0, seg=0)')
            masks.append(sample.valid_pseudo_mask.data.squeeze(0))  # (1, H, W) -> (H, W)
        return torch.stack(masks)

    def labeling_logits(self, images: Tensor) -> Tensor:
        """Logits (B, C, H, W) for images (B, 3, H, W), normalized, of the network that makes
        pseudo-labels, in ``teacher_precision``.
        """
        with lower_precision(self.teacher_precision, images.device):
            return predict_logits(self.labeling_network, images)

    def leave_pseudo_labels(self, labels: Tensor, weight: Tensor, share: Tensor,
                            state: StepState) -> PassResult:
        """Leave pseudo-labels for later passes, hooks and pictures.

        Args:
            labels: (B, H, W) int64.
            weight: (B, H, W) float; 0 is not learned from.
            share: 0-d, the share of pixels that count, for the log.
            state: Of the step; gets labels and weights.

        Returns:
            No loss, only the share as a log value.
        """
        state.pseudo_label, state.pseudo_weight = labels, weight
        return PassResult(logs={f'{self.unlabeled_stream}.pseudo_label_share': share})


def checked_tta(names: Union[str, Sequence[str]]) -> tuple[str, ...]:
    """Names of the transformations that pseudo-labels are averaged over, as a tuple (a single name
    may be given by itself).

    Raises:
        ValueError: Another one than a mirror image.
    """
    names = (names, ) if isinstance(names, str) else tuple(names)
    if set(names) - {'flip'}:
        raise ValueError(f"pseudo_label_tta={names}: ('flip', ) or () for none")
    return names
