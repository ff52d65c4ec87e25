"""Trees and hedges.

Points are (x right, y up, z along the street) in meters, colors BGR 0..255, ``side`` is -1 left and
1 right. "x before bending" is measured on a straight street, ``bend`` gives the place on the curved
one. ``canvas.at(z)`` says how far away the polygons that follow are: farther ones are painted
first. Sizes are about the real ones; they, colors and chances are drawn from ranges chosen by eye.
"""
import math

from .labels import TERRAIN, VEGETATION
from .stage import TOWARDS, UP, Color, Stage, blobs, box, disc, scaled
from .textures import FOLIAGE


def tree(stage: Stage, x: float, z: float, height: float) -> None:
    """A tree, ``height`` meters high, at world (x, z): trunk and leaf clusters or bare branches."""
    canvas, dice = stage.canvas, stage.dice
    canvas.at(z)
    trunk, thickness = dice.tint((50, 65, 85), 0.6, 1.2), dice.uniform(0.1, 0.24)
    box(canvas, x, z, (2 * thickness, height * 0.55, 2 * thickness), trunk, VEGETATION)
    if dice.chance(0.12):
        _branches(stage, x, z, height, thickness, trunk)
        return
    leaf = (dice.uniform(25, 60), dice.uniform(75, 125), dice.uniform(45, 110))
    if stage.look.photo:  # a camera's greens are duller
        leaf = (leaf[0] * 0.85, leaf[1] * 0.7, leaf[2] * 0.75)
    if dice.chance(0.12):  # autumn
        leaf = (dice.uniform(30, 60), dice.uniform(90, 130), dice.uniform(140, 190))
    # half width of the crown; whether it is near enough for more clusters, corners and leaves
    wide, near = height * dice.uniform(0.2, 0.34), z < 35
    # direction across (a little along z), a shift of the noise, texels per meter
    texture = canvas.texture(FOLIAGE, 1.0, 0.3, dice.uniform(0, 99), 26 if near else 12)
    # leaf clusters in a disc, (up, out, size): evenly over its area by the root of the radius
    clusters = []
    for _ in range(dice.integer(12, 20) if near else 9):
        angle, q = dice.uniform(0, 2 * math.pi), math.sqrt(dice.random())
        clusters.append((math.sin(angle) * q, math.cos(angle) * q, dice.uniform(0.1, 0.17)))
    shapes = blobs(18 if near else 9)
    for up, out, size in sorted(clusters):  # the lower and darker ones behind
        disc(canvas, (x + out * wide, height * (0.7 + 0.25 * up), z - 0.3), height * size,
             scaled(leaf, (0.85 + 0.3 * up) * dice.uniform(0.8, 1.15)), VEGETATION,
             shape=dice.pick(shapes), texture=texture)


def _branches(stage: Stage, x: float, z: float, height: float, thickness: float,
              color: Color) -> None:
    """Bare branches, thin triangles from the upper trunk outward and up (0.3 to 2.84 rad).

    Args:
        stage: The scene.
        x: World x of the trunk.
        z: World z of the trunk.
        height: Of the tree, meters.
        thickness: Half of the trunk's, meters.
        color: BGR.
    """
    dice, t = stage.dice, thickness * 0.25  # t: half of a branch's width at the trunk
    for _ in range(34):
        angle, length = dice.uniform(0.3, 2.84), dice.uniform(0.3, 1) * height * 0.45
        y = height * dice.uniform(0.35, 0.6)
        tip_x, tip_y = x + length * math.cos(angle), y + length * math.sin(angle)
        stage.canvas.polygon([(x - t, y, z), (x + t, y, z), (tip_x + t * 0.4, tip_y, z),
                              (tip_x - t * 0.4, tip_y, z)], color, VEGETATION)


def hedge(stage: Stage, side: int, x: float, z0: float, z1: float, height: float) -> None:
    """A hedge along the street from z0 to z1 (x before bending), one meter thick, in pieces of 4 m
    that follow the bend.
    """
    canvas, dice, bend = stage.canvas, stage.dice, stage.street.bend
    leaf = (dice.uniform(25, 55), dice.uniform(75, 110), dice.uniform(45, 85))
    texture = canvas.texture(FOLIAGE, 0.4, 1.0, dice.uniform(0, 99), 26)
    z = z0
    while z < z1:
        end = min(z + 4, z1)
        a, b = bend(x, z), bend(x, end)
        canvas.at(end)
        if height < canvas.camera.elevation:  # its top can be seen
            canvas.polygon([(a, height, z), (b, height, end), (b + side, height, end),
                            (a + side, height, z)], leaf, VEGETATION, UP, texture)
        canvas.polygon([(a, 0, z), (b, 0, end), (b, height, end), (a, height, z)], leaf, VEGETATION,
                       (-float(side), 0.0, 0.0), texture)
        if z == z0 and z > 0:  # the near end is in front of the camera
            canvas.polygon([(a, 0, z), (a + side, 0, z), (a + side, height, z), (a, height, z)],
                           leaf, VEGETATION, TOWARDS, texture)
        z = end


def lawn(stage: Stage, side: int, x: float, z0: float, z1: float) -> None:
    """Grass on a side (-1 left, 1 right), from the building line (x before bending) 25 m outward,
    from z0 to z1.
    """
    canvas, dice, bend = stage.canvas, stage.dice, stage.street.bend
    color = (dice.uniform(30, 65), dice.uniform(80, 125), dice.uniform(60, 120))
    near, far, deep = bend(x, z0), bend(x, z1), side * 25
    canvas.at(z1)
    texture = canvas.texture(FOLIAGE, 1.0, 1.0, dice.uniform(0, 99), 12)
    canvas.polygon([(near, 0, z0), (far, 0, z1), (far + deep, 0, z1), (near + deep, 0, z0)], color,
                   TERRAIN, UP, texture)


def forest(stage: Stage, z: float) -> None:
    """A wooded horizon: one polygon 600 m wide at distance ``z``, with an uneven top."""
    canvas, dice = stage.canvas, stage.dice
    canvas.at(z)
    texture = canvas.texture(FOLIAGE, 1.0, 0.0, dice.uniform(0, 99), 3)
    height, steps = dice.uniform(4, 11), 36
    top = [(-300 + 600 * k / steps, height * dice.uniform(0.75, 1.15), z)
           for k in range(steps, -1, -1)]
    canvas.polygon([(-300, 0, z), (300, 0, z), *top], dice.tint((70, 95, 80), 0.75, 1.1),
                   VEGETATION, texture=texture)
