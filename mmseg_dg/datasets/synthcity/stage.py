"""What the builders of objects share: the scene under construction and basic solids.

Points are (x right, y up, z along the street) in meters, colors BGR 0..255, ``side`` is -1 left and
1 right. "x before bending" is measured on a straight street, ``bend`` gives the place on the curved
one. ``canvas.at(z)`` says how far away the polygons that follow are: farther ones are painted
first. Sizes are about the real ones; they, colors and chances are drawn from ranges chosen by eye.
"""
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, Optional

import numpy as np

from .canvas import Canvas
from .dice import Dice
from .looks import Look
from .street import Street

Color = Sequence[float]
Outline = Sequence[tuple[float, float]]
UP, TOWARDS = (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)  # normals: up, toward the camera


class Lamp(NamedTuple):
    """Something that shines: position (meters), radius (meters), BGR color 0..255."""
    x: float
    y: float
    z: float
    radius: float
    color: tuple[float, float, float]


class Stage(NamedTuple):
    """A scene under construction."""
    canvas: Canvas  # gets the polygons
    dice: Dice  # source of all draws
    street: Street  # the plan
    look: Look  # ranges of light and weather
    lamps: list[Lamp]  # what shines, added as it is built

    @property
    def dark(self) -> bool:
        """Whether lamps are on."""
        return self.look.lamps > 0


def scaled(color: Color, factor: float) -> tuple[float, float, float]:
    """A BGR color times a factor."""
    return color[0] * factor, color[1] * factor, color[2] * factor


def box(canvas: Canvas, x: float, z: float, size: tuple[float, float, float], color: Color,
        label: int, bottom: float = 0.0) -> None:
    """An upright box parallel to the axes; only the sides toward the camera are added.

    Args:
        canvas: Gets the polygons.
        x: World x of its middle.
        z: World z of its middle.
        size: Width, height and depth, meters.
        color: BGR.
        label: Class id.
        bottom: Height of its lower side.
    """
    width, height, depth = size[0] / 2, size[1], size[2] / 2  # half of width and depth
    y0, y1 = bottom, bottom + height
    side = 1.0 if x < 0 else -1.0  # the side toward the camera's lane
    if abs(x) > width:  # the camera, at x = 0, does not look along the box
        e = x + side * width
        canvas.polygon([(e, y0, z - depth), (e, y0, z + depth), (e, y1, z + depth),
                        (e, y1, z - depth)], color, label, (side, 0.0, 0.0))
    canvas.polygon([(x - width, y0, z - depth), (x + width, y0, z - depth),
                    (x + width, y1, z - depth), (x - width, y1, z - depth)], color, label, TOWARDS)
    if y1 < canvas.camera.elevation:  # its top can be seen
        canvas.polygon([(x - width, y1, z - depth), (x + width, y1, z - depth),
                        (x + width, y1, z + depth), (x - width, y1, z + depth)], color, label, UP)


@cache
def circle(corners: int) -> tuple[tuple[float, float], ...]:
    """The (x, y) corners of a regular polygon in the unit circle, counter-clockwise."""
    return tuple((math.cos(2 * math.pi * k / corners), math.sin(2 * math.pi * k / corners))
                 for k in range(corners))


@cache
def blobs(corners: int, count: int = 24) -> tuple[tuple[tuple[float, float], ...], ...]:
    """``count`` ragged unit circles (leaf clusters) of ``corners`` (x, y) corners each, always the
    same ones.
    """
    rng = np.random.default_rng(14)
    radii = rng.uniform(0.7, 1.2, (count, corners)).tolist()
    return tuple(tuple((r * c, r * s) for r, (c, s) in zip(row, circle(corners))) for row in radii)


def disc(canvas: Canvas, center: tuple[float, float, float], radius: float, color: Optional[Color],
         label: int, corners: int = 14, stretch: float = 1.0, along: tuple[float,
                                                                           float] = (1.0, 0.0),
         hole: float = 0.0, shape: Optional[Outline] = None, **style: Any) -> None:
    """Add an upright disc in the plane of the horizontal direction ``along`` (x, z) and the
    vertical.

    Args:
        canvas: Gets the polygon.
        center: World position.
        radius: Meters.
        color: BGR, or None (see :meth:`Canvas.polygon`).
        label: Train id.
        corners: Corners of the polygon.
        stretch: Vertical stretch.
        along: Unit vector.
        hole: Radius of a hole relative to the radius.
        shape: Other outline than the circle, on the unit scale.
        **style: Further arguments of :meth:`Canvas.polygon`.
    """
    x, y, z = center
    shape = shape or circle(corners)
    if hole:
        # the outline goes round once outside and once back inside
        inner = [(c * hole, s * hole) for c, s in shape]
        shape = [*shape, shape[0], inner[0], *inner[::-1]]
    ax, az = along[0] * radius, along[1] * radius
    tall = radius * stretch
    canvas.polygon([(x + c * ax, y + s * tall, z + c * az) for c, s in shape], color, label,
                   **style)
