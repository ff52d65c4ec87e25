"""Pedestrians, and bicycles and motorcycles with or without riders.

Points are (x right, y up, z along the street) in meters, colors BGR 0..255, ``side`` is -1 left and
1 right. "x before bending" is measured on a straight street, ``bend`` gives the place on the curved
one. ``canvas.at(z)`` says how far away the polygons that follow are: farther ones are painted
first. Sizes are about the real ones; they, colors and chances are drawn from ranges chosen by eye.
"""
from collections.abc import Callable, Sequence
from typing import Any

from .labels import BICYCLE, MOTORCYCLE, PERSON, RIDER
from .stage import Color, Stage, disc, scaled
from .textures import CLOTH

_SKINS = ((140, 170, 215), (90, 120, 170), (55, 75, 115))
_CLOTHES = ((40, 38, 36), (70, 60, 50), (120, 80, 40), (45, 45, 140), (190, 190, 190), (60, 90, 60),
            (150, 120, 90), (60, 120, 180), (110, 60, 110), (40, 160, 200))
_LACQUERS = ((30, 30, 32), (40, 35, 160), (150, 80, 30), (60, 60, 60), (180, 180, 180), (70, 110,
                                                                                         50))


def person(stage: Stage, x: float, z: float, label: int = PERSON, seat: float = 0.0) -> None:
    """A person at world (x, z), facing or turning its back to the camera.

    Args:
        stage: The scene.
        x: World x.
        z: World z.
        label: PERSON or RIDER.
        seat: Height of the seat of a rider, 0 for standing.
    """
    canvas, dice = stage.canvas, stage.dice
    canvas.at(z)
    height = dice.uniform(1.5, 1.9)
    shirt = dice.tint(dice.pick(_CLOTHES), 0.7, 1.2, 12)
    trousers = dice.tint(dice.pick(_CLOTHES[:4]), 0.6, 1.2, 6)  # the darker colors only
    skin, hair = dice.tint(dice.pick(_SKINS), 0.8, 1.1), dice.tint((35, 45, 60), 0.4, 1.8)
    half_width = height * dice.uniform(0.115, 0.15)
    cloth = canvas.texture(CLOTH, 1.0, 0.0, dice.uniform(0, 99))  # direction along x, a shift

    def part(points: Sequence[tuple[float, float]], color: Color, **style: Any) -> None:
        """Draw a polygon of (across, up) points: across in half widths of the body from its middle,
        up in meters above the ground. ``style``: arguments of :meth:`Canvas.polygon`.
        """
        canvas.polygon([(x + a * half_width, y, z) for a, y in points], color, label, **style)

    hips = seat or height * 0.47
    shoulders = hips + height * 0.36
    _legs(part, hips, bool(seat), dice.uniform(-1.2, 1.2), trousers)
    part([(-.8, hips), (.8, hips), (1., shoulders - .06), (.45, shoulders), (-.45, shoulders),
          (-1., shoulders - .06)], shirt, texture=cloth)
    hands = hips + (.28 if seat else .0)  # a rider's are at the handlebars
    _arms(part, shoulders, hands, dice.uniform(0.0, 0.5), shirt, cloth, skin)
    part([(-.2, shoulders), (.2, shoulders), (.2, shoulders + .06), (-.2, shoulders + .06)],
         scaled(skin, 0.85))
    head = shoulders + height * 0.085
    disc(canvas, (x, head, z), height * 0.058, skin, label, 12, stretch=1.3)
    if label == RIDER or dice.chance(0.1):  # helmet
        hair = dice.pick(((200, 200, 205), (40, 40, 180), (40, 40, 42), (150, 120, 40)))
    hair_stretch = 0.85 if dice.chance(0.7) else 1.2  # short hair or long
    disc(canvas, (x, head + height * 0.03, z), height * 0.062, hair, label, 12,
         stretch=hair_stretch)
    if not seat and dice.chance(0.3):
        bag = dice.tint(dice.pick(_CLOTHES), 0.6, 1)
        part([(.9, hips + .25), (1.5, hips + .25), (1.6, hips - .15), (.95, hips - .15)], bag)


