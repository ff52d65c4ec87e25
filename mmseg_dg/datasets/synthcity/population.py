"""Who and what stands in a street: draws positions, then has everything built.

Points are (x right, y up, z along the street) in meters, colors BGR 0..255, ``side`` is -1 left and
1 right. "x before bending" is measured on a straight street, ``bend`` gives the place on the curved
one. ``canvas.at(z)`` says how far away the polygons that follow are: farther ones are painted
first. Sizes are about the real ones; they, colors and chances are drawn from ranges chosen by eye.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

from . import buildings, furniture, people, plants, vehicles
from .labels import BUS, CAR, TRAIN, TRUCK
from .stage import Stage
from .street import SIDE_STREET

LEFT, RIGHT = -1, 1
# corners (x, z) and height of something that casts a shadow
Footprint = tuple[Sequence[tuple[float, float]], float]


class Parked(NamedTuple):
    """The place of a vehicle, parked or driving; x as on a straight street."""
    kind: int  # train id: CAR, TRUCK, BUS or TRAIN
    x: float
    z: float  # of its middle
    yaw: float  # radians; 0 comes toward the camera, pi drives away
    length: float


class Passer(NamedTuple):
    """The place of a person or cycle; x as on a straight street."""
    kind: str  # walker, bicycle, motorcycle
    x: float
    z: float
    rider: bool  # somebody is on the cycle; False for a walker


class Plot(NamedTuple):
    """A stretch of the building line; its fields are the arguments of :func:`buildings.house`."""
    side: int
    x: float  # of the front, as on a straight street
    z0: float
    z1: float
    height: float  # of the house, 0 for a green plot


class Population(NamedTuple):
    """Everything in a street, as places."""
    vehicles: list[Parked]
    passers: list[Passer]
    trees: list[tuple[float, float, float]]  # x across, z, height
    plots: list[Plot]


def draw_population(stage: Stage) -> Population:
    """Draw who and what stands where."""
    return Population(_traffic(stage), _passers(stage), _trees(stage),
                      _plots(stage, LEFT) + _plots(stage, RIGHT))


def _traffic(stage: Stage) -> list[Parked]:
    """Parked cars at both kerbs, vehicles in the lanes, perhaps one in the side street."""
    dice, street = stage.dice, stage.street
    found: list[Parked] = []
    for parked, side in ((street.parking_left, LEFT), (street.parking_right, RIGHT)):
        z = dice.uniform(3, 9)
        while parked and z < 75:  # cars beyond are a few pixels
            if dice.chance(0.75) and not street.on_side_street(z, 4):
                yaw = (math.pi if dice.chance(0.5) else 0) + dice.normal(0.02)
                found.append(  # its middle is half a car's width inside the kerb
                    Parked(CAR,
                           street.kerb(side) - side * 1.05 + dice.normal(0.06), z, yaw,
                           vehicles.vehicle_length(stage, CAR)))
            z += dice.uniform(5.2, 7.5)
    for center, away in street.lanes:
        # in the camera's own lane they keep their distance
        z = dice.uniform(8, 30) if abs(center) < 1.6 else dice.uniform(3, 22)
        on_rails = street.rails == center
        while z < 95:  # z: near end of the next vehicle
            if dice.chance(0.55):
                kind = dice.weighted((CAR, TRUCK, BUS, TRAIN), (4, 1, 1, 4) if on_rails else
                                     (5, 1, 1, 0))
                length = vehicles.vehicle_length(stage, kind)
                shift = 0.0 if kind == TRAIN else dice.normal(0.15)
                found.append(
                    Parked(kind, center + shift, z + length / 2, math.pi if away else 0.0, length))
                z += length
            z += dice.uniform(5, 24)
    if street.side_street is not None and dice.chance(0.35):  # someone turns or crosses
        way = dice.pick((-1, 1))
        found.append(
            Parked(CAR, dice.uniform(-9, 9), street.side_street + SIDE_STREET * (0.5 + 0.2 * way),
                   way * math.pi / 2, vehicles.vehicle_length(stage, CAR)))
    return found


def _passers(stage: Stage) -> list[Passer]:
    """People and cycles: riders, parked cycles, walkers on the sidewalks and across the road."""
    dice, street = stage.dice, stage.street
    found: list[Passer] = []

    def cycle(rider: bool, x: float, z: float, motor: float) -> None:
        """Add a bicycle, or with the chance ``motor`` a motorcycle; ``rider``: somebody is on it.
        """
        found.append(Passer('motorcycle' if dice.chance(motor) else 'bicycle', x, z, rider))

    for _ in range(dice.integer(0, 4)):  # riders beside the traffic
        side = dice.pick((LEFT, RIGHT))
        parking = street.parking_left if side < 0 else street.parking_right
        # 2.9 m from the kerb is beside the parked cars
        cycle(True, street.kerb(side) - side * (2.9 if parking else 0.6), dice.uniform(5, 32), 0.4)
    if dice.chance(0.2):  # one in a lane
        cycle(True, dice.pick(street.lanes)[0] + dice.uniform(-1, 1), dice.uniform(7, 25), 0.7)
    for _ in range(dice.integer(0, 4)):  # parked cycles
        side = dice.pick((LEFT, RIGHT))
        cycle(False, street.kerb(side) + side * 0.5, dice.uniform(4, 25), 0.4)
    for _ in range(dice.integer(1, 14)):  # walkers on the sidewalks
        side = dice.pick((LEFT, RIGHT))
        width = street.walk_left if side < 0 else street.walk_right
        found.append(
            Passer('walker',
                   street.kerb(side) + side * dice.uniform(0.4, width), dice.uniform(4, 45), False))
    for _ in range(dice.integer(0, 3)):  # crossing the road
        z = street.zebra + dice.uniform(0, 3) if street.zebra else dice.uniform(9, 40)
        found.append(Passer('walker', dice.uniform(street.left, street.right), z, False))
    return found


def _trees(stage: Stage) -> list[tuple[float, float, float]]:
    """``(x, z, height)`` of trees along the kerbs, x as on a straight street; each side has a row
    of them or none.
    """
    dice, street = stage.dice, stage.street
    found = []
    for side in (LEFT, RIGHT):
        if not dice.chance(0.5):
            continue
        z, step = dice.uniform(5, 14), dice.uniform(7, 15)
        while z < 90:
            if not street.on_side_street(z, 2):
                found.append(
                    (street.kerb(side) + side * dice.uniform(0.7, 1.1), z + dice.normal(0.5),
                     dice.uniform(4.5, 10)))
            z += step
    return found


def _plots(stage: Stage, side: int) -> list[Plot]:
    """The ground along one side, from the camera on: houses, greens (height 0) and the side
    street's gap.
    """
    dice, street = stage.dice, stage.street
    found: list[Plot] = []
    front, z = street.front(side), dice.uniform(-6, 2)
    green = 0.8 if dice.chance(0.2) else 0.1  # chance of a plot without a house
    while z < 130:
        end = z + dice.uniform(7, 18)
        # behind a verge houses do not stand in one line
        x = front + side * (dice.uniform(0, 1.5) if street.verge else 0.0)
        if street.side_street is not None and street.crosses_side_street(z, end):
            if street.side_street - z > 3:  # meters: room for a house before the gap
                found.append(
                    Plot(side=side, x=front, z0=z, z1=street.side_street - 0.5,
                         height=buildings.house_height(stage)))
            z = street.side_street + SIDE_STREET + 0.3
            continue
        found.append(
            Plot(side=side, x=x, z0=z, z1=end,
                 height=0.0 if dice.chance(green) else buildings.house_height(stage)))
        z = end + (0 if dice.chance(0.65) else dice.uniform(1, 8))
    return found


def footprints(stage: Stage, population: Population) -> list[Footprint]:
    """What casts shadows on the ground: corners (x, z) of each footprint, and height. Widths, and
    the heights of vehicles and people, are typical ones: they are drawn only when they are built.
    """
    bend = stage.street.bend

    def around(x: float, z: float, width: float, length: float) -> list:
        """Corners of a rectangle around a place (x before bending)."""
        x = bend(x, z)
        return [(x + a * width / 2, z + b * length / 2)
                for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]

    found: list[Footprint] = []
    for v in population.vehicles:
        wide, high = (1.9, 1.4) if v.kind == CAR else (2.5, 3.0)
        crossing = abs(math.sin(v.yaw)) > 0.7  # stands across the street
        base = (v.length, wide) if crossing else (wide, v.length)
        found.append((around(v.x, v.z, *base), high))
    found += [(around(p.x, p.z, 0.5, 0.35), 1.7 if p.kind == 'walker' or p.rider else 0.9)
              for p in population.passers]
    found += [(around(x, z, height * 0.45, height * 0.45), height * 0.8)
              for x, z, height in population.trees]
    for plot in population.plots:
        if plot.height:
            near, far = bend(plot.x, plot.z0), bend(plot.x, plot.z1)
            found.append(([(near, plot.z0), (far, plot.z1), (far + plot.side * 9, plot.z1),
                           (near + plot.side * 9, plot.z0)], min(plot.height, 9.0)))
    return found


def build(stage: Stage, population: Population) -> None:
    """Add everything to the stage's canvas: what was drawn as places, and what has no place of its
    own (edges of the sidewalks, street furniture, a forest at the horizon).
    """
    street = stage.street
    plants.forest(stage, 140.0)
    for plot in population.plots:
        if plot.height:
            buildings.house(stage, *plot)
        else:
            _green_plot(stage, plot)
    for side in (LEFT, RIGHT):  # drawn where they are built: they cast no shadows
        _edges(stage, side)
        _furniture(stage, side)
    for x, z, height in population.trees:
        plants.tree(stage, street.bend(x, z), z, height)
    for v in population.vehicles:
        turn = math.atan(2 * street.curvature * v.z)  # the street's direction at z
        vehicles.add_vehicle(stage, v.kind, street.bend(v.x, v.z), v.z, v.yaw + turn, v.length)
    for p in population.passers:
        x = street.bend(p.x, p.z)
        if p.kind == 'walker':
            people.person(stage, x, p.z)
        else:
            people.cycle(stage, x, p.z, p.kind == 'motorcycle', p.rider)


def _green_plot(stage: Stage, plot: Plot) -> None:
    """A lawn with trees, perhaps behind a hedge, wall or fence."""
    dice = stage.dice
    plants.lawn(stage, plot.side, plot.x, plot.z0, plot.z1)
    border = dice.pick(('none', 'hedge', 'wall', 'fence'))
    if border == 'hedge':
        plants.hedge(stage, plot.side, plot.x, plot.z0, plot.z1, dice.uniform(0.8, 2.5))
    elif border == 'wall':
        furniture.wall(stage, plot.side, plot.x, plot.z0, plot.z1)
    elif border == 'fence':
        furniture.fence(stage, plot.x, plot.z0, plot.z1)
    for _ in range(dice.integer(1, 5)):
        z = dice.uniform(plot.z0, plot.z1)
        if z > 3:  # meters: a nearer crown would fill the picture
            plants.tree(stage, stage.street.bend(plot.x + plot.side * dice.uniform(2, 6), z), z,
                        dice.uniform(5, 12))


def _edges(stage: Stage, side: int) -> None:
    """Fences, walls and hedges behind the sidewalk, and railings at the kerb."""
    dice, street = stage.dice, stage.street
    if street.verge > 0 or dice.chance(0.35):
        x = street.kerb(side) + side * ((street.walk_left if side < 0 else street.walk_right) + 0.1)
        z = dice.uniform(0, 16)
        while z < 80:
            end = z + dice.uniform(5, 18)
            kind = dice.weighted(('fence', 'wall', 'hedge', 'none'), (0.27, 0.27, 0.2, 0.26))
            if street.crosses_side_street(z, end, 1) or kind == 'none':
                pass
            elif kind == 'fence':
                furniture.fence(stage, x, z, end)
            elif kind == 'wall':
                furniture.wall(stage, side, x, z, end)
            else:
                plants.hedge(stage, side, x, z, end, dice.uniform(0.6, 1.8))
            z = end + dice.uniform(1, 12)
    if dice.chance(0.15):
        z = dice.uniform(4, 25)
        end = z + dice.uniform(5, 20)
        if not street.crosses_side_street(z, end):
            furniture.fence(stage, street.kerb(side) + side * 0.3, z, end)


def _furniture(stage: Stage, side: int) -> None:
    """Lamps, signs, bollards and traffic lights of one sidewalk."""
    dice, street = stage.dice, stage.street
    x = street.kerb(side) + side * 0.5
    z, step = dice.uniform(5, 25), dice.uniform(14, 32)
    while z < 110:
        if not street.on_side_street(z):
            furniture.lamp(stage, side, street.bend(x, z), z)
        z += step
    for _ in range(dice.integer(0, 4)):
        z = dice.uniform(6, 40)
        furniture.sign(stage, street.bend(x, z), z)
    if dice.chance(0.12):
        furniture.bollards(stage, x, dice.uniform(4, 10), 40)
    # traffic lights before the side street or the crossing, and behind the side street
    crossing_z = street.side_street if street.side_street is not None else street.zebra
    if crossing_z is not None and dice.chance(0.8):
        before = crossing_z - 1.2
        furniture.signal(stage, street.bend(x, before), before)
        if street.side_street is not None and dice.chance(0.6):
            behind = crossing_z + SIDE_STREET + 1
            furniture.signal(stage, street.bend(x, behind), behind)
