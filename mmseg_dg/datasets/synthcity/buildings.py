"""Houses along the street: facades with windows, roofs, shops.

Points are (x right, y up, z along the street) in meters, colors BGR 0..255, ``side`` is -1 left and
1 right. "x before bending" is measured on a straight street, ``bend`` gives the place on the curved
one. ``canvas.at(z)`` says how far away the polygons that follow are: farther ones are painted
first. Sizes are about the real ones; they, colors and chances are drawn from ranges chosen by eye.
"""
from .labels import BUILDING
from .stage import TOWARDS, Color, Stage, scaled
from .textures import AWNING, FACADE, SHOP

_PAINTS = ((92, 112, 150), (70, 90, 140), (150, 170, 190), (175, 190, 200), (120, 125, 130),
           (90, 95, 100), (185, 205, 215), (110, 140, 180), (60, 70, 105), (160, 150, 140))
_ROOFS = ((60, 65, 95), (50, 55, 60), (55, 75, 130))
BRICK, PLAIN, PANEL = range(3)  # styles of a facade, as ``textures._facade`` reads them


def house_height(stage: Stage) -> float:
    """A height in meters: mostly houses, some blocks, few towers."""
    low, high = stage.dice.weighted(((5, 9), (9, 18), (15, 32)), (0.5, 0.37, 0.13))
    return stage.dice.uniform(low, high)


def house(stage: Stage, side: int, x: float, z0: float, z1: float, height: float) -> None:
    """A house on one side of the street: its facade, the end toward the camera, perhaps a roof and
    a shop. What the camera never sees is left out.

    Args:
        stage: The scene.
        side: -1 left, 1 right.
        x: Of its front (before bending).
        z0: Near end.
        z1: Far end.
        height: Meters.
    """
    canvas, dice = stage.canvas, stage.dice
    color = dice.tint(dice.pick(_PAINTS), 0.75, 1.15, 8)
    # x of the facade at its near and far end, and how far the house reaches back along x
    near, far, deep = stage.street.bend(x, z0), stage.street.bend(x, z1), side * dice.uniform(8, 16)
    floor, pitch = dice.uniform(2.7, 3.5), dice.uniform(1.7, 3.4)
    shop = dice.chance(0.4)
    glass = (dice.uniform(55, 120), dice.uniform(50, 100), dice.uniform(40, 85))
    # parameters of a FACADE texture behind direction, beginning and length (textures._facade):
    # distance and width of windows, height of a floor and of windows, gray of the frame, BGR of the
    # glass, seed, number of floors that are shops, height of the house, style
    windows = (pitch, pitch * dice.uniform(0.35, 0.7), floor, floor * dice.uniform(0.4, 0.65),
               dice.pick((235, 210, 60, 120)), *glass, dice.integer(1,
                                                                    1 << 20), float(shop), height,
               dice.pick((BRICK, PLAIN, PANEL)))
    canvas.at(z1)  # by its far end, so that all that stands before the facade is painted over it
    normal = (-float(side), 0.0, 0.0)
    front = canvas.texture(FACADE, 0.0, 1.0, z0, z1 - z0, *windows)  # direction (0, 1): along z
    canvas.polygon([(near, 0, z0), (far, 0, z1), (far, height, z1), (near, height, z0)], color,
                   BUILDING, normal, front)
    if z0 > 0:  # its near end is in front of the camera; it has no shop (parameter 9 is 0)
        end = canvas.texture(FACADE, 1.0, 0.0, min(near, near + deep), abs(deep), *windows[:9], 0.0,
                             *windows[10:])
        canvas.polygon([(near, 0, z0), (near + deep, 0, z0), (near + deep, height, z0),
                        (near, height, z0)], color, BUILDING, TOWARDS, end)
    if height < 11 and dice.chance(0.65):  # higher houses have flat roofs, which are not seen
        _roof(stage, side, near, far, z0, z1, height, deep, color)
    if shop:
        _shop(stage, side, x, z0, z1, glass)


