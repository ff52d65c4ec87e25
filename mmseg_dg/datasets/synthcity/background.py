"""Sky and ground: everything behind the polygons, computed per pixel.

Sizes, colors, strengths and chances are drawn from ranges chosen by eye; colors are BGR 0..255.
``rays`` are three arrays (H, W) as :meth:`Camera.rays` gives them: world x, y (up) and z of each
pixel's ray, scaled to unit camera depth, so that ray * depth is the way from the camera to the
point that is seen. Noise is read at meters times a number: the texels per meter.

Shapes: H x W pixels.
"""
from collections.abc import Sequence
from typing import NamedTuple, Optional

import cv2
import numpy as np

from .camera import Camera, fill
from .canvas import Light
from .dice import Dice
from .labels import ROAD, SIDEWALK, TERRAIN
from .looks import Look
from .noise import fractal, sample, sample_smooth
from .street import PARKING, SIDE_STREET, Street

_FARTHEST = 400.0  # meters; beyond it the ground counts as sky (less than two pixels)


class Ground(NamedTuple):
    """Where the pixels of a picture meet the ground. All arrays are (H - top, W): they begin at row
    ``top``, above which no pixel meets it; x, z and depth mean something only where ``seen``.
    """
    top: int
    seen: np.ndarray  # bool: the pixel's ray meets the ground, ahead and not too far away
    x: np.ndarray  # float32 world x, meters
    z: np.ndarray  # float32 world z, meters
    depth: np.ndarray  # float32 camera depth, meters


def locate_ground(camera: Camera, rays: Sequence[np.ndarray]) -> Ground:
    """Where the pixels' rays meet the ground, the plane y = 0."""
    # a ray meets the ground if it points down; flatter ones than -1e-3 would meet it too far away
    rows = np.flatnonzero((rays[1] < -1e-3).any(1))
    top = int(rows[0]) if len(rows) else camera.height
    dx, dy, dz = (ray[top:] for ray in rays)
    # the camera is ``elevation`` above the ground, and the ray falls by -dy per meter of depth
    depth = np.float32(camera.elevation) / np.maximum(-dy, np.float32(1e-3))
    x, z = dx * depth, dz * depth
    return Ground(top, (dy < -1e-3) & (z > 0.2) & (depth < _FARTHEST), x, z, depth)


def paint_sky(image: np.ndarray, dice: Dice, look: Look, rays: Sequence[np.ndarray],
              rows: int) -> np.ndarray:
    """Paint the sky into the upper ``rows`` of a float32 (H, W, 3) image, in place.

    Returns:
        BGR (3,) of the sky at the horizon, toward which haze fades.
    """
    # the color changes from the horizon's to that overhead with the ray's elevation (0 to 1)
    top = np.array(look.sky, np.float32) * dice.uniform(0.85, 1.08)
    horizon = np.minimum(np.array(look.horizon, np.float32) * dice.uniform(0.9, 1.05), 252)
    # cover: a cloud is where the noise, 0..1, is above it, so that from 1 on there is none
    steepness, cover = dice.uniform(1.5, 3), dice.uniform(*look.clouds)
    shift_u, shift_v = dice.uniform(0, 512), dice.uniform(0, 512)
    dx, dy, dz = (ray[:rows] for ray in rays)
    height = np.clip(dy / np.sqrt(dx * dx + dy * dy + dz * dz), 0, 1)  # sine of the elevation
    blend = np.minimum(height * np.float32(steepness), 1)
    clouds: Optional[np.ndarray] = None
    if cover < 1:
        # clouds lie in a plane: a ray reaches it the farther away the flatter it is (``above``:
        # texels of noise per unit of dx and dz); near the horizon they fade out
        above = np.float32(22) / np.maximum(dy, np.float32(0.03))
        field = sample_smooth(fractal(), dx * above + np.float32(shift_u),
                              dz * above + np.float32(shift_v))
        clouds = np.clip((field - cover) * 3.5, 0, 1) * np.minimum(height * 9, 1)
        brightness = 0.78 + 0.22 * field
    for k in range(3):
        channel = horizon[k] + (top[k] - horizon[k]) * blend
        if clouds is not None:  # blended by their opacity 0..1; ``brightness`` is set above, too
            channel += clouds * (brightness * np.float32(look.cloud_color[k]) - channel)
        image[:rows, :, k] = channel
    return horizon


