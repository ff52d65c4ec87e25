"""What the streams of a training hand to the network, before any network is there.

Shapes: B images, H x W pixels.
"""
import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import cv2
import numpy as np
import torch
from torch import Tensor

from mmseg_dg.ops import pseudo_label_weights

from .tiles import Tile, colorize, compose, heat, image_to_rgb, mask_picture, scaled_size

_OPACITY = 0.5  # of labels painted over a picture


def overlay(picture: np.ndarray, labels: Any, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """The picture with its labels painted over it; ignored pixels (255) stay as they are, darkened.

    Args:
        picture: uint8 (H, W, 3) RGB.
        labels: Ids (H, W) or (1, H, W).
        palette: RGB per class.
    """
    return np.round(picture * (1 - _OPACITY) + colorize(labels, palette) * _OPACITY).astype(
        np.uint8)


def stream_grid(samples: Sequence[dict], palette: Sequence[Sequence[int]],
                classes: Sequence[str] = (), tile: int = 320) -> np.ndarray:
    """One row per sample: image, labels over it, mask of pseudo-labels that count; what no sample
    has is left out.

    Args:
        samples: As a pipeline packs them: ``inputs`` uint8 (3, H, W) BGR and ``data_samples``.
        palette: RGB per class.
        classes: Names, to say which class a rare class sampler wanted.
        tile: Longest side of a tile in pixels.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ValueError: No sample.
    """
    if not len(samples):
        raise ValueError('stream_grid needs at least one sample')
    rows = []
    for sample in samples:
        info = sample['data_samples']
        # (3, H, W) BGR -> (H, W, 3) RGB
        picture = np.ascontiguousarray(sample['inputs'].permute(1, 2, 0).numpy()[..., ::-1])
        row: list[Optional[Tile]] = [
            Tile(osp.basename(info.metainfo.get('img_path', 'image')), picture)
        ]
        if 'gt_sem_seg' in info:
            wanted = info.metainfo.get('wanted_class')  # id, put there by a rare class sampler
            name = ''
            if wanted is not None:
                name = f', for {classes[wanted] if wanted < len(classes) else wanted}'
            row.append(Tile(f'label{name}', overlay(picture, info.gt_sem_seg.data, palette)))
        if 'valid_pseudo_mask' in info:
            row.append(
                Tile('pseudo-labels count', mask_picture(info.valid_pseudo_mask.data),
                     nearest=True))
        rows.append(row)
    return compose(rows, _tile_size(rows, tile))


def mixed_grid(batch: Mapping[str, Mapping], state: Mapping[str, Tensor], mean: Sequence[float],
               std: Sequence[float], palette: Sequence[Sequence[int]], tile: int = 320,
               trained: bool = True) -> np.ndarray:
    """One row per image of a batch: the images of each stream, the mixed one, its labels over it,
    its weight.

    Args:
        batch: Preprocessed streams, ``inputs`` (B, 3, H, W) normalized RGB.
        state: ``mixed_image`` (B, 3, H, W), ``mixed_label`` (B, H, W), ``mixed_weight`` (B, H, W)
            in [0, 1].
        mean: Of the normalization, 0..255 scale, RGB.
        std: Of the normalization, 0..255 scale, RGB.
        palette: RGB per class.
        tile: Longest side of a tile in pixels.
        trained: As for :func:`mixed_state`; False is said in the caption of the weight.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    caption = 'weight, mean ' if trained else 'weight of a sure teacher, mean '
    rows: list[list[Optional[Tile]]] = []
    for i, mixed in enumerate(state['mixed_image']):
        row: list[Optional[Tile]] = [
            Tile(name, image_to_rgb(stream['inputs'][i], mean, std))
            for name, stream in batch.items()
        ]
        picture, weight = image_to_rgb(mixed, mean, std), state['mixed_weight'][i]
        row += [
            Tile('mixed', picture),
            Tile('mixed label', overlay(picture, state['mixed_label'][i], palette)),
            Tile(f'{caption}{float(weight.mean()):.2f}', heat(weight), nearest=True)
        ]
        rows.append(row)
    return compose(rows, _tile_size(rows, tile))


def strong_grid(weak: Tensor, strong: Sequence[Tensor],
                boxes: Sequence[Sequence[Optional[Sequence[int]]]], mean: Sequence[float],
                std: Sequence[float], tile: int = 320) -> np.ndarray:
    """One row per unlabeled image: the weak view and its strong views, with a frame around what
    CutMix pasted.

    Args:
        weak: (B, 3, H, W) normalized RGB.
        strong: Strong views, each like ``weak``.
        boxes: ``[k][i]``: box (y1, y2, x1, x2) of image i in view k, or None; empty without CutMix.
        mean: Of the normalization, 0..255 scale, RGB.
        std: Of the normalization, 0..255 scale, RGB.
        tile: Longest side of a tile in pixels.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    rows: list[list[Optional[Tile]]] = []
    for i, image in enumerate(weak):
        row: list[Optional[Tile]] = [Tile('weak', image_to_rgb(image, mean, std))]
        for k, view in enumerate(strong):
            picture = image_to_rgb(view[i], mean, std)
            box = boxes[k][i] if boxes else None
            if box is not None:
                y1, y2, x1, x2 = box
                cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), (255, 255, 0), 1)
            row.append(
                Tile(f'strong {k + 1}' + ('' if box is None else ', frame: '
                                          'CutMix'), picture))
        rows.append(row)
    return compose(rows, _tile_size(rows, tile))


