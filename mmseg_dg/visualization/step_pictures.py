"""One training step as one picture (docs/behavior/daformer_hrda.md#logging-and-debug-images: two
rows, five columns).

Shapes: B images, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np
from torch import Tensor

from .tiles import Tile, colorize, compose, heat, image_to_rgb, mask_picture, scaled_size


def step_grid(record: Any, mean: Sequence[float], std: Sequence[float],
              palette: Sequence[Sequence[int]], index: int = 0, tile: int = 320) -> np.ndarray:
    """Draw image ``index`` of a recorded training step.

    First row: source image, source label, mixed image, pseudo-label weight, feature distance mask.
    Second row: target image, pseudo-label, mix mask, mixed label, valid mask, masked image. What
    the record lacks is left out; a method without target stream (supervised training) gives one
    row.

    Args:
        record: :class:`mmseg_dg.methods.step.StepRecord`, or what has the same ``batch``
            (``{stream: dict(inputs (B, 3, H, W) normalized RGB, data_samples)}``) and ``state``
            (its attributes, where they are not None: ``pseudo_label`` (B, H, W), ``pseudo_weight``
            (B, H, W) in [0, 1], ``mixed_image`` (B, 3, H, W), ``noisy_image``, ``denoised_image``
            and ``masked_image`` (likewise), ``mixed_label``, ``mixed_weight``, ``mix_mask``,
            ``distance_mask`` (B, h, w) and ``valid_mask``).
        mean: Of the normalization, 0..255 scale, RGB.
        std: Of the normalization, 0..255 scale, RGB.
        palette: RGB color per class.
        index: Which image of the batch.
        tile: Longest side of one tile in pixels; larger images are shown smaller.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    rows = step_tiles(record, mean, std, palette, index)
    first = rows[0][0]
    return compose(rows, scaled_size(first.picture, tile))


def step_tiles(record: Any, mean: Sequence[float], std: Sequence[float],
               palette: Sequence[Sequence[int]], index: int = 0) -> list[list[Tile]]:
    """The tiles of :func:`step_grid`, without empty rows; methods with more to show append rows of
    their own.

    Raises:
        ValueError: The record has no stream with image ``index``.
    """
    batch = record.batch
    labeled, unlabeled = _streams(batch)
    source = _sample(batch, labeled, index)
    target = _sample(batch, unlabeled, index)

    # the four kinds of tiles (a picture, class ids, a mask, weights in [0, 1]); None for what the
    # record lacks
    def image(caption: str, data: Optional[Tensor]) -> Optional[Tile]:
        return None if data is None else Tile(caption, image_to_rgb(data, mean, std))

    def label(caption: str, data: Optional[Tensor]) -> Optional[Tile]:
        return None if data is None else Tile(caption, colorize(data, palette), nearest=True)

    def mask(caption: str, data: Optional[Tensor]) -> Optional[Tile]:
        if data is None:
            return None
        share = float((data > 0).float().mean())  # a mask that holds everywhere is a white picture
        return Tile(f'{caption} {100 * share:.0f}%', mask_picture(data), nearest=True)

    def weight(caption: str, data: Optional[Tensor]) -> Optional[Tile]:
        return None if data is None else Tile(caption, heat(data), nearest=True)

    pick = _picker(vars(record.state), index)  # name of an attribute of the state -> its image
    valid = pick('valid_mask')
    rows = [[
        image(f'{labeled} image', source.get('image')),
        label(f'{labeled} label', source.get('label')),
        image('mixed image', pick('mixed_image')),
        _weight_tile(weight, pick('pseudo_weight'), pick('mixed_weight')),
        mask('distance mask', pick('distance_mask'))
    ],
            [
                image(f'{unlabeled} image', target.get('image')),
                image('noisy image', pick('noisy_image')),
                image('denoised image', pick('denoised_image')),
                label('pseudo-label', pick('pseudo_label')),
                mask('mix mask', pick('mix_mask')),
                label('mixed label', pick('mixed_label')),
                mask('valid mask',
                     target.get('valid') if valid is None else valid),
                image('masked image', pick('masked_image'))
            ]]
    kept = [[tile for tile in row if tile is not None] for row in rows]
    kept = [row for row in kept if row]
    if not kept:
        raise ValueError(f'the step record has no image {index}: its streams are {list(batch)}')
    return kept


def _weight_tile(weight: Callable[[str, Tensor], Optional[Tile]], pseudo: Optional[Tensor],
                 mixed: Optional[Tensor]) -> Optional[Tile]:
    """The tile of the weights: of the pseudo-labels before mixing if there are any, else of the
    mixed image; its caption has their mean. ``weight`` makes a tile.
    """
    data = pseudo if pseudo is not None else mixed
    if data is None:
        return None
    return weight(
        f'{"pseudo" if pseudo is not None else "mixed"} weight '
        f'{float(data.float().mean()):.2f}', data)


def _streams(batch: Mapping[str, Any]) -> tuple[Optional[str], Optional[str]]:
    """Name of the first stream with labels and of the first other one ('source' and 'target' in
    domain adaptation).
    """
    labeled = next(
        (name for name in batch if any('gt_sem_seg' in s for s in _samples(batch[name])[:1])), None)
    others = [name for name in batch if name != labeled]
    return labeled, (others[0] if others else None)


def _samples(entry: Mapping[str, Any]) -> Sequence[Any]:
    """The data samples of a stream's batch; empty where it has none."""
    return entry.get('data_samples') or []


def _sample(batch: Mapping[str, Any], stream: Optional[str], index: int) -> dict[str, Tensor]:
    """One sample of a stream as ``{'image', 'label', 'valid'}`` (its image, label and valid mask),
    as far as it has them; empty without this stream or sample.
    """
    if stream is None or index >= len(batch[stream]['inputs']):
        return {}
    found = {'image': batch[stream]['inputs'][index]}
    samples = _samples(batch[stream])
    if index < len(samples):
        for key, name in (('gt_sem_seg', 'label'), ('valid_pseudo_mask', 'valid')):
            if key in samples[index]:
                found[name] = samples[index].get(key).data
    return found


def _picker(state: Mapping[str, Any], index: int) -> Callable[[str], Optional[Tensor]]:
    """A function ``pick(key)``: image ``index`` of a batched tensor of the state, or None."""
    def pick(key: str) -> Optional[Tensor]:
        """The image of one attribute; None if it is no tensor or has too few images."""
        value = state.get(key)
        if not isinstance(value, Tensor) or index >= len(value):
            return None
        return value[index].detach()

    return pick