def _band(across: np.ndarray, center: float, half_width: float, pixel: np.ndarray) -> np.ndarray:
    """Coverage 0..1 of each pixel by a stripe, with an edge one pixel wide.

    Args:
        across: Place of each pixel across the stripe, meters.
        center: Of the stripe, on the same scale.
        half_width: Of the stripe, meters.
        pixel: Meters that a pixel is wide, of the shape of ``across``.
    """
    return np.clip((half_width - np.abs(across - np.float32(center))) / pixel + 0.5, 0, 1)


def _markings(dice: Dice, street: Street, across: np.ndarray, z: np.ndarray,
              pixel: np.ndarray) -> np.ndarray:
    """Coverage 0..1 of the paint on the road, (rows, W): lines between lanes, at the edges, zebra
    crossings.

    Args:
        dice: Source of the draws.
        street: The plan.
        across: (rows, W) meters to the right of the street's middle.
        z: (rows, W) world z.
        pixel: (rows, W) meters that a pixel is wide.
    """
    paint = np.zeros_like(across)
    # x of the lines at the edges: beside the parked cars, else 25 cm from the kerb
    left = street.left + (PARKING if street.parking_left else 0.25)
    right = street.right - (PARKING if street.parking_right else 0.25)
    dash, gap = dice.uniform(2, 4), dice.uniform(2, 6)
    dashed = np.mod(z + np.float32(dice.uniform(0, 9)), dash + gap) < dash
    unbroken = dice.chance(0.4)  # the line between the directions
    for center, away in street.lanes:
        line = center + street.lane / 2  # at the lane's right side
        if left + 0.8 < line < right - 0.8:  # meters; lines at the edges follow below
            stripe = _band(across, line, 0.07, pixel)
            # the right line of the oncoming lane beside the camera's own lane (around x = 0)
            middle = not away and center > -1.5 * street.lane
            paint = np.maximum(paint, stripe if middle and unbroken else stripe * dashed)
    if dice.chance(0.6):
        paint = np.maximum(
            paint, np.maximum(_band(across, left, 0.06, pixel), _band(across, right, 0.06, pixel)))
    if street.side_street is not None:  # no lines in its mouth
        paint *= (z < street.side_street) | (z > street.side_street + SIDE_STREET)
    if street.zebra is not None:
        inside = (z > street.zebra) & (z < street.zebra + 3)
        # bars half a meter wide, one per meter
        bars = np.clip((0.25 - np.abs(np.mod(across, 1.0) - 0.5)) / pixel + 0.5, 0, 1)
        # the stop line before the crossing, seen flat: a pixel covers more of z than of x
        stop = _band(z, street.zebra - 1.2, 0.15, pixel * 8)
        stop = stop * (across > -street.lane / 2)  # not on the oncoming lanes
        paint = np.where(inside, bars, np.maximum(paint, stop))
    return paint


