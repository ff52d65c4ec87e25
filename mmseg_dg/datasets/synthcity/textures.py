"""Textures, added to all pixels of a kind at once after painting.

A texture is a row of parameters: the horizontal direction (tx, tz) along the surface, then what its
kind needs. The position of a pixel on the surface is u = x * tx + z * tz and v = y, in meters.
Edges of windows and bars are as soft as a pixel is wide, so distant facades do not flicker.
Each kind has a function ``(color, patch)`` that changes the colors (N, 3) of its pixels in place.
A ``shift`` among the parameters moves the fixed noise, so that two surfaces look different.

Sizes, colors, strengths and chances are drawn from ranges chosen by eye; colors are BGR 0..255.

Shapes: N pixels, P parameters of a texture, H x W pixels.
"""
from collections.abc import Sequence
from typing import Callable, NamedTuple, Union

import numpy as np

from .canvas import Canvas, Painting
from .looks import Look
from .noise import fractal, hashed, sample

NONE, FACADE, SHOP, AWNING, FOLIAGE, MASONRY, BARS, CLOTH, LACQUER, PANES = range(10)
_WARM = np.array((110, 190, 235), np.float32)  # light behind windows, BGR


class Patch(NamedTuple):
    """The pixels of one kind of texture, N of them."""
    u: np.ndarray  # meters along the surface
    v: np.ndarray  # height in meters
    x: np.ndarray  # world x
    depth: np.ndarray  # meters
    pixel_u: np.ndarray  # meters that a pixel covers along u
    pixel_v: np.ndarray  # and along v
    fade: np.ndarray  # 1 near, 0 far: how much of the fine detail remains
    parameters: np.ndarray  # (N, P - 2), those of each pixel's texture without the direction
    light: np.ndarray  # (N, 3), BGR factors of the surface's light
    dark: bool  # lamps are on


def _cover(distance: np.ndarray, half_width: Union[float, np.ndarray],
           pixel: np.ndarray) -> np.ndarray:
    """Share of a pixel, 0 to 1, that a line of that half width covers at ``distance`` from it."""
    return np.clip((half_width - np.abs(distance)) / pixel + 0.5, 0, 1)


def _facade(color: np.ndarray, p: Patch) -> None:
    """Paint bricks or panels, dirt and a grid of windows onto the pixels of a facade (in place)."""
    # (N,) each: facade's beginning and length, then windows: distance, width, height of a floor,
    # their own height, gray of the frame, BGR of the glass; seed, floors that are shops, height
    # of the house, style
    (start, length, pitch, width, floor, tall, frame, b, g, r, seed, shop, height,
     style) = p.parameters.T
    u, v = p.u - start, p.v  # meters along the facade and up
    relief = 1 + 0.22 * (sample(fractal(), p.u * 6, v * 6)
                         - 0.5) + 0.14 * (sample(fractal(), p.u, v) - 0.5)
    # rows of bricks 12 cm high, every second one shifted by half a brick; panels of 2.4 x 3 m
    course = np.floor(v / 0.12)
    mortar = (v - course * 0.12 < 0.025) | (np.mod(u + 0.13 * np.mod(course, 2), 0.26) < 0.025)
    joint = (np.mod(v, 3.0) < 0.1) | (np.mod(u, 2.4) < 0.07)
    # styles of ``buildings.py``: 0 bricks, 1 plain, 2 panels
    relief *= 1 - p.fade * (0.3 * mortar * (style == 0) + 0.25 * joint * (style == 2))
    relief *= 1 - 0.25 * np.clip(1 - v * 1.5, 0, 1)  # dirt above the pavement
    color *= relief[:, None]
    # which window of the grid a pixel belongs to, and how far it is from the window's center
    margin = (length - np.floor(length / pitch) * pitch) / 2
    column, row = np.floor((u - margin) / pitch), np.floor(v / floor)
    from_u, from_v = (u - margin) - (column + 0.5) * pitch, v - (row + 0.3) * floor - tall / 2
    luck = hashed(column + 64, row + 64, seed)  # one number per window
    # where the grid has a window: within the facade, above the shops and below the roof; one in 25
    # is missing, and far ones are too small
    has_window = (column >= 0) & (column < np.floor(length / pitch)) & (row >= shop) & (
        (row + 1) * floor < height + 0.2)
    has_window &= (luck > 0.04) & (p.depth < 150)
    # coverage by the glass, by glass and frame, and by the bars between panes
    inside = _cover(from_u, width / 2, p.pixel_u) * _cover(from_v, tall / 2, p.pixel_v) * has_window
    around = _cover(from_u, width / 2 + 0.09, p.pixel_u) * _cover(from_v, tall / 2 + 0.09,
                                                                  p.pixel_v) * has_window
    bar = np.maximum(_cover(from_u, 0.035, p.pixel_u), _cover(from_v - tall * 0.2, 0.03,
                                                              p.pixel_v)) * p.fade
    # other digits of the same random number: three in five windows have bars
    inside *= 1 - bar * (luck * 8 % 1 > 0.4)
    color += (around * (1 - inside))[:, None] * (frame[:, None] * p.light * 0.9 - color)
    glass = np.stack([b, g, r], 1) * p.light * (0.55 + 0.9 * luck - 0.35 * from_v / tall)[:, None]
    glass *= 1 - 0.5 * _cover(from_v - tall / 2, 0.12, p.pixel_v)[:, None]  # shadow of the lintel
    if p.dark:  # a third of the windows is lit
        lit = (luck * 37 % 1 < 0.35)[:, None]
        glass = np.where(lit, _WARM * (0.6 + 0.5 * luck + 0.2 * from_v / tall)[:, None], glass)
    color += inside[:, None] * (glass - color)


