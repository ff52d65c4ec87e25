"""Small pictures with captions, arranged in rows: what every picture of this package is made of.

Pictures are uint8 (H, W, 3) RGB arrays.

Shapes: H x W pixels.
"""
import os
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

import cv2
import numpy as np
import torch
from torch import Tensor

#: Color of pixels without a label.
IGNORED_COLOR = (0, 0, 0)
_CAPTION_HEIGHT = 18  # pixels
_GAP = 4  # pixels between tiles
_FRAME = (140, 140, 140)  # RGB


class Tile(NamedTuple):
    """One captioned picture.

    Attributes:
        caption: Short text above the picture.
        picture: uint8 (H, W, 3) RGB.
        nearest: Resize without mixing colors (label maps, masks).
    """
    caption: str
    picture: np.ndarray
    nearest: bool = False


def image_to_rgb(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Undo the normalization of one image.

    Args:
        image: (3, H, W) float RGB, ``(rgb - mean) / std``.
        mean: Three numbers on the 0..255 scale.
        std: Three numbers on the 0..255 scale.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    if image.dim() != 3 or image.shape[0] != 3:
        raise ValueError(f'an image is (3, H, W), not {tuple(image.shape)}')
    image = image.detach().float().cpu()
    # (3, 1, 1) each, against (3, H, W)
    scale, offset = (torch.as_tensor(list(x), dtype=torch.float32).view(3, 1, 1)
                     for x in (std, mean))
    # (3, H, W) -> (H, W, 3)
    return (image * scale + offset).round().clamp(0, 255).to(torch.uint8).permute(
        1, 2, 0).contiguous().numpy()


def colorize(labels: Union[Tensor, np.ndarray], palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Class ids in the colors of the dataset.

    Args:
        labels: (H, W) or (1, H, W) integer ids, tensor or array; ids outside the palette (255) are
            black.
        palette: RGB per class.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    ids = np.asarray(_plane(labels).cpu(), dtype=np.int64)
    # one more color, for all ids outside the palette
    table = np.full((len(palette) + 1, 3), IGNORED_COLOR, np.uint8)
    table[:-1] = np.asarray(palette, np.uint8)
    return table[np.where((ids >= 0) & (ids < len(palette)), ids, len(palette))]


def heat(values: Union[Tensor, np.ndarray]) -> np.ndarray:
    """Numbers in [0, 1], others clipped, as colors from dark blue (0) over green to yellow (1):
    (H, W) or (1, H, W) to uint8 (H, W, 3) RGB.
    """
    plane = _plane(values).detach().float().cpu().clamp(0, 1)
    bgr = cv2.applyColorMap((plane * 255).round().to(torch.uint8).numpy(), cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(bgr[..., ::-1])


def mask_picture(mask: Union[Tensor, np.ndarray]) -> np.ndarray:
    """White where the mask, (H, W) or (1, H, W), is above 0, black elsewhere; uint8 (H, W, 3)."""
    plane = (_plane(mask).detach().cpu() > 0).to(torch.uint8).numpy() * np.uint8(255)
    return np.repeat(plane[..., None], 3, axis=2)


def compose(rows: Sequence[Sequence[Optional[Tile]]],
            tile_size: Optional[tuple[int, int]] = None) -> np.ndarray:
    """Arrange tiles in rows under their captions, each in a thin gray frame.

    Args:
        rows: Rows of tiles. None leaves a place empty.
        tile_size: (height, width) of every tile; the first tile's own size by default.

    Returns:
        uint8 (H, W, 3) RGB on white.

    Raises:
        ValueError: There is no tile at all.
    """
    rows = [list(row) for row in rows]
    tiles = [tile for row in rows for tile in row if tile is not None]
    if not tiles:
        raise ValueError('there is no tile to draw')
    height, width = tile_size or tiles[0].picture.shape[:2]
    step_y, step_x = height + _CAPTION_HEIGHT + _GAP, width + _GAP  # from one tile to the next
    canvas = np.full((len(rows) * step_y + _GAP, max(len(row) for row in rows) * step_x + _GAP, 3),
                     255, np.uint8)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            if tile is not None:
                y, x = _GAP + i * step_y, _GAP + j * step_x
                canvas[y:y + _CAPTION_HEIGHT, x:x + width] = _caption(tile.caption, width)
                top = y + _CAPTION_HEIGHT
                # a frame of one pixel around the picture, so that a white one ends somewhere
                canvas[top - 1:top + height + 1, x - 1:x + width + 1] = _FRAME
                canvas[top:top + height, x:x + width] = _fit(tile, height, width)
    return canvas


def save_picture(picture: np.ndarray, path: str) -> None:
    """Write a picture; the suffix (.png, .jpg) chooses the format.

    Raises:
        ValueError: The suffix is not an image format.
    """
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in ('.png', '.jpg', '.jpeg'):
        raise ValueError(f'{path}: pictures are saved as .png, .jpg or .jpeg')
    options: list[int] = [cv2.IMWRITE_JPEG_QUALITY, 92] if suffix != '.png' else []
    ok, data = cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]), options)
    if not ok:
        raise ValueError(f'{path}: the picture of size {picture.shape} could not be encoded')
    with open(path, 'wb') as file:  # unlike cv2.imwrite this fails loudly, and takes any file name
        file.write(data.tobytes())


def scaled_size(picture: np.ndarray, longest: int) -> tuple[int, int]:
    """(height, width) of a picture scaled down so that no side is longer than ``longest``."""
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _fit(tile: Tile, height: int, width: int) -> np.ndarray:
    """The picture of a tile, resized; ``nearest`` tiles (class colors) get no new colors."""
    if tile.picture.shape[:2] == (height, width):
        return tile.picture
    how = cv2.INTER_AREA if tile.picture.shape[0] > height else cv2.INTER_LINEAR
    if tile.nearest:
        how = cv2.INTER_NEAREST
    return cv2.resize(tile.picture, (width, height), interpolation=how)


def _caption(text: str, width: int) -> np.ndarray:
    """A white strip with the text, uint8 (height, ``width``, 3)."""
    strip = np.full((_CAPTION_HEIGHT, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (2, _CAPTION_HEIGHT - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30),
                1, cv2.LINE_AA)
    return strip


def _plane(values: Union[Tensor, np.ndarray]) -> Tensor:
    """A map as a tensor (H, W), without leading axes of length 1."""
    data = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    while data.dim() > 2 and data.shape[0] == 1:
        data = data[0]
    if data.dim() != 2:
        raise ValueError(f'a map is (H, W) or (1, H, W), not {tuple(data.shape)}')
    return data