def _colors(dice: Dice, photo: bool) -> list[np.ndarray]:
    """Drawn BGR colors (3,) of asphalt, paving, green, kerb and paint, in this order; ``photo``: as
    a camera sees them (:attr:`Look.photo`).
    """
    # ``tint`` of (1, 1, 1) draws a gray level; the factors give it a slight cast
    asphalt = np.array(dice.tint(
        (1.0, 1.0, 1.0), 62, 118)) * (dice.uniform(0.95, 1.08), 1, dice.uniform(0.93, 1.04))
    paving = np.array(dice.tint((1.0, 1.0, 1.0), 105, 175)) * (dice.uniform(
        0.8, 1.05), dice.uniform(0.93, 1.0), dice.uniform(0.97, 1.08))
    green = np.array([dice.uniform(30, 65), dice.uniform(90, 140), dice.uniform(60, 130)])
    if photo:  # real grass is duller
        green = green * (0.8, 0.72, 0.8) + 12
    kerb, paint = np.array(dice.tint((165, 168, 170), 0.75,
                                     1.1)), np.array(dice.tint((225, 228, 230), 0.8, 1.0))
    return [asphalt, paving, green, kerb, paint]


def paint_ground(image: np.ndarray, label: np.ndarray, dice: Dice, street: Street, look: Look,
                 light: Light, camera: Camera, ground: Ground) -> None:
    """Paint road, sidewalks and green, lit, with their labels.

    Args:
        image: float32 (H, W, 3), painted in place where the ground is seen.
        label: uint8 (H, W), likewise.
        dice: Source of the draws.
        street: The plan.
        look: Look of the picture.
        light: Illumination.
        camera: The camera.
        ground: Where the pixels meet the ground.
    """
    # meters to the right of the street's middle, which bends with the distance
    across = ground.x - np.float32(street.curvature) * ground.z * ground.z
    # meters that a pixel is wide at this depth: edges are as soft as that
    pixel = ground.depth * np.float32(1 / camera.focal)
    road, walk, kerb = _areas(street, across, ground.z, pixel)
    target = label[ground.top:]  # a view: what is written is the label
    target[ground.seen] = np.where(road > 0.5, ROAD,
                                   np.where(walk > 0.5, SIDEWALK,
                                            TERRAIN)).astype(np.uint8)[ground.seen]

    relief = _relief(dice, street, look, ground, across, walk - road > 0.5)  # tiles: sidewalks
    paint = _markings(dice, street, across, ground.z, pixel) * road
    # worn off in places
    paint *= 0.5 + 0.5 * (sample(fractal(), ground.x * 9, ground.z * 9) > dice.uniform(0.2, 0.45))
    if street.rails is not None:
        for rail in (-0.72, 0.72):  # meters from the middle of the track
            relief *= 1 - 0.6 * _band(across, street.rails + rail, 0.06, pixel)
    asphalt, paving, green, stone, white = _colors(dice, look.photo)
    lit = light.on(np.array([[0.0, 1.0, 0.0]]))[0]  # BGR light on what faces up
    # on the green, each over the ones before
    layers = ((walk * (1 - kerb), paving), (kerb, stone), (road, asphalt), (paint, white))
    for k in range(3):
        channel = np.full_like(ground.x, green[k])
        for cover, color in layers:
            channel += cover * (np.float32(color[k]) - channel)
        channel *= relief * np.float32(lit[k])
        np.copyto(image[ground.top:, :, k], channel, where=ground.seen)