def _legs(part: Callable[..., None], hips: float, seated: bool, stride: float,
          trousers: Color) -> None:
    """Both legs, bent over a seat or standing on shoes ``stride`` half widths to the side.

    ``part`` draws (:func:`person`): points (across in half widths of the body, up in meters).
    ``hips`` is the height of the hips in meters. The right leg is a little brighter.
    """
    for side in (-1, 1):
        shade = scaled(trousers, 1.0 if side > 0 else 0.85)
        if seated:
            knee, foot = hips - .41, hips - .72
            part([(side * .15, hips + .06), (side * .95, hips + .04), (side * 1.05, knee),
                  (side * .5, knee)], shade)
            part([(side * .6, knee), (side * 1., knee), (side * .8, foot), (side * .5, foot)],
                 scaled(shade, 0.8))
        else:
            foot = side * .45 + stride * side
            part([(side * .05, hips + .03), (side * .8, hips + .03), (foot + .32, .06),
                  (foot - .2, .06)], shade)
            part([(foot - .25, .07), (foot + .35, .07), (foot + .4, .0), (foot - .25, .0)],
                 (30, 30, 32))


def _arms(part: Callable[..., None], shoulders: float, hands: float, swing: float, shirt: Color,
          cloth: int, skin: Color) -> None:
    """Both sleeves and hands; ``swing`` half widths away from the body.

    ``part`` draws (:func:`person`): points (across in half widths of the body, up in meters).
    ``shoulders`` and ``hands`` are heights in meters, ``shirt`` and ``skin`` colors, ``cloth`` the
    number of the sleeves' texture.
    """
    for side in (-1, 1):
        part([(side * .85, shoulders - .02), (side * 1.12, shoulders - .08),
              (side * (1.2 + swing), hands + .02), (side * (.9 + swing), hands)],
             scaled(shirt, 0.8), texture=cloth)
        part([(side * (.9 + swing), hands + .02), (side * (1.2 + swing), hands + .04),
              (side * (1.12 + swing), hands - .07), (side * (.95 + swing), hands - .07)], skin)


def cycle(stage: Stage, x: float, z: float, motor: bool, rider: bool) -> None:
    """A bicycle, or with ``motor`` a motorcycle, at world (x, z), seen from the side or along the
    street; ``rider``: with somebody on it.
    """
    dice = stage.dice
    stage.canvas.at(z)
    sideways = dice.chance(0.45 if rider else 0.6)
    color = dice.tint(dice.pick(_LACQUERS), 0.7, 1.2, 6)
    build = (_motorcycle_side if motor else _bicycle_side) if sideways else _cycle_front
    build(stage, x, z, color, motor)
    if rider:  # on the saddle, behind the middle of a cycle that is seen from the side
        person(stage, x - (0.12 if sideways else 0.0), z - 0.01, RIDER,
               seat=0.82 if motor else 0.95)


def _strokes(stage: Stage, x: float, z: float, lines: Sequence[tuple[float, float, float, float]],
             thickness: float, color: Color, label: int) -> None:
    """Straight lines (x0, y0, x1, y1), with x relative to ``x``, in meters and in the plane at
    ``z``, each twice ``thickness`` wide.
    """
    for a, ya, b, yb in lines:
        # half of the thickness, at right angles to the line
        length = max(((b - a)**2 + (yb - ya)**2)**0.5, 1e-6)
        nx, ny = -(yb - ya) / length * thickness, (b - a) / length * thickness
        stage.canvas.polygon([(x + a + nx, ya + ny, z), (x + b + nx, yb + ny, z),
                              (x + b - nx, yb - ny, z), (x + a - nx, ya - ny, z)], color, label)


