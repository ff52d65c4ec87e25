"""The random decisions of a step of self-training."""
from dataclasses import dataclass, field
from typing import Optional, Union

from torch import Tensor

from mmseg_dg.ops import CropBox, JitterParams

from .masked_pass import MaskedDraws


@dataclass(frozen=True)
class StepDraws:
    """Every random decision of one DACS step, network-internal noise excepted.

    Attributes:
        jitter: Color jitter on (one decision for the whole batch).
        blur: Gaussian blur on (likewise).
        jitter_params: Per image, brightness, contrast, hue, saturation and order; empty when off.
        sigma: Per image, blur standard deviation in pixels; empty when off.
        mix_classes: Per image, the labels that are pasted (int64).
        crop_box_source: Detail crop of the source pass, (y1, y2, x1, x2), multi-resolution networks
            only.
        crop_box_mix: Detail crop of the mixed pass: one drawn for all images, or a list of one per
            image, which is what the record of an entropy-guided step has here.
        alignment_seed: For an alignment term with random decisions, else None.
        masked: Of the masked pass, or None without it; drawn after all the above.
        crop_box_target_labeled: Detail crop of the pass over labeled target images,
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
