"""Agreement: cross-entropy on labeled images, and the teacher's labels on unlabeled ones.

Shapes: B images, C classes, H x W pixels.
"""
from typing import Any, Optional

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mmseg_dg.methods.base import BaseMethod, stack_labels, with_prefix
from mmseg_dg.methods.step import Pass
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.models.segmentors.network import predict_logits, segmentation_losses
from mmseg_dg.registry import MODELS


@MODELS.register_module()
class Agree(BaseMethod):
    """The student learns labels where there are some, and elsewhere what its average says.

    Args:
        network: Config of the segmentor.
        data_preprocessor: Config of the preprocessor.
        weight: Factor of the loss on unlabeled images.
        evaluate: ``'student'`` or ``'teacher'``.
        norm_eval: BatchNorm on running statistics during training.
        init_cfg: mmengine's.
    """

    streams = ('labeled', 'unlabeled')
    labeled_streams = ('labeled', )
    required_hooks = ('EMAUpdateHook', )

    def __init__(self, network: dict, data_preprocessor: Optional[dict] = None, weight: float = 1.0,
                 evaluate: str = 'student', norm_eval: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(network, data_preprocessor, evaluate=evaluate, norm_eval=norm_eval,
                         init_cfg=init_cfg)
        self.weight = weight
        self.teacher = EMATeacher(self.student)

    def ema_pairs(self) -> dict:
        return {'teacher': (self.student, self.teacher)}  # what EMAUpdateHook updates

    def networks(self) -> dict:
        return {'student': self.student, 'teacher': self.teacher.module}

    def passes(self, batch: dict, draws: Any, state: Any = None) -> list[Pass]:

        def supervised() -> dict[str, Tensor]:
            stream = batch['labeled']
            labels = stack_labels(stream['data_samples'], 'labeled')  # (B, H, W) int64
            losses = segmentation_losses(self.student, stream['inputs'], labels).losses
            return with_prefix('labeled', losses)

        def agreement() -> dict[str, Tensor]:
            images = batch['unlabeled']['inputs']  # (B, 3, H, W), normalized
            with torch.no_grad():
                target = predict_logits(self.teacher.module, images).argmax(1)  # (B, H, W)
            logits = predict_logits(self.student, images)  # (B, C, H, W)
            return {'unlabeled.loss': self.weight * cross_entropy(logits, target)}

        return [Pass('labeled', supervised), Pass('unlabeled', agreement)]
