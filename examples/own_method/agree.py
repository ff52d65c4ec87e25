"""Agreement: cross-entropy on labeled images, and the teacher's labels on unlabeled ones.

Shapes: B images, C classes, H x W pixels.
"""
from typing import Any, Optional

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mmseg_dg.methods.base import BaseMethod, stack_labels
from mmseg_dg.methods.step import Pass, PassResult, StepState
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.models.segmentors.network import predict_logits, segmentation_losses
from mmseg_dg.registry import MODELS


@MODELS.register_module()
class Agree(BaseMethod):
    """The student learns labels where there are some, and elsewhere what its average says.

    Args:
        network: Config of the segmentor.
        weight: Factor of the loss on unlabeled images.
        **base: Arguments of :class:`BaseMethod`.
    """

    streams = ('labeled', 'unlabeled')
    labeled_streams = ('labeled', )
    required_hooks = ('EMAUpdateHook', )

    def __init__(self, network: dict, weight: float = 1.0, **base: Any) -> None:
        super().__init__(network, **base)
        self.weight = weight
        self.teacher = EMATeacher(self.student)

    def ema_pairs(self) -> dict[str, tuple[nn.Module, EMATeacher]]:
        return {'teacher': (self.student, self.teacher)}  # what EMAUpdateHook updates

    def networks(self) -> dict[str, nn.Module]:
        return {'student': self.student, 'teacher': self.teacher.module}

    def passes(self, batch: dict[str, dict], draws: Any,
               state: Optional[StepState] = None) -> list[Pass]:

        def supervised() -> PassResult:
            stream = batch['labeled']
            labels = stack_labels(stream['data_samples'], 'labeled')  # (B, H, W) int64
            result = segmentation_losses(self.student, stream['inputs'], labels)
            return result.terms.prefixed('labeled')

        def agreement() -> PassResult:
            images = batch['unlabeled']['inputs']  # (B, 3, H, W), normalized
            with torch.no_grad():
                target = predict_logits(self.teacher.module, images).argmax(1)  # (B, H, W)
            logits = predict_logits(self.student, images)  # (B, C, H, W)
            return PassResult({'unlabeled.loss': self.weight * cross_entropy(logits, target)})

        return [Pass('labeled', supervised), Pass('unlabeled', agreement)]