def _roof(stage: Stage, side: int, near: float, far: float, z0: float, z1: float, height: float,
          deep: float, color: Color) -> None:
    """A gable roof whose ridge runs along the street: its slope toward the street, the gable that
    faces the camera, perhaps a chimney. The slope behind is never seen.

    Args:
        stage: The scene.
        side: -1 left, 1 right.
        near: World x of the facade at its near end ``z0``.
        far: World x of the facade at its far end ``z1``.
        z0: Near end.
        z1: Far end.
        height: Of the walls, meters.
        deep: From the facade to the back wall along x, with the sign of ``side``.
        color: BGR of the walls.
    """
    canvas, dice = stage.canvas, stage.dice
    rise, tiles = dice.uniform(1.5, 3.5), dice.pick(_ROOFS)
    ridge = height + rise
    eaves = -side * 0.3  # the roof juts out over the street
    canvas.polygon([(near + eaves, height, z0), (far + eaves, height, z1),
                    (far + deep / 2, ridge, z1), (near + deep / 2, ridge, z0)], tiles, BUILDING,
                   (-side * 0.6, 0.8, 0.0))
    if z0 > 0:  # the near end is in front of the camera
        canvas.polygon([(near, height, z0), (near + deep, height, z0),
                        (near + deep / 2, ridge, z0)], color, BUILDING, TOWARDS)
    if dice.chance(0.6):  # a chimney
        z = dice.uniform(z0, z1)
        x = near + deep * 0.4
        canvas.polygon([(x - 0.4, height, z), (x + 0.4, height, z), (x + 0.4, ridge + 1, z),
                        (x - 0.4, ridge + 1, z)], scaled(color, 0.8), BUILDING, TOWARDS)


def _shop(stage: Stage, side: int, x: float, z0: float, z1: float, glass: Color) -> None:
    """A shop window in the ground floor of a house, with a sign and perhaps an awning.

    Args:
        stage: The scene.
        side: -1 left, 1 right.
        x: Of the facade, before bending.
        z0: Near end of the facade.
        z1: Far end.
        glass: BGR of the window by day.
    """
    canvas, dice, bend = stage.canvas, stage.dice, stage.street.bend
    normal = (-float(side), 0.0, 0.0)
    sign_color = (dice.uniform(30, 220), dice.uniform(30, 220), dice.uniform(30, 220))

    def strip(inset: float, y0: float, y1: float, out: float) -> list:
        """Corners of a band along the facade from height ``y0`` to ``y1``, ``inset`` meters from
        its ends and ``out`` meters in front of it.
        """
        a, b = z0 + inset, z1 - inset
        xa, xb = bend(x, a) - side * out, bend(x, b) - side * out
        return [(xa, y0, a), (xb, y0, b), (xb, y1, b), (xa, y1, a)]

    # direction along z, a shift of the noise, width of a pane
    window = canvas.texture(SHOP, 0.0, 1.0, dice.uniform(0, 99), dice.uniform(1.5, 3))
    inside = dice.tint((150, 200, 230), 0.5, 1.0, 15) if stage.dark else glass
    canvas.polygon(strip(0.4, 0.5, 2.4, 0.03), inside, BUILDING, normal, window, glows=stage.dark)
    canvas.polygon(strip(0.2, 2.45, 3.2, 0.06), sign_color, BUILDING, normal)
    if dice.chance(0.5):
        # direction along z, meters of a bright and a dark stripe together
        awning = canvas.texture(AWNING, 0.0, 1.0, dice.uniform(0.5, 1.0))
        a, b = z0 + 0.4, z1 - 0.4
        xa, xb = bend(x, a), bend(x, b)
        # its slope, and the front edge that hangs down
        canvas.polygon([(xa, 2.6, a), (xb, 2.6, b), (xb - side * 1.2, 2.1, b),
                        (xa - side * 1.2, 2.1, a)], scaled(sign_color, 0.9), BUILDING,
                       (0.0, 1.0, 0.0), awning)
        canvas.polygon([(xa - side * 1.2, 2.1, a), (xb - side * 1.2, 2.1, b),
                        (xb - side * 1.2, 1.9, b), (xa - side * 1.2, 1.9, a)],
                       scaled(sign_color, 0.7), BUILDING, normal, awning)
