"""Class mix: paste the pixels of half of the classes of one image onto another (Olsson et al.,
ClassMix, 2021).

The choice of classes follows DACS and DAFormer;
docs/behavior/daformer_hrda.md#class-mix-jitter-and-blur.

Shapes: B images, C channels, H x W pixels.
"""
from __future__ import annotations

from typing import Union

import numpy as np
import torch
from torch import Tensor

from .feature_distance import class_membership

NumpyRNG = Union[np.random.RandomState, np.random.Generator]


def draw_mix_classes(labels: Tensor, rng: NumpyRNG, classes: Tensor | None = None) -> list[Tensor]:
    """Draw, for every image of a batch, the classes whose pixels will be pasted.

    The candidates are the labels found in the WHOLE batch, not in the one image, and the ignore
    value 255 is one of them where it occurs. Of n candidates, ceil(n / 2) are drawn without
    replacement, with one call of ``rng.choice(n, k, replace=False)`` per image; so a batch with a
    single class pastes everything.

    Args:
        labels: int64 (B, H, W) or (B, 1, H, W), class ids and 255.
        rng: Source of randomness; ``RandomState(seed)`` repeats what the official code draws after
            ``np.random.seed(seed)``.
        classes: int64 (n,), candidates to use instead of those of ``labels``, for instance the
            union over processes. The order matters for the result; pass them sorted.

    Returns:
        B tensors int64 (ceil(n / 2),) in drawn order, on the device of ``labels``.

    Raises:
        ValueError: Wrong shape or dtype, or no candidate class.
        TypeError: ``rng`` is not a numpy generator.
    """
    if labels.dim() not in (3, 4) or (labels.dim() == 4 and labels.shape[1] != 1):
        raise ValueError(f'labels must be (B, H, W) or (B, 1, H, W), got {tuple(labels.shape)}')
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f'labels must be integers, got {labels.dtype}')
    if not isinstance(rng, (np.random.RandomState, np.random.Generator)):
        raise TypeError(f'rng must be a numpy RandomState or Generator, got {type(rng).__name__}')
    candidates = torch.unique(labels) if classes is None else classes.to(labels.device)
    if candidates.dim() != 1 or candidates.numel() == 0:
        raise ValueError('need a non-empty 1-D tensor of candidate classes, got shape '
                         f'{tuple(candidates.shape)}; labels have shape {tuple(labels.shape)}')
    candidates = candidates.long()
    count = candidates.numel()
    picks = [rng.choice(count, (count + 1) // 2, replace=False) for _ in range(labels.shape[0])]
    return [
        candidates[torch.as_tensor(pick, dtype=torch.long, device=labels.device)] for pick in picks
    ]


def class_mask(label: Tensor, classes: Tensor) -> Tensor:
    """Mark the pixels whose label is one of ``classes``.

    Args:
        label: Integer (H, W), class ids and 255.
        classes: Integer (k,); ids that do not occur in ``label`` select nothing.

    Returns:
        bool (H, W), on the device of ``label``.

    Raises:
        ValueError: ``label`` is not 2-D or ``classes`` is not 1-D.
    """
    if label.dim() != 2:
        raise ValueError(f'label must be (H, W), got {tuple(label.shape)}; call once per image of '
                         'a batch')
    if classes.dim() != 1:
        raise ValueError(f'classes must be 1-D, got {tuple(classes.shape)}')
    return class_membership(label, classes)


def mix(mask: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """Take ``foreground`` where the mask is true and ``background`` elsewhere.

    Args:
        mask: bool, one of (H, W): for every leading dimension of the images; (B, H, W): per image,
            also for images (B, C, H, W); (B, 1, H, W).
        foreground: Any dtype (..., H, W): an image, a label map or a weight map.
        background: Same shape and dtype.

    Returns:
        Shape and dtype of ``foreground``; every element comes from exactly one of the two,
        unchanged.

    Raises:
        ValueError: Unequal shapes or dtypes, a mask that is not bool or does not fit.
    """
    if foreground.shape != background.shape or foreground.dtype != background.dtype:
        raise ValueError(f'foreground {tuple(foreground.shape)} {foreground.dtype} and background '
                         f'{tuple(background.shape)} {background.dtype} must agree in shape and '
                         'dtype')
    if mask.dtype != torch.bool:
        raise ValueError(
            f'mask must be bool, got {mask.dtype}; use mask.bool() if it holds 0 and 1')
    shape = tuple(mask.shape)
    if mask.dim() == 3 and foreground.dim() == 4:
        mask = mask.unsqueeze(1)
    # as in broadcasting, dimensions are compared from the last one on
    fits = mask.dim() <= foreground.dim() and mask.shape[-2:] == foreground.shape[-2:] and all(
        m in (1, f) for m, f in zip(mask.shape[::-1], foreground.shape[::-1]))
    if mask.dim() < 2 or not fits:
        raise ValueError(f'mask {shape} does not fit images {tuple(foreground.shape)}')
    return torch.where(mask, foreground, background)
