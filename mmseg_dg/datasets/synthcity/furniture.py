"""Street furniture: lamps, signals, signs, bollards, walls and fences.

Points are (x right, y up, z along the street) in meters, colors BGR 0..255, ``side`` is -1 left and
1 right. "x before bending" is measured on a straight street, ``bend`` gives the place on the curved
one. ``canvas.at(z)`` says how far away the polygons that follow are: farther ones are painted
first. Sizes are about the real ones; they, colors and chances are drawn from ranges chosen by eye.
"""
from .labels import FENCE, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, WALL
from .stage import TOWARDS, UP, Lamp, Stage, box, disc, scaled
from .textures import BARS, MASONRY

_WALLS = ((110, 130, 160), (150, 155, 160), (90, 100, 130), (120, 120, 118))
_FENCES = ((60, 60, 60), (200, 200, 200), (60, 85, 110), (55, 75, 50))
_BLUE, _RED, _WHITE, _YELLOW = (185, 95, 30), (50, 40, 200), (235, 235, 235), (40, 190, 235)
_SIGNALS = ((60, 60, 245), (60, 190, 250), (110, 230, 90))


def _gray(stage: Stage, *levels: float) -> tuple:
    """BGR of one of the gray levels, drawn."""
    return (stage.dice.pick(levels), ) * 3


def lamp(stage: Stage, side: int, x: float, z: float) -> None:
    """A street lamp at world (x, z) on the left (side -1) or right, its arm over the road."""
    canvas, dice = stage.canvas, stage.dice
    canvas.at(z)
    height, thick, arm = dice.uniform(5, 9), dice.uniform(0.11, 0.2), -side * dice.uniform(0.8, 2.2)
    color = _gray(stage, 60, 110, 150)
    box(canvas, x, z, (thick, height, thick), color, POLE)
    tip, head = x + arm, x + arm - side * 0.6  # ends of the arm and of the lamp's head
    canvas.polygon([(x, height - 0.05, z), (tip, height + 0.25, z), (tip, height + 0.36, z),
                    (x, height + 0.08, z)], color, POLE)
    y0, y1 = height + 0.2, height + 0.38
    canvas.polygon([(tip, y0, z), (head, y0, z), (head, y1, z), (tip, y1, z)], scaled(color, 1.2),
                   POLE)
    if stage.dark:
        stage.lamps.append(Lamp((tip + head) / 2, height + 0.1, z, 0.5, (150, 215, 255)))


def signal(stage: Stage, x: float, z: float) -> None:
    """A traffic light on its pole at world (x, z), facing the camera."""
    canvas, dice = stage.canvas, stage.dice
    canvas.at(z)
    # lit: which lamp is on, 0 red, 1 yellow or 2 green
    height, lit = dice.uniform(2.6, 3.5), dice.pick((0, 0, 1, 2, 2))
    box(canvas, x, z, (0.13, height + 0.3, 0.13), _gray(stage, 50, 110), POLE)
    canvas.polygon([(x + a, height + b, z - 0.1)
                    for a, b in ((-.27, -.72), (.27, -.72), (.27, .52), (-.27, .52))], (45, 45, 48),
                   TRAFFIC_LIGHT)
    canvas.polygon([(x + a, height + b, z - 0.12)
                    for a, b in ((-.2, -.65), (.2, -.65), (.2, .45), (-.2, .45))], (22, 24, 24),
                   TRAFFIC_LIGHT)
    for k, color in enumerate(_SIGNALS):
        y = height + 0.25 - k * 0.35
        disc(canvas, (x, y, z - 0.15), 0.135, color if k == lit else scaled(color, 0.25),
             TRAFFIC_LIGHT, 12, glows=k == lit)
        if k == lit and stage.dark:
            stage.lamps.append(Lamp(x, y, z - 0.15, 0.25, color))