def _shop(color: np.ndarray, p: Patch) -> None:
    """Paint goods and window bars onto the pixels of a shop (in place)."""
    shift, pane = p.parameters[:, 0], p.parameters[:, 1]
    goods = sample(fractal('rough'), p.u * 30 + shift, p.v * 30)
    color *= (0.6 + 0.8 * goods)[:, None]
    color *= (1 - 0.7 * _cover(np.mod(p.u, pane) - pane / 2, 0.06, p.pixel_u))[:, None]


def _awning(color: np.ndarray, p: Patch) -> None:
    """Paint stripes, bright and dark ones by turns, onto the pixels of an awning (in place)."""
    period = p.parameters[:, 0]  # meters of a bright and a dark stripe
    color *= np.where(np.mod(p.u, period) < period / 2, 1.2, 0.75)[:, None]


def _foliage(color: np.ndarray, p: Patch) -> None:
    """Paint leaves and clumps of leaves onto the pixels of a tree (in place)."""
    shift, scale = p.parameters[:, 0], p.parameters[:, 1]
    leaves = sample(fractal('rough'), (p.u + shift) * scale, p.v * scale + p.x * 3)
    clumps = sample(fractal(), (p.u + shift) * scale * 0.3, p.v * scale * 0.3)
    color *= (0.3 + 0.85 * leaves + 0.55 * clumps)[:, None]


def _masonry(color: np.ndarray, p: Patch) -> None:
    """Paint courses of stones with mortar onto the pixels of a wall (in place).

    A stone is twice as long as a course is high, every course shifted against the one below.
    """
    shift, course = p.parameters[:, 0], p.parameters[:, 1]
    row = np.floor(p.v / course)
    mortar = (p.v - row * course < 0.03) | (np.mod(p.u + row * course, course * 2) < 0.03)
    # how bright each stone is: a number drawn by its place
    stone = hashed(np.floor((p.u + row * course) / (course * 2)) + 4096, row + 64) - 0.5
    grain = sample(fractal(), p.u * 14 + shift, p.v * 14) - 0.5
    color *= (1 + 0.45 * grain + p.fade * (0.25 * stone - 0.25 * mortar))[:, None]


def _bars(color: np.ndarray, p: Patch) -> None:
    """Paint a railing in place: thin upright bars between two rails, a post every two meters.
    Between them the color of what is behind stays.
    """
    # distance of the bars, share of it that a bar fills, height of the railing, BGR
    spacing, share, height, b, g, r = p.parameters[:, :6].T
    upright = _cover(np.mod(p.u, spacing) - spacing / 2, spacing * share / 2, p.pixel_u)
    upright = np.where(p.pixel_u > spacing / 2, share, upright)  # too fine to resolve
    # one rail just below the top, one just above the ground
    rail = np.maximum(_cover(p.v - height + 0.06, 0.05, p.pixel_v),
                      _cover(p.v - 0.2, 0.04, p.pixel_v))
    post = _cover(np.mod(p.u, 2.0) - 1.0, 0.05, p.pixel_u)
    cover = np.maximum(np.maximum(upright, rail), post)[:, None]
    # blended by how much of the pixel the railing covers
    color += cover * (np.stack([b, g, r], 1) * p.light - color)


def _cloth(color: np.ndarray, p: Patch) -> None:
    """Paint folds onto the pixels of clothes (in place)."""
    color *= (0.75 + 0.5 * sample(fractal(), p.u * 60 + p.parameters[:, 0], p.v * 30))[:, None]


