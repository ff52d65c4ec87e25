"""Images painted with their classes: the picture that the network was shown, colors, a legend.

Shapes: H x W pixels, C channels.
"""
from collections.abc import Sequence
from typing import Any, Optional

import cv2
import numpy as np

from mmseg_dg.datasets.transforms.load_stack import LoadImageStack
from mmseg_dg.visualization.tiles import colorize, heat

from .inputs import Input

_PLAIN_WIDTH = 1000  # pixels up to which a legend has the sizes below; wider ones grow with it
_ROW = 22  # pixels of a row of the legend; a square and a name fit in
_SQUARE = 12  # side in pixels of the legend's colored squares
_MARGIN = 6  # pixels left of the first square
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42  # of the legend's names


def picture_of(item: Input, loader: Any) -> np.ndarray:
    """What the network was shown, as people see it.

    Args:
        item: A file, or the frame of a video, uint8 (H, W, 3) in BGR order.
        loader: The loading step of the model's pipeline. It turns a photo as its EXIF entry says
            and scales deep images to 0..255, so that the picture fits the prediction.

    Returns:
        uint8 (H, W, 3) RGB. Of stacks the first three channels; the first one alone, as gray, where
        there are fewer.
    """
    image = np.atleast_3d(loader(dict(img_path=item.value))['img'] if item.is_file else item.value)
    if image.shape[2] < 3:
        image = np.repeat(image[..., :1], 3, axis=2)
    image = image[..., :3]
    # a stack has the channels in the order of its file, everything else is BGR
    if not (item.is_file and isinstance(loader, LoadImageStack)):
        image = image[..., ::-1]
    return np.ascontiguousarray(np.rint(image.clip(0, 255)).astype(np.uint8))


def painted(image: np.ndarray, ids: np.ndarray, names: Sequence[str],
            palette: Sequence[Sequence[int]], confidence: Optional[np.ndarray] = None,
            opacity: float = 0.55) -> np.ndarray:
    """The image under the colors of its classes, with a legend of those that occur; beside it the
    confidence.

    Args:
        image: uint8 (H, W, 3) RGB.
        ids: (H, W) class ids.
        names: Class names.
        palette: RGB per class.
        confidence: (H, W) in 0..1; None leaves it out.
        opacity: Of the colors, 0..1.

    Returns:
        uint8 (H', W', 3) RGB: the legend below, so that H' > H; W' = W, with confidence 2 W, or
        more, with white at the right, where a name of the legend needs it.
    """
    if image.shape[:2] != ids.shape:
        image = cv2.resize(image, ids.shape[::-1], interpolation=cv2.INTER_AREA)
    mixed = np.rint(image * (1 - opacity) + colorize(ids, palette) * opacity).astype(np.uint8)
    if confidence is not None:
        mixed = np.concatenate([mixed, heat(confidence)], axis=1)
    present = [i for i in np.unique(ids) if i < len(names)]
    legend = _legend(present, names, palette, mixed.shape[1])
    missing = legend.shape[1] - mixed.shape[1]
    mixed = np.pad(mixed, ((0, 0), (0, missing), (0, 0)), constant_values=255)
    return np.concatenate([mixed, legend], axis=0)


def _legend(present: Sequence[int], names: Sequence[str], palette: Sequence[Sequence[int]],
            width: int) -> np.ndarray:
    """Rows of colored squares with names on white for the classes ``present``, uint8 (h, w, 3):
    ``w`` is ``width``, or what the longest name needs.
    """
    scale = max(1.0, width / _PLAIN_WIDTH)  # a photo of 4000 pixels is looked at as a whole
    thick = round(scale)

    def px(length: float) -> int:
        return round(length * scale)

    # (class, x, row) of each; a new row where the next name would not fit
    places, x, row, end = [], px(_MARGIN), 0, width
    for i in present:
        (text_width, _), _ = cv2.getTextSize(str(names[i]), _FONT, _FONT_SCALE * scale, thick)
        needed = text_width + px(30)  # with the square, and space to the next class
        if x + needed > width and x > px(_MARGIN):
            x, row = px(_MARGIN), row + 1
        places.append((i, x, row))
        x += needed
        end = max(end, x)  # beyond ``width`` for a name longer than the image is wide
    strip = np.full(((row + 1) * px(_ROW), end, 3), 255, np.uint8)
    for i, x, row in places:
        top = row * px(_ROW) + px(5)
        corners = (x, top), (x + px(_SQUARE), top + px(_SQUARE))
        cv2.rectangle(strip, *corners, tuple(int(c) for c in palette[i]), -1)  # -1: filled
        cv2.rectangle(strip, *corners, (90, 90, 90), thick)  # a gray border
        # the point is the left end of the text's base line
        cv2.putText(strip, str(names[i]), (x + px(17), top + px(11)), _FONT, _FONT_SCALE * scale,
                    (30, 30, 30), thick, cv2.LINE_AA)
    return strip


def distinct_colors(count: int) -> list[list[int]]:
    """Distinct colors where the dataset has none, [red, green, blue] each: hues that differ by the
    golden angle of 137.508 degrees, so that any number of them is well spread.
    """
    # one row of pixels (hue, saturation, value); OpenCV counts hues in 2 degrees, 0..179
    hsv = np.array([[[int(i * 137.508 / 2) % 180, 190, 230] for i in range(count)]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0].tolist()