def _areas(street: Street, across: np.ndarray, z: np.ndarray,
           pixel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of each pixel that are road, road or sidewalk, and kerb.

    Args:
        street: The plan.
        across: (rows, W) meters to the right of the street's middle.
        z: (rows, W) world z.
        pixel: (rows, W) meters that a pixel is wide.

    Returns:
        (road, walk, kerb), each (rows, W) in 0..1. ``walk`` is 1 everywhere between the outer edges
        of the sidewalks, the road included: what lies over it is painted later.
    """
    # the distance inside of the nearer edge, in pixels, with an edge one pixel wide
    road = np.clip((np.minimum(across - street.left, street.right - across)) / pixel + 0.5, 0, 1)
    on_side = np.zeros(across.shape, bool)  # in the side street, which is road over the whole width
    if street.side_street is not None:
        on_side = (z > street.side_street) & (z < street.side_street + SIDE_STREET)
        road[on_side] = 1
    outer_left, outer_right = street.left - street.walk_left, street.right + street.walk_right
    walk = np.clip((np.minimum(across - outer_left, outer_right - across)) / pixel + 0.5, 0, 1)
    if street.verge == 0:  # no green behind the sidewalks: paving up to the buildings
        walk[:] = 1
    kerb = np.maximum(_band(across, street.left - 0.1, 0.1, pixel),
                      _band(across, street.right + 0.1, 0.1, pixel))
    kerb *= ~on_side  # kerbs, 20 cm wide, end at the side street
    return road, walk, kerb


def _relief(dice: Dice, street: Street, look: Look, ground: Ground, across: np.ndarray,
            tiled: np.ndarray) -> np.ndarray:
    """Brightness of the surface, about 1: stains, pebbles that fade with the distance, joints
    between tiles where ``tiled`` (bool), repaired patches.
    """
    x, z = ground.x, ground.z
    stains = sample_smooth(fractal(), x * np.float32(1.3), z * np.float32(0.7))
    pebbles = sample_smooth(fractal('rough'), x * np.float32(23), z * np.float32(23))
    fade = 1 / (1 + (ground.depth * np.float32(1 / 25))**2)  # 1 near, 1/2 at 25 m
    relief = 1 + 0.35 * (stains - 0.5) + fade * (0.4 + 0.5 * look.roughness) * (pebbles - 0.5)
    tile = dice.uniform(0.5, 1.2)  # side of a tile, meters
    joint = (np.mod(x, tile) < 0.04) | (np.mod(z, tile) < 0.04)
    relief *= 1 - 0.35 * fade * joint * tiled
    relief *= _repairs(dice, street, across, z)
    return relief


def _repairs(dice: Dice, street: Street, across: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Factors of brightness, of the shape of ``across``: rectangles of repaired asphalt."""
    factor = np.ones_like(across)
    for _ in range(dice.integer(0, 4)):
        x0, z0 = dice.uniform(street.left, street.right), dice.uniform(4, 30)
        half_width, half_length = dice.uniform(0.3, 1.6), dice.uniform(0.4, 4)
        inside = (np.abs(across - x0) < half_width) & (np.abs(z - z0) < half_length)
        factor[inside] *= dice.uniform(0.75, 1.15)
    return factor


def cast_shadows(image: np.ndarray, camera: Camera, light: Light, ground: Ground,
                 casters: Sequence[tuple[Sequence[tuple[float, float]], float]]) -> None:
    """Darken the ground (in place) in the shadow of objects.

    Args:
        image: float32 (H, W, 3).
        camera: The scene's.
        light: Its direction and whether it casts crisp shadows.
        ground: Where pixels see the ground.
        casters: ``(corners (x, z) of the footprint, height)`` of each object, meters.
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    # horizontal way of the light per meter of height, along the sun's x and z; not above 1 / 0.15
    # for a low sun. Diffuse light (not crisp) darkens only the footprint itself
    slope = 1 / max(light.direction[1], 0.15) if light.crisp else 0.0
    for corners, height in casters:
        # the shadow: hull of the footprint and of the footprint moved away from the sun
        reach = min(height, 14) * slope  # a tower would darken the whole street
        away = (-light.direction[0] * reach, -light.direction[2] * reach)
        moved = [(x + away[0], z + away[1]) for x, z in corners]
        hull = cv2.convexHull(np.array([*corners, *moved], np.float32))[:, 0]
        outline = camera.outline(np.stack([hull[:, 0], np.zeros(len(hull)), hull[:, 1]], 1))
        if outline is not None:
            fill(mask, outline, 255)
    size = image.shape[1] / 512  # blurs are given for a picture 512 pixels wide
    shade = cv2.GaussianBlur(mask[ground.top:], (0, 0), (0.8 if light.crisp else 2.5) * size)
    factor = 1 - shade.astype(np.float32) * np.float32(light.shadow / 255) * ground.seen
    image[ground.top:] *= factor[..., None]