def _lacquer(color: np.ndarray, p: Patch) -> None:
    """Paint shine onto the pixels of a vehicle (in place); it is darker near the ground."""
    shift, strength = p.parameters[:, 0], p.parameters[:, 1]
    shine = sample(fractal(), p.u * 9 + shift, p.v * 40) - 0.5
    color *= (0.82 + 0.2 * np.clip(p.v, 0, 1.4) + strength * shine)[:, None]


def _panes(color: np.ndarray, p: Patch) -> None:
    """Paint a row of panes with bars between onto the pixels of a vehicle (in place)."""
    width, lit = p.parameters[:, 0], p.parameters[:, 1]  # of a pane; 1 where lamps are on inside
    phase, number = np.mod(p.u, width), np.floor(p.u / width)  # place in its pane, which pane
    color *= (0.6 + 0.8 * hashed(number + 4096, number) + 0.3 * (p.v - 1.8))[:, None]
    if p.dark:
        color += lit[:, None] * (_WARM * 0.75 - color)
    color *= (1 - 0.75 * _cover(phase - width / 2, 0.07, p.pixel_u))[:, None]


_KINDS: dict[int, Callable[[np.ndarray, Patch], None]] = {
    FACADE: _facade, SHOP: _shop, AWNING: _awning, FOLIAGE: _foliage, MASONRY: _masonry,
    BARS: _bars, CLOTH: _cloth, LACQUER: _lacquer, PANES: _panes
}


def add_textures(image: np.ndarray, painting: Painting, canvas: Canvas, rays: Sequence[np.ndarray],
                 depth: np.ndarray, look: Look) -> None:
    """Add the textures of all painted surfaces in place.

    Args:
        image: float32 (H, W, 3) BGR 0..255.
        painting: What :meth:`Canvas.paint` returned.
        canvas: The canvas (its textures, its camera).
        rays: World rays of the pixels, three float32 (H, W).
        depth: float32 (H, W), meters.
        look: Look of the picture.
    """
    parameters = np.array(canvas.textures, np.float32)
    number = painting.texture[painting.surface.ravel()]  # texture of each pixel, (H * W,)
    kinds = np.array(canvas.texture_kinds, np.uint8)[number]  # of each pixel, (H * W,)
    # (H, W, 3) -> (H * W, 3), a view: painting it paints the image
    flat, depth, rays = image.reshape(-1, 3), depth.ravel(), [ray.ravel() for ray in rays]
    for kind, draw in _KINDS.items():
        pixels = np.flatnonzero(kinds == kind)
        if not len(pixels):
            continue
        rows, away = parameters[number[pixels]], depth[pixels]
        x, v, z = (ray[pixels] * away for ray in rays)  # meters from the camera
        tx, tz = rows[:, 0], rows[:, 1]
        pixel = away * np.float32(1 / canvas.camera.focal)
        # a surface along the street is seen at a slant, so that a pixel covers more of its length
        slant = 1 + np.abs(tz) * np.abs(z) / np.maximum(np.abs(x), 0.5)
        color = flat[pixels]
        draw(
            color,
            Patch(u=x * tx + z * tz, v=v + np.float32(canvas.camera.elevation), x=x, depth=away,
                  pixel_u=pixel * slant, pixel_v=pixel, fade=1 /
                  (1 + (away * np.float32(1 / 18))**2), parameters=rows[:, 2:],
                  light=painting.light[painting.surface.ravel()[pixels]], dark=look.lamps > 0))
        flat[pixels] = color


def add_grain(image: np.ndarray, painting: Painting, rays: Sequence[np.ndarray], depth: np.ndarray,
              strength: float) -> None:
    """Make every surface rough by stains and grain, in place; arguments as in :func:`add_textures`.
    """
    pixels = np.flatnonzero(painting.surface)  # all but the sky, whose number is 0
    away = depth.ravel()[pixels]
    x, y, z = (ray.ravel()[pixels] * away for ray in rays)
    u, v = x + z, y + 0.5 * z  # varies along every surface, upright or flat
    fade = 1 / (1 + (away * np.float32(1 / 30))**2)
    grain = (sample(fractal('rough'), u * 31, v * 31)
             - 0.5) * fade + 0.6 * (sample(fractal(), u * 5, v * 5) - 0.5)
    # (H, W, 3) -> (H * W, 3), a view
    image.reshape(-1, 3)[pixels] *= (1 + np.float32(strength) * grain)[:, None]