def legend(classes: Sequence[str], palette: Sequence[Sequence[int]],
           width: int = 240) -> np.ndarray:
    """Color and name of every class, one per line; uint8 (H, W, 3) RGB."""
    height = 22  # pixels of a line: a square of color, then id and name
    picture = np.full((height * max(1, len(classes)), width, 3), 255, np.uint8)
    for i, (name, color) in enumerate(zip(classes, palette)):
        picture[i * height + 2:(i + 1) * height - 2, 2:32] = color
        cv2.putText(picture, f'{i} {name}', (40, (i + 1) * height - 6), cv2.FONT_HERSHEY_SIMPLEX,
                    0.45, (30, 30, 30), 1, cv2.LINE_AA)
    return picture


@torch.no_grad()
def mixed_state(method: Any, batch: Mapping[str, Mapping], draws: Any,
                trained: bool = False) -> dict[str, Tensor]:
    """Mixed images, labels and weights of a method that has ``mix_batch``, as :func:`mixed_grid`
    takes them.

    Args:
        method: Such as ``DACS``.
        batch: Preprocessed streams.
        draws: Result of its ``draw_step``.
        trained: The method's networks have weights: its own pseudo-label pass gives labels and
            weights. Otherwise pseudo-labels are 255 (unknown) and the weight is what a teacher that
            is sure everywhere would give: it shows margins and masks.
    """
    if trained:
        # of a whole training step only the pass that makes the pseudo-labels: it writes them and
        # their weights into the state
        state = method.state_type()
        next(p for p in method.passes(batch, draws, state) if p.name == 'pseudo_labels').fn()
        labels, weight = state.pseudo_label, state.pseudo_weight
    else:
        labels, weight = _ignored_labels(method, batch[method.target_stream])
    image, label, weight, mask = method.mix_batch(batch, draws, labels, weight)
    return dict(mixed_image=image, mixed_label=label, mixed_weight=weight, mix_mask=mask)


def _ignored_labels(method: Any, target: Mapping) -> tuple[Tensor, Tensor]:
    """Stand-ins for the pseudo-labels of target images while there is no teacher.

    Args:
        method: Its ``use_valid_mask``, ``ignore_top`` and ``ignore_bottom`` (rows) say which pixels
            have no pseudo-label.
        target: Batch of the target stream: ``inputs`` and ``data_samples``.

    Returns:
        int64 (B, H, W) of 255, all ignored; and weights (B, H, W) as of a teacher that is sure of
        every pixel: 1, but 0 in rows without pseudo-labels and outside the valid mask.
    """
    images = target['inputs']
    shape = (len(images), *images.shape[-2:])
    valid = None
    if method.use_valid_mask:
        valid = torch.stack(
            [sample.valid_pseudo_mask.data.squeeze(0) for sample in target['data_samples']])
    # the weight is the share of confident pixels: here 1 of 1
    weight = pseudo_label_weights(shape, torch.tensor(1), 1, method.ignore_top,
                                  method.ignore_bottom, valid)
    return torch.full(shape, 255, dtype=torch.int64,
                      device=images.device), weight.to(images.device, images.dtype)


def _tile_size(rows: Sequence[Sequence[Optional[Tile]]], longest: int) -> tuple[int, int]:
    """(height, width) of the tiles: that of the first picture, made smaller."""
    first = rows[0][0]
    assert first is not None  # a row begins with its image
    return scaled_size(first.picture, longest)
