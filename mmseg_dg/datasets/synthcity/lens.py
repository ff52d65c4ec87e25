"""From light to a file's pixels: exposure, blur, noise; for the ``camera`` domain a cheap camera's
faults.

Sizes, colors, strengths and chances are drawn from ranges chosen by eye; colors are BGR 0..255.

Shapes: H x W pixels.
"""
import cv2
import numpy as np

from .dice import Dice
from .looks import Look
from .noise import sensor


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (H, 1) and columns (1, W) of a picture in [-1, 1], float32."""
    return np.linspace(-1, 1, height,
                       dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]


def _vignette(height: int, width: int, strength: float) -> np.ndarray:
    """Factors of brightness (H, W): 1 in the center, 1 - ``strength`` in the corners."""
    y, x = _grid(height, width)
    return 1 - np.float32(strength / 2) * (x * x + y * y)


def _ramp(dice: Dice, height: int, width: int) -> np.ndarray:
    """(H, W) from 0 on one side of the picture to 1 on the other; direction and place of the
    passage are drawn.
    """
    y, x = _grid(height, width)
    angle, offset, steepness = dice.uniform(0, 2 * np.pi), dice.uniform(-0.5,
                                                                        0.5), dice.uniform(2, 6)
    return 1 / (1 + np.exp(
        np.float32(-steepness) *
        (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) - np.float32(offset))))


def _glare(dice: Dice, height: int, width: int) -> np.ndarray:
    """Stray light around a drawn spot, (H, W, 3), gray levels that are added to the picture."""
    y, x = _grid(height, width)
    top, left, radius = dice.uniform(-1, 0.6), dice.uniform(-1, 1), dice.uniform(0.35, 0.9)
    spot = np.exp(-((x - np.float32(left))**2 +
                    ((y - np.float32(top)) / 2)**2) / np.float32(2 * radius**2))
    color = np.array([dice.uniform(0.7, 1), dice.uniform(0.9, 1), 1], np.float32)
    return spot[..., None] * color * np.float32(dice.uniform(0, 60))


def _noise(dice: Dice, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """A drawn window (H, W, 3) of the fixed noise of a ``kind``, tiled where the picture is larger.
    """
    tile = sensor(kind)
    top, left = dice.integer(0, tile.shape[0]), dice.integer(0, tile.shape[1])
    flip = dice.pick((1, -1))  # of the rows: makes the fixed noise look different
    rows = (np.arange(shape[0]) * flip + top) % tile.shape[0]
    columns = (np.arange(shape[1]) + left) % tile.shape[1]
    return tile[rows[:, None], columns[None]]


def develop(image: np.ndarray, dice: Dice, look: Look) -> np.ndarray:
    """Turn light into pixels.

    Args:
        image: float32 (H, W, 3) BGR, 255 is white, not clipped; changed.
        dice: Source of the draws.
        look: Look of the picture.

    Returns:
        uint8 (H, W, 3) BGR.
    """
    if look.photo:
        return _photograph(image, dice)
    gain, gamma, blur = dice.uniform(0.85, 1.15), dice.uniform(0.85, 1.15), dice.uniform(0.3, 0.6)
    image *= _vignette(image.shape[0], image.shape[1], dice.uniform(0, 0.3))[..., None]
    # one curve per color: gain, gamma and a slight cast
    curve = [
        255 * (np.arange(256) / 255 * gain)**gamma * (1 + dice.normal(0.025)) for _ in range(3)
    ]
    table = np.clip(np.stack(curve, 1), 0, 255).astype(np.uint8)[None]
    pixels = cv2.GaussianBlur(_to_bytes(image), (0, 0), blur)
    noise = _noise(dice, pixels.shape, 'white') * np.float32(dice.uniform(*look.noise))
    return cv2.add(cv2.LUT(pixels, table), noise, dtype=cv2.CV_8U)


def _to_bytes(image: np.ndarray) -> np.ndarray:
    """The image as uint8; ``image`` itself is clipped to 0..255 in place."""
    return np.clip(image, 0, 255, out=image).astype(np.uint8)


def _photograph(image: np.ndarray, dice: Dice) -> np.ndarray:
    """A picture of a cheap camera that is never the same: exposure, light, focus, color cast and
    noise of their own.

    Most faults change over the picture, too: one half in the shade, stray light around a spot, one
    side out of focus. The average brightness of many pictures is about that of ``day``: one gain
    and one offset per color for all of them would undo little of the difference.
    """
    height, width = image.shape[:2]
    scale = width / 512  # blurs are given for a picture 512 pixels wide
    # exposure; even in the logarithm, so that darker and brighter are drawn alike
    image *= np.float32(np.exp(dice.uniform(np.log(0.65), np.log(1.45))))
    # what is brighter than 190 of 255 glows into its surroundings
    bright = cv2.resize(np.maximum(image - 190, 0), None, fx=0.25, fy=0.25,
                        interpolation=cv2.INTER_AREA)
    bright = cv2.GaussianBlur(bright, (0, 0), 3 * scale)
    image += 0.7 * cv2.resize(bright, (width, height), interpolation=cv2.INTER_LINEAR)
    # darker corners, and one side in the shade (the ramp is 1 there)
    image *= (_vignette(height, width, dice.uniform(0.2, 0.7)) *
              (1 - np.float32(dice.uniform(0, 0.5)) * _ramp(dice, height, width)))[..., None]
    image = _fringes(image, dice.uniform(-1.2, 1.2) * scale)
    image = cv2.GaussianBlur(image, (0, 0), dice.uniform(0.3, 0.8) * scale)
    # one side out of focus
    soft = cv2.GaussianBlur(image, (0, 0), dice.uniform(0.5, 1.5) * scale)
    image += _ramp(dice, height, width)[..., None] * (soft - image)
    if dice.chance(0.2):
        image = cv2.blur(image, (3, 1))  # the camera moved
    # weaker colors, with a cast
    gray = image.mean(2, keepdims=True)
    cast = np.array([dice.uniform(0.8, 1.2),
                     dice.uniform(0.92, 1.08),
                     dice.uniform(0.8, 1.2)], np.float32)
    image = (gray + (image - gray) * np.float32(dice.uniform(0.6, 1.05))) * cast
    image += _glare(dice, height, width)
    # a film-like shoulder: bright values are compressed, 255 stays 255
    image = 255 * (1 - np.exp(image * np.float32(-0.8 / 255))) / np.float32(1 - np.exp(-0.8))
    image *= np.float32(dice.uniform(0.8, 1.0))
    noise = _noise(dice, image.shape, 'blotchy')
    noise = 0.45 * noise + 0.75 * noise[..., :1]  # more in brightness than in color
    # stronger in dark places
    image += noise * np.float32(dice.uniform(1, 6)) * (1.4 - image * np.float32(1 / 255))
    coded = cv2.imencode('.jpg', _to_bytes(image),
                         [cv2.IMWRITE_JPEG_QUALITY, dice.integer(25, 60)])[1]
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded above
    return decoded


def _fringes(image: np.ndarray, pixels: float) -> np.ndarray:
    """Magnify red and shrink blue about the center, by ``pixels`` at the left and right edge
    (lateral chromatic aberration); below 0 the other way round.
    """
    height, width = image.shape[:2]
    channels = list(cv2.split(image))
    for channel, sign in ((0, -1), (2, 1)):  # blue, red
        k = 1 + sign * pixels * 2 / width
        matrix = np.array([[k, 0, (1 - k) * width / 2], [0, k, (1 - k) * height / 2]])
        channels[channel] = cv2.warpAffine(channels[channel], matrix, (width, height),
                                           borderMode=cv2.BORDER_REPLICATE)
    return cv2.merge(channels)