def sign(stage: Stage, x: float, z: float) -> None:
    """A traffic sign on its pole at world (x, z)."""
    canvas, dice = stage.canvas, stage.dice
    canvas.at(z)
    y, radius = dice.uniform(2.1, 2.9), dice.uniform(0.33, 0.48)
    box(canvas, x, z, (0.09, y + 0.1, 0.09), (150, 150, 150), POLE)
    front = z - 0.06  # the plate, before its pole
    kind = dice.pick(('ban', 'ban', 'order', 'warning', 'board', 'yield'))
    if kind == 'ban':
        disc(canvas, (x, y, front), radius, _RED, TRAFFIC_SIGN)
        disc(canvas, (x, y, front), radius * 0.72, _WHITE, TRAFFIC_SIGN)
        if dice.chance(0.5):  # a number
            for a in (-0.25, 0.22):
                canvas.polygon([(x + (a + p) * radius, y + q * radius, front)
                                for p, q in ((-.14, -.35), (.14, -.35), (.14, .35), (-.14, .35))],
                               (35, 35, 35), TRAFFIC_SIGN)
    elif kind == 'order':
        disc(canvas, (x, y, front), radius, _BLUE, TRAFFIC_SIGN)
        canvas.polygon([(x - .1 * radius, y - .6 * radius, front),
                        (x + .1 * radius, y - .6 * radius, front),
                        (x + .1 * radius, y + .6 * radius, front),
                        (x - .1 * radius, y + .6 * radius, front)], _WHITE, TRAFFIC_SIGN)
    elif kind in ('warning', 'yield'):
        turn = -1 if kind == 'yield' else 1
        for size, color in ((1.2, _RED), (0.75, _WHITE)):
            k = radius * size
            canvas.polygon([(x - k, y - turn * k * 0.6, front), (x + k, y - turn * k * 0.6, front),
                            (x, y + turn * k * 1.1, front)], color, TRAFFIC_SIGN)
    else:
        w, h = radius * dice.uniform(0.8, 1.4), radius * dice.uniform(0.9, 1.3)
        canvas.polygon([(x - w, y - h, front), (x + w, y - h, front), (x + w, y + h, front),
                        (x - w, y + h, front)], dice.pick((_BLUE, _WHITE, _YELLOW)), TRAFFIC_SIGN)
        canvas.polygon([(x - .6 * w, y - .2 * h, front), (x + .6 * w, y - .2 * h, front),
                        (x + .6 * w, y + .3 * h, front), (x - .6 * w, y + .3 * h, front)],
                       dice.pick((_WHITE, (40, 40, 40))), TRAFFIC_SIGN)


def bollards(stage: Stage, x: float, z0: float, z1: float) -> None:
    """A row of posts along the kerb from z0 to z1 (x before bending)."""
    step, color = stage.dice.uniform(1.5, 3), _gray(stage, 60, 60, 190)
    z = z0
    while z < z1:
        stage.canvas.at(z)
        box(stage.canvas, stage.street.bend(x, z), z, (0.14, 0.95, 0.14), color, POLE)
        z += step


def wall(stage: Stage, side: int, x: float, z0: float, z1: float) -> None:
    """A low wall along the street from z0 to z1 (x before bending), in pieces of 4 m that follow
    the bend.
    """
    canvas, dice, bend = stage.canvas, stage.dice, stage.street.bend
    height, thick, color = dice.uniform(0.9,
                                        2.3), side * 0.3, dice.tint(dice.pick(_WALLS), 0.8, 1.1)
    # direction along z, a shift of the noise, height of a course of stones
    texture = canvas.texture(MASONRY, 0.0, 1.0, dice.uniform(0, 99), dice.uniform(0.15, 0.4))
    z = z0
    while z < z1:
        end = min(z + 4, z1)
        a, b = bend(x, z), bend(x, end)
        canvas.at(end)
        canvas.polygon([(a, 0, z), (b, 0, end), (b, height, end), (a, height, z)], color, WALL,
                       (-float(side), 0.0, 0.0), texture)
        if height < canvas.camera.elevation:  # its top can be seen
            canvas.polygon([(a, height, z), (b, height, end), (b + thick, height, end),
                            (a + thick, height, z)], scaled(color, 1.1), WALL, UP)
        if z == z0 and z > 0:  # the near end is in front of the camera
            end_face = [(a, 0, z), (a + thick, 0, z), (a + thick, height, z), (a, height, z)]
            canvas.polygon(end_face, color, WALL, TOWARDS)
        z = end


def fence(stage: Stage, x: float, z0: float, z1: float) -> None:
    """A fence along the street from z0 to z1 (x before bending); what is behind its bars can be
    seen but is labeled fence.
    """
    canvas, dice, bend = stage.canvas, stage.dice, stage.street.bend
    height = dice.uniform(0.9, 2.0)
    # direction along z, distance of bars, share of it that a bar fills, height, BGR of the bars
    texture = canvas.texture(BARS, 0.0, 1.0, dice.uniform(0.12, 0.3), dice.uniform(0.3, 0.6),
                             height, *dice.tint(dice.pick(_FENCES), 0.8, 1.1))
    z = z0
    while z < z1:
        end = min(z + 4, z1)
        a, b = bend(x, z), bend(x, end)
        canvas.at(end)
        # no color: only the texture draws, the bars
        canvas.polygon([(a, 0, z), (b, 0, end), (b, height, end), (a, height, z)], None, FENCE,
                       texture=texture)
        z = end
