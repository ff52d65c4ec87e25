"""Batches doubled by restyled copies of their images.

Shapes: B images, H x W pixels.
"""
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmseg_dg.models.data_preprocessor import (
    converts_channels,
    normalization_of,
    stream_preprocessor,
)
from mmseg_dg.ops.color import denormalize, normalize
from mmseg_dg.ops.lab_style import LABStyleDraws, draw_lab_style, lab_style
from mmseg_dg.registry import MODELS


@MODELS.register_module()
class LABStyle:
    """Append to every batch its images with drawn LAB statistics and noise; labels are repeated.

    Runs on the device of the images, in full precision. Source:
    docs/behavior/deft.md#restyled-copies (the released scripts use it in both stages; the paper's
    settings do not name it).

    Args:
        mean: Range of the new mean per image and channel, in scaled LAB units [0, 1].
        std: Range of the new standard deviation.
        noise: Standard deviation of the added noise.

    Raises:
        ValueError: A range that is none, or negative noise.
    """
    def __init__(self, mean: Sequence[float] = (0.2, 0.8), std: Sequence[float] = (0.1, 0.4),
                 noise: float = 0.01) -> None:
        for name, (low, high) in (('mean', mean), ('std', std)):
            if not 0 <= low <= high:
                raise ValueError(f'LABStyle: {name}=({low}, {high}) is no range of non-negative '
                                 'numbers')
        if noise < 0:
            raise ValueError(f'LABStyle: noise={noise} must not be negative')
        # tuples, also where a config gave lists: ranges from which each image's mean and standard
        # deviation (LAB in [0, 1]) are drawn
        (low, high), (least, most) = mean, std
        self.mean, self.std, self.noise = (low, high), (least, most), noise

    def draw(self, count: int, generator: torch.Generator) -> LABStyleDraws:
        """Random decisions for ``count`` images: new statistics of each, and the noise's seed."""
        return draw_lab_style(count, generator, self.mean, self.std)

    def check(self, preprocessor: BaseDataPreprocessor, stream: str) -> None:
        """Refuse a stream whose images cannot be brought back to RGB in [0, 1].

        Raises:
            ValueError: The normalization of the images is not known, or they are not RGB.
        """
        of_stream = stream_preprocessor(preprocessor, stream)
        if normalization_of(of_stream) is None or not converts_channels(of_stream):
            raise ValueError('style_augmentation undoes the normalization of RGB images: give '
                             f'data_preprocessor mean, std and bgr_to_rgb=True (stream "{stream}")')

    def double(self, batch: dict[str, Any], draws: LABStyleDraws,
               preprocessor: BaseDataPreprocessor, stream: str) -> dict[str, Any]:
        """The batch ``[images; restyled images]`` with its samples repeated.

        Args:
            batch: ``inputs`` normalized (B, 3, H, W), ``data_samples``.
            draws: Result of :meth:`draw` for B images.
            preprocessor: Knows mean and std (0..255 units).
            stream: Name of the batch's stream, which may have a normalization of its own.

        Returns:
            A batch with ``inputs`` normalized (2 B, 3, H, W): the images, then their restyled
            copies in the same order.
        """
        of_stream = stream_preprocessor(preprocessor, stream)
        mean, std = of_stream.mean, of_stream.std
        images: Tensor = batch['inputs']
        styled = lab_style(denormalize(images, mean, std).clamp(0, 1), draws, self.noise)
        return dict(batch, inputs=torch.cat((images, normalize(styled, mean, std))),
                    data_samples=[*batch['data_samples'], *batch['data_samples']])