def _bicycle_side(stage: Stage, x: float, z: float, color: Color, motor: bool) -> None:
    """A bicycle across the view (``motor`` is unused: one signature for all three)."""
    radius = 0.34
    # wheels, the see-through frame, its tubes, then saddle and handlebars
    for s in (-0.52, 0.52):
        # one sees through the spokes
        disc(stage.canvas, (x + s, radius, z), radius, None, BICYCLE, 16)
        disc(stage.canvas, (x + s, radius, z), radius, (28, 28, 28), BICYCLE, 16, hole=0.84)
        disc(stage.canvas, (x + s, radius, z), 0.06, (110, 110, 110), BICYCLE, 8)
    stage.canvas.polygon([(x - .1, .36, z), (x + .38, .82, z), (x - .18, .84, z)], None, BICYCLE)
    _strokes(stage, x, z, ((-.52, .34, -.1, .36), (-.52, .34, -.18, .86), (-.1, .36, -.2, .95),
                           (-.1, .36, .4, .8), (-.18, .84, .38, .84), (.36, 1.0, .52, .34)), 0.03,
             color, BICYCLE)
    _strokes(stage, x, z, ((-.32, .97, -.06, .97), (.28, 1.05, .46, 1.0)), 0.035, (30, 30, 30),
             BICYCLE)


def _motorcycle_side(stage: Stage, x: float, z: float, color: Color, motor: bool) -> None:
    """A motorcycle across the view (``motor`` is unused: one signature for all three)."""
    # wheels, engine, tank and fairing, saddle, fork and handlebars, headlight
    for s in (-0.66, 0.66):
        disc(stage.canvas, (x + s, .31, z), .31, (26, 26, 26), MOTORCYCLE, 14)
        disc(stage.canvas, (x + s, .31, z), .17, (125, 125, 128), MOTORCYCLE, 12)
    stage.canvas.polygon([(x - .6, .38, z), (x + .3, .3, z), (x + .45, .7, z), (x - .35, .72, z)],
                         (55, 55, 58), MOTORCYCLE)
    stage.canvas.polygon([(x - .85, .74, z), (x - .2, .66, z), (x + .1, .72, z), (x + .42, .72, z),
                          (x + .3, .98, z), (x - .02, .96, z), (x - .12, .82, z), (x - .8, .86, z)],
                         color, MOTORCYCLE)
    stage.canvas.polygon([(x - .75, .84, z), (x - .1, .8, z), (x - .1, .88, z), (x - .75, .93, z)],
                         (30, 30, 30), MOTORCYCLE)
    _strokes(stage, x, z, ((.42, .98, .66, .31), (.2, 1.08, .46, 1.0)), 0.04, (60, 60, 60),
             MOTORCYCLE)
    disc(stage.canvas, (x + .5, .88, z), .09, (210, 225, 230), MOTORCYCLE, 10)


def _cycle_front(stage: Stage, x: float, z: float, color: Color, motor: bool) -> None:
    """A bicycle or motorcycle along the street: a narrow upright shape with handlebars."""
    label, radius, half = (MOTORCYCLE, .31, .08) if motor else (BICYCLE, .35, .03)

    def plate(a: float, b: float, y0: float, y1: float, paint: Color) -> None:
        """A rectangle from ``a`` to ``b`` across (relative to x) and ``y0`` to ``y1`` up."""
        stage.canvas.polygon([(x + a, y0, z), (x + b, y0, z), (x + b, y1, z), (x + a, y1, z)],
                             paint, label)

    plate(-half, half, 0, 2 * radius, (26, 26, 26))
    body = .2 if motor else .05
    plate(-body, body, radius * 1.2, radius + .62, color)
    plate(-.34, .34, radius + .64, radius + .7, (45, 45, 45))
    if motor:
        plate(-.13, .13, .2, .42, (60, 60, 62))
        disc(stage.canvas, (x, .82, z), .1, (205, 225, 232), label, 10, glows=stage.dark)
    else:
        plate(-.16, .16, .28, .33, (40, 40, 40))
