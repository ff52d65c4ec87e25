"""Renders one picture of the synthetic city with its labels.

Shapes: H x W pixels.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from . import effects
from .background import cast_shadows, locate_ground, paint_ground, paint_sky
from .camera import Camera
from .canvas import GROUND_SURFACE, SKY_SURFACE, Canvas
from .dice import Dice
from .labels import IGNORE
from .lens import develop
from .looks import DOMAINS, draw_look
from .population import build, draw_population, footprints
from .stage import Stage
from .street import plan_street
from .textures import add_grain, add_textures

VERSION = 2  # raise it with every change that alters a picture: it names the cache folder
SMALLEST, MULTIPLE = 64, 32  # pixels


def check_request(domain: str, size: Sequence[int]) -> None:
    """Raise ValueError for an unknown domain or a size (width, height) that cannot be rendered."""
    if domain not in DOMAINS:
        raise ValueError(f'unknown domain {domain!r} of the synthetic city; choose one of '
                         f'{", ".join(DOMAINS)}')
    if len(size) != 2 or any(int(s) != s or s < SMALLEST or s % MULTIPLE for s in size):
        raise ValueError(f'size {tuple(size)} (width, height) of the synthetic city: both must be '
                         f'multiples of {MULTIPLE} and at least {SMALLEST}')


def render(
    seed: int, index: int, domain: str = 'day',
    size: tuple[int, int] = (512, 256)) -> tuple[np.ndarray, np.ndarray]:
    """Render one picture; the same arguments give the same bytes.

    Streets differ between domains too, so that a target domain does not repeat the source's
    streets.

    Args:
        seed: Seed of the city, >= 0.
        index: Number of the picture, >= 0.
        domain: One of ``looks.DOMAINS``.
        size: (width, height) in pixels, multiples of 32, at least 64.

    Returns:
        Image uint8 (H, W, 3) BGR, and labels uint8 (H, W): Cityscapes train ids 0..18, 255 for the
        own bonnet.

    Raises:
        ValueError: Unknown domain, impossible size, or a negative seed or index.
    """
    check_request(domain, size)
    if seed < 0 or index < 0:
        raise ValueError(
            f'seed {seed} and index {index} of the synthetic city must not be negative')
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # pictures are made in parallel, not their parts
    try:
        return _render(Dice(seed, domain, index), domain, *map(int, size))
    finally:
        cv2.setNumThreads(threads)


def _render(dice: Dice, domain: str, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene and paint it: uint8 image (H, W, 3), BGR, and uint8 label (H, W).

    All draws come from one stream of ``dice``, so that the order of calls belongs to the picture.
    """
    look, light = draw_look(dice, domain)
    camera, street = Camera(dice, width, height), plan_street(dice)
    stage = Stage(canvas=Canvas(camera), dice=dice, street=street, look=look, lamps=[])
    population = draw_population(stage)
    build(stage, population)

    rays = camera.rays()
    ground = locate_ground(camera, rays)
    image, label = np.zeros((height, width, 3), np.float32), np.full((height, width), IGNORE,
                                                                     np.uint8)
    # the sky is painted down to the first row that is ground all over
    filled = np.flatnonzero(ground.seen.all(1))  # rows below ``ground.top`` without sky
    horizon = paint_sky(image, dice, look, rays,
                        ground.top + int(filled[0]) if len(filled) else height)
    paint_ground(image, label, dice, street, look, light, camera, ground)
    cast_shadows(image, camera, light, ground, footprints(stage, population))

    surface = np.full((height, width), SKY_SURFACE, np.int32)
    surface[ground.top:][ground.seen] = GROUND_SURFACE
    painted = np.clip(image, 0, 255).astype(np.uint8)
    # from here on ``surface`` has the number of the surface that each pixel shows
    painting = stage.canvas.paint(painted, surface, light)
    flat = surface.ravel()
    # a number per surface, looked up at every pixel: (H * W,) -> (H, W)
    surface_label = painting.label[flat].reshape(label.shape)
    # on the ground the label is that of :func:`paint_ground`: road, sidewalk or terrain
    label = np.where(surface == GROUND_SURFACE, label, surface_label)
    plane = painting.plane[flat].reshape(height, width, 3)  # (H * W, 3) -> (H, W, 3)
    # 1 / depth = plane . ray, with the ray (right, up, 1)
    inverse = plane[..., 0] * camera.right + plane[..., 1] * camera.up + plane[..., 2]
    depth = 1 / np.maximum(inverse, np.float32(1e-4))

    image = painted.astype(np.float32)
    add_textures(image, painting, stage.canvas, rays, depth, look)
    if look.roughness:
        add_grain(image, painting, rays, depth, look.roughness)
    if look.lamps:
        effects.add_headlights(image, ground, look.lamps)
    effects.add_haze(image, label, depth, effects.draw_haze(dice, look), horizon)
    if look.wet:
        effects.add_reflections(image, label, camera, look.wet)
    if look.lamps:
        effects.add_lamps(image, stage.lamps, camera, depth, look.lamps)
    if dice.chance(0.3):
        effects.add_bonnet(image, label, dice, float(light.ambient.mean()))
    if domain == 'rain':
        effects.add_rain(image, dice)
    return develop(image, dice, look), np.ascontiguousarray(label)
