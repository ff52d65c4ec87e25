"""Images, ground truth and the predictions of several models side by side.

Shapes: H x W pixels.
"""
from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np

from .tiles import Tile, colorize, compose, scaled_size


def prediction_grid(images: Sequence[np.ndarray], labels: Optional[Sequence],
                    predictions: Mapping[str, Sequence], palette: Sequence[Sequence[int]],
                    tile: int = 384, inputs: bool = True) -> np.ndarray:
    """One row per image: image, ground truth, one column per named model.

    Args:
        images: uint8 (H, W, 3) RGB each.
        labels: Ids (H, W) per image, 255 ignored; None (or a None entry) where there is no ground
            truth.
        predictions: Model name to ids (H, W) per image.
        palette: RGB color per class.
        tile: Longest side of a tile in pixels.
        inputs: Show images and ground truth; False leaves predictions only, for data that must not
            be passed on.

    Returns:
        uint8 (H, W, 3) RGB. Every tile has the first image's shape.

    Raises:
        ValueError: No image, or lists of different length.
    """
    if not len(images):
        raise ValueError('prediction_grid needs at least one image')
    for name, entries in [('labels', labels), *predictions.items()]:
        if entries is not None and len(entries) != len(images):
            raise ValueError(f'prediction_grid got {len(images)} images, but {len(entries)} '
                             f'entries of {name!r}')
    rows: list[list[Optional[Tile]]] = []
    for i, image in enumerate(images):
        row: list[Optional[Tile]] = [Tile('image', np.ascontiguousarray(image))] if inputs else []
        if labels is not None and inputs:
            truth: Optional[Tile] = None  # leaves its place in the row empty
            if labels[i] is not None:
                truth = Tile('ground truth', colorize(labels[i], palette), nearest=True)
            row.append(truth)
        row += [
            Tile(name, colorize(entries[i], palette), nearest=True)
            for name, entries in predictions.items()
        ]
        rows.append(row)
    return compose(rows, scaled_size(images[0], tile))
