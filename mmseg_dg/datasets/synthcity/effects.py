"""What lies between the street and the lens: haze, lamps at night, wet roads, rain, the own bonnet.

Sizes, colors, strengths and chances are drawn from ranges chosen by eye; colors are BGR 0..255.

Shapes: H x W pixels.
"""
from collections.abc import Sequence

import cv2
import numpy as np

from .background import Ground
from .camera import Camera
from .dice import Dice
from .labels import IGNORE, ROAD, SKY
from .looks import Look
from .stage import Lamp


def add_haze(image: np.ndarray, label: np.ndarray, depth: np.ndarray, density: float,
             color: np.ndarray) -> None:
    """Fade distant things into the horizon's color, in place.

    Args:
        image: float32 (H, W, 3).
        label: uint8 (H, W); the sky is left alone unless the haze is fog.
        depth: float32 (H, W), meters.
        density: Extinction in 1/m.
        color: BGR (3,).
    """
    clear = cv2.exp(depth * np.float32(-density))  # share of an object's own light that remains
    clear[label == SKY] = 0.25 if density > 0.02 else 1.0  # fog hides most of the sky
    # in place: color + clear * (image - color)
    image -= color.astype(np.float32)
    image *= clear[..., None]
    image += color.astype(np.float32)


def add_headlights(image: np.ndarray, ground: Ground, strength: float) -> None:
    """Light the road ahead by the own headlights, in place; ``strength`` is :attr:`Look.lamps`."""
    ahead = np.maximum(ground.z, 0)
    # the beam widens with the distance (half width in meters) and fades over 14 m
    beam = np.exp(-(np.abs(ground.x) / (1.2 + ahead * 0.22))**2 - ahead / 14) * ground.seen
    image[ground.top:] *= (1 + np.float32(2.4 * strength) * beam)[..., None]


def add_lamps(image: np.ndarray, lamps: Sequence[Lamp], camera: Camera, depth: np.ndarray,
              strength: float) -> None:
    """Add lamps that are not hidden, with their glow, in place.

    Args:
        image: float32 (H, W, 3).
        lamps: With world positions, radius in meters and color.
        camera: The camera.
        depth: float32 (H, W), meters.
        strength: Of the glow, 0..1.
    """
    glow = np.zeros_like(image)
    for lamp in lamps:
        spot = camera.locate((lamp.x, lamp.y, lamp.z))
        # the lamp is outside the picture, or something stands before it: nearer by more than a
        # factor of 1.15, so that the lamp's own head does not hide it
        if spot is None or depth[spot[1], spot[0]] < spot[2] / 1.15:
            continue
        radius = max(1, int(camera.focal * lamp.radius * 0.35 / spot[2]))
        cv2.circle(glow, spot[:2], radius, tuple(float(c) for c in lamp.color), -1)
    scale = image.shape[1] / 512
    # a halo of two widths, blurred at a quarter of the size, which is as good and faster
    small = cv2.resize(glow, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(small,
                            (0, 0), 1.2 * scale) * 1.6 + cv2.GaussianBlur(small,
                                                                          (0, 0), 4 * scale) * 2.2
    glow *= 0.7
    glow += cv2.resize(wide, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    glow *= min(1.0, 0.4 + strength)
    image += glow


def add_reflections(image: np.ndarray, label: np.ndarray, camera: Camera, strength: float) -> None:
    """Mirror in the road what is above the horizon, blurred, in place, where ``label`` is road;
    ``strength`` 0..1 is how wet it is.
    """
    horizon = int(
        np.clip(camera.center_y + camera.focal * camera.rotation[1, 2] / camera.rotation[2, 2], 1,
                camera.height - 1))
    rows = min(horizon, camera.height - horizon)
    mirrored = image[horizon - rows:horizon][::-1]
    small = cv2.resize(mirrored, None, fx=0.5, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 2.5 * image.shape[1] / 512)
    mirrored = cv2.resize(small, mirrored.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    below = image[horizon:horizon + rows]  # a view: what is added to it is added to the image
    wet = (label[horizon:horizon + rows] == ROAD) * np.float32(strength)
    below += wet[..., None] * (mirrored - 0.6 * below)  # a wet road is darker itself


def add_bonnet(image: np.ndarray, label: np.ndarray, dice: Dice, brightness: float) -> None:
    """Cover the bottom of the picture by the own bonnet, whose label is IGNORE; in place. Its gray
    is multiplied by ``brightness``, the mean of the ambient light.
    """
    height, width = label.shape
    top, gray = height * dice.uniform(0.9, 0.97), dice.pick((25, 60, 130, 200)) * brightness
    # its edge is a parabola, highest in the middle
    columns = np.linspace(0, width, 40)
    rows = top + (height - top) * 0.8 * ((columns - width / 2) / (width / 2))**2
    mask = np.zeros((height, width), np.uint8)
    corners = np.vstack([np.stack([columns, rows], 1), [(width, height + 9), (0, height + 9)]])
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    inside = mask > 0
    first = int(top)  # row of its upper end
    # it mirrors the upper end of the picture, upside down, blurred and dark
    mirrored = cv2.GaussianBlur(image[:height - first][::-1], (0, 0), 6 * width / 512) * 0.25 + gray
    image[first:][inside[first:]] = mirrored[inside[first:]]
    label[inside] = IGNORE


def add_rain(image: np.ndarray, dice: Dice) -> None:
    """Add streaks of rain to an image float32 (H, W, 3), in place."""
    height, width = image.shape[:2]
    streaks = np.zeros((height, width), np.uint8)
    slant = dice.uniform(-0.15, 0.15)
    count = int(width * height * 0.0016)  # streaks: 1.6 per 1000 pixels
    starts = dice.rng.random((count, 2)) * (width, height * 1.1)
    lengths = dice.rng.uniform(0.02, 0.075, count) * height
    ends = starts + np.stack([slant * lengths, lengths], 1)
    lines = np.stack([starts, ends], 1).astype(np.int32)
    cv2.polylines(streaks, list(lines), False, 34, 1, cv2.LINE_AA)  # 34 gray levels brighter
    image += streaks[..., None]


def draw_haze(dice: Dice, look: Look) -> float:
    """The extinction of one picture, 1/m."""
    return dice.uniform(*look.haze)
