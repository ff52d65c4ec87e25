"""Cars, trucks, buses and trams: side profiles extruded across their width, with windows, wheels
and lamps.

Points are (x right, y up, z along the street) in meters, colors BGR 0..255, ``side`` is -1 left and
1 right. "x before bending" is measured on a straight street, ``bend`` gives the place on the curved
one. ``canvas.at(z)`` says how far away the polygons that follow are: farther ones are painted
first. Sizes are about the real ones; they, colors and chances are drawn from ranges chosen by eye.
"""
import math
from collections.abc import Sequence
from typing import Optional

from .labels import BUS, CAR, TRAIN, TRUCK
from .stage import Color, Lamp, Stage, disc, scaled
from .textures import LACQUER, PANES

_LACQUERS = ((30, 30, 32), (220, 220, 222), (150, 150, 152), (90, 92, 95), (40, 35, 150),
             (120, 70, 35), (60, 85, 60), (90, 125, 160), (200, 195, 190), (70, 70, 72), (45, 45,
                                                                                          48))
_BUSES = ((40, 40, 170), (50, 170, 215), (200, 200, 200), (150, 90, 40), (80, 140, 70))
_TRAMS = ((60, 190, 230), (50, 45, 180), (190, 195, 200), (90, 130, 60), (170, 110, 50))
_GLASS, _TYRE, _RIM = (70, 58, 48), (26, 26, 28), (125, 125, 128)
_LENGTHS = {CAR: (3.7, 4.8), TRUCK: (6.0, 9.5), BUS: (10.0, 12.5), TRAIN: (17.0, 26.0)}
Profile = list[tuple[float, float]]


def vehicle_length(stage: Stage, kind: int) -> float:
    """A length in meters for one of CAR, TRUCK, BUS, TRAIN."""
    return stage.dice.uniform(*_LENGTHS[kind])


class Vehicle:
    """One vehicle under construction, in its own axes (meters): ``a`` across (left below 0), ``y``
    up, ``along`` from the middle (front at -length / 2).

    Polygons are kept only of the sides that the camera sees.

    Args:
        stage: The scene.
        kind: CAR, TRUCK, BUS or TRAIN.
        x: World x of the middle.
        z: World z of the middle.
        yaw: Radians; 0 comes toward the camera, pi drives away.
        length: Meters.

    Attributes:
        near: World z of its end toward the camera.
        detailed: It is near enough for parts that would be smaller than a pixel farther away.
        grain: Number of the texture of its lacquer.
    """
    def __init__(self, stage: Stage, kind: int, x: float, z: float, yaw: float,
                 length: float) -> None:
        self.stage, self.kind, self.length = stage, kind, length
        self.x, self.z, self.cos, self.sin = x, z, math.cos(yaw), math.sin(yaw)
        self.near = z - abs(self.cos) * length / 2
        self.detailed = self.near < 45
        # one distance for all its polygons: among themselves they are painted in the order in which
        # they are added
        stage.canvas.at(max(self.near, 0.5))
        # direction (mostly along z), a shift of the noise, strength of the shine
        self.grain = stage.canvas.texture(LACQUER, 0.5, 1.0, stage.dice.uniform(0, 99), 0.2)

    def point(self, a: float, y: float, along: float) -> tuple[float, float, float]:
        """World position of a point of the vehicle: turned by its yaw about the vertical, moved to
        its place.
        """
        return self.x + a * self.cos + along * self.sin, y, self.z - a * self.sin + along * self.cos

    def direction(self, a: float, y: float, along: float) -> tuple[float, float, float]:
        """World direction of a direction of the vehicle, which is turned but not moved."""
        return a * self.cos + along * self.sin, y, -a * self.sin + along * self.cos

    def sees_side(self, side: int, width: float) -> bool:
        """Whether the left (-1) or right (1) side of a body ``width`` meters wide is toward the
        camera.
        """
        return self.stage.canvas.faces(self.point(side * width / 2, 1.0, 0),
                                       self.direction(side, 0, 0))

    def sees_end(self, end: int) -> bool:
        """Whether the front (-1) or rear (1) is toward the camera."""
        return self.stage.canvas.faces(self.point(0, 1.0, end * self.length / 2),
                                       self.direction(0, 0, end))

    def extrude(self, profile: Profile, width: float, color: Color,
                glass: Optional[Sequence[float]] = None) -> None:
        """Add a body.

        Args:
            profile: Its outline from the side, (along, up) points in meters, counter-clockwise.
            width: From side to side, meters.
            color: BGR.
            glass: BGR of its front and rear, sloping or upright; None: as the rest.
        """
        canvas, half = self.stage.canvas, width / 2
        for side in (-1, 1):
            if self.sees_side(side, width):
                canvas.polygon([self.point(side * half, y, along) for along, y in profile], color,
                               self.kind, self.direction(side, 0, 0), self.grain)
        # each edge of the profile becomes a face across the vehicle
        for (l0, y0), (l1, y1) in zip(profile, profile[1:] + profile[:1]):
            size = math.hypot(l1 - l0, y1 - y0)
            # outward; its second number is 1 for a roof, 0 for an upright face, -1 for a floor
            normal = self.direction(0, (l0 - l1) / size, (y1 - y0) / size)
            corner = self.point(-half, y0, l0)
            # the floor is never seen, other faces only if they are toward the camera
            if normal[1] < -0.9 or not canvas.faces(corner, normal):
                continue
            pane = glass is not None and abs(normal[1]) < 0.92
            canvas.polygon([
                corner,
                self.point(half, y0, l0),
                self.point(half, y1, l1),
                self.point(-half, y1, l1)
            ], glass if pane else color, self.kind, normal, 0 if pane else self.grain)

    def on_side(self, width: float, points: Profile, color: Color, texture: int = 0) -> None:
        """Paint a polygon onto the side that is seen.

        Args:
            width: Distance of the left from the right side on which it lies, meters.
            points: (along, y) corners, meters.
            color: BGR.
            texture: Number of a texture, 0 for none.
        """
        for side in (-1, 1):
            if self.sees_side(side, width):
                self.stage.canvas.polygon(
                    [self.point(side * width / 2, y, along) for along, y in points], color,
                    self.kind, self.direction(side, 0, 0), texture)

    def on_end(self, end: int, a0: float, a1: float, y0: float, y1: float, color: Color,
               glows: bool = False, inset: float = 0.0) -> None:
        """Paint a rectangle onto the front or rear, if it is seen.

        Args:
            end: -1 front, 1 rear.
            a0, a1: Its left and right side, across.
            y0, y1: Its lower and upper side.
            color: BGR.
            glows: It shines by itself.
            inset: Meters inside the body; below 0 in front of it.
        """
        if self.sees_end(end):
            along = end * (self.length / 2 - inset)
            corners = [self.point(a, y, along) for a, y in ((a0, y0), (a1, y0), (a1, y1), (a0, y1))]
            self.stage.canvas.polygon(corners, color, self.kind, self.direction(0, 0, end),
                                      glows=glows)

    def wheels(self, width: float, radius: float, axles: Sequence[float]) -> None:
        """Tires, near the camera with rims, on the seen side.

        Args:
            width: Across both sides, meters.
            radius: Of a tire, meters; its center is as high.
            axles: Places along the vehicle, meters from its middle (front below 0).
        """
        corners = 14 if self.detailed else 8
        # the discs lie along the vehicle: (sin, cos) is that direction in world x and z
        for side in (-1, 1):
            if not self.sees_side(side, width):
                continue
            for axle in axles:
                center = self.point(side * width / 2, radius, axle)
                disc(self.stage.canvas, center, radius, _TYRE, self.kind, corners,
                     along=(self.sin, self.cos))
                if self.detailed:
                    disc(self.stage.canvas, center, radius * 0.6, _RIM, self.kind, 10,
                         along=(self.sin, self.cos))

    def lights(self, width: float, y: float, inner: float) -> None:
        """Head and tail lamps; they shine in the dark, on wet days and in fog.

        Args:
            width: Of the vehicle, meters.
            y: Height of the lamps.
            inner: Meters from the vehicle's side to a lamp's center.
        """
        stage = self.stage
        lit = stage.dark or stage.look.wet > 0.2 or stage.look.haze[0] > 0.02
        # front and rear: end, BGR, radius of the glow in the dark
        for end, color, radius in ((-1, (215, 235, 240), 0.45), (1, (40, 35, 200), 0.2)):
            if not self.sees_end(end):
                continue
            for side in (-1, 1):
                a = side * (width / 2 - inner)
                self.on_end(end, a - 0.17, a + 0.17, y - 0.09, y + 0.09, color, glows=lit,
                            inset=-0.02)
                if stage.dark:
                    stage.lamps.append(
                        Lamp(*self.point(a, y, end * (self.length / 2 + 0.02)), radius, color))

    def underside(self, width: float) -> None:
        """The dark gap between the body and the road."""
        half, half_length = width / 2 * 0.96, self.length / 2 * 0.96  # within the body
        for end in (-1, 1):
            if self.sees_end(end):
                corners = ((-half, .1), (half, .1), (half, .5), (-half, .5))
                self.stage.canvas.polygon([self.point(a, y, end * half_length) for a, y in corners],
                                          (14, 14, 15), self.kind)
        self.on_side(width * 0.96, [(-half_length, .12), (half_length, .12), (half_length, .5),
                                    (-half_length, .5)], (14, 14, 15))


def add_vehicle(stage: Stage, kind: int, x: float, z: float, yaw: float, length: float) -> None:
    """Add a vehicle; see :class:`Vehicle` for the arguments."""
    {CAR: _car, TRUCK: _truck, BUS: _bus, TRAIN: _tram}[kind](Vehicle(stage, kind, x, z, yaw,
                                                                      length))


def _car(car: Vehicle) -> None:
    """Body, cabin, panes, doors, bumpers and wheels of a passenger car."""
    dice, length = car.stage.dice, car.length
    color = dice.tint(dice.pick(_LACQUERS), 0.85, 1.1, 4)
    width, height, half = dice.uniform(1.68, 1.88), dice.uniform(1.4, 1.75), length / 2
    # height of the windows' lower edge, length of the hood, whether the rear is steep
    belt, hood, estate = height * 0.57, length * dice.uniform(0.2, 0.28), dice.chance(0.5)
    glass = scaled(_GLASS, dice.uniform(0.6, 1.4))
    car.underside(width)
    # outlines seen from the side, (along, up) in meters
    body = [(-half + .06, .24), (half - .05, .24), (half, .5), (half - .03, belt * .93),
            (half - .14, belt), (-half + hood, belt), (-half + .2, belt * .86),
            (-half + .03, belt * .74), (-half, .5)]
    car.extrude(body, width, color)
    # front and rear end of the cabin, which begins at the belt
    a0, a1 = -half + hood, half - (.12 if estate else length * .13)
    cabin = [(a0, belt), (a1, belt), (a1 - (.3 if estate else length * .12), height),
             (a0 + length * .15, height)]
    car.extrude(cabin, width * 0.86, color, glass)
    top = height - .09
    pane = [(a0 + .3, belt + .05), (a1 - .15, belt + .05), (cabin[2][0] - .08, top),
            (cabin[3][0] + .08, top)]
    car.on_side(width * 0.862, pane, glass)  # a little outside the cabin, whose width is 0.86
    if car.detailed:
        middle = (a0 + a1) / 2 + .1
        # pillar and door
        for across, k, y0, y1 in ((width * 0.863, .05, belt, top), (width, .015, .3, belt)):
            car.on_side(across, [(middle - k, y0), (middle + k, y0), (middle + k, y1),
                                 (middle - k, y1)], scaled(color, 0.5))
        # sill, grille, then bumpers and number plates
        car.on_side(width, [(-half + .1, .24), (half - .1, .24), (half - .1, .34),
                            (-half + .1, .34)], (32, 32, 34))
        car.on_end(-1, -.42, .42, .5, .62, (25, 25, 27))
        for end in (-1, 1):
            car.on_end(end, -width * .47, width * .47, .24, .36, (36, 36, 38))
            car.on_end(end, -.26, .26, .4, .5, (215, 220, 222), inset=-0.01)
    car.wheels(width, .32, (-length * .31, length * .3))
    car.lights(width, belt * .8, .3)


def _truck(truck: Vehicle) -> None:
    """A cabin and a cargo box, the farther one painted first."""
    dice, half = truck.stage.dice, truck.length / 2
    width, height = 2.4, dice.uniform(2.8, 3.7)
    cargo, cabin = dice.tint(dice.pick(_LACQUERS[1:]), 0.85, 1.1,
                             4), dice.tint(dice.pick(_LACQUERS), 0.85, 1.1, 4)
    glass = scaled(_GLASS, dice.uniform(0.6, 1.3))
    truck.underside(width)
    # outlines seen from the side, (along, up) in meters: the cargo box, the cabin before it
    # (both have one distance for the painter, so that the later one covers the earlier)
    bodies = [
        lambda: truck.extrude([(-half + 2.1, .75), (half, .75), (half, height),
                               (-half + 2.1, height)], width, cargo),
        lambda: truck.extrude([(-half, .45), (-half + 1.95, .45), (-half + 1.95, 2.65),
                               (-half + .3, 2.65), (-half, 1.5)], width * .96, cabin)
    ]
    for add_body in bodies if truck.sees_end(-1) else reversed(bodies):
        add_body()
    truck.on_side(width * .97, [(-half + .35, 1.5), (-half + 1.35, 1.5), (-half + 1.35, 2.3),
                                (-half + .5, 2.3)], glass)
    if truck.sees_end(-1):
        truck.stage.canvas.polygon([
            truck.point(a, y, k - half - .02)
            for a, y, k in ((-1.05, 1.55, 0), (1.05, 1.55, 0), (1.0, 2.5, .28), (-1.0, 2.5, .28))
        ], glass, TRUCK)
        truck.on_end(-1, -.75, .75, .75, 1.2, (35, 35, 38))
    truck.on_end(1, -.02, .02, .8, height - .05, scaled(cargo, .55))
    truck.on_end(1, -1.15, 1.15, .55, .72, (45, 45, 48))
    truck.wheels(width, .48, (-half + 1.1, half * .5, half * .8))
    truck.lights(width, .8, .3)


def _panes(vehicle: Vehicle, width: float, y0: float, y1: float, glass: Color) -> None:
    """A band of windows (BGR ``glass``) along the seen side, from height ``y0`` to ``y1``; the
    vehicle is ``width`` meters wide.
    """
    half = vehicle.length / 2
    # direction along the vehicle, width of a pane, whether there is light inside
    texture = vehicle.stage.canvas.texture(PANES, abs(vehicle.sin), abs(vehicle.cos),
                                           vehicle.stage.dice.uniform(1.3, 2),
                                           float(vehicle.stage.dark))
    points = [(-half + .4, y0), (half - .4, y0), (half - .4, y1), (-half + .4, y1)]
    vehicle.on_side(width + .01, points, glass, texture)


def _bus(bus: Vehicle) -> None:
    """A box with a band of panes, a door and a destination sign."""
    dice, half = bus.stage.dice, bus.length / 2
    color, width, height = dice.tint(dice.pick(_BUSES), 0.8, 1.1, 5), 2.5, dice.uniform(2.95, 3.3)
    glass = scaled(_GLASS, dice.uniform(0.6, 1.2))
    bus.underside(width)
    bus.extrude([(-half, .32), (half, .32), (half, height), (-half + .1, height)], width, color)
    _panes(bus, width, 1.3, 2.4, glass)
    if dice.chance(0.5):  # a white stripe below the panes
        bus.on_side(width + .01, [(-half, .75), (half, .75), (half, 1.0), (-half, 1.0)],
                    (225, 225, 225))
    door = -half + .5  # its front edge
    bus.on_side(width + .02, [(door, .4), (door + 1.1, .4), (door + 1.1, 2.4), (door, 2.4)],
                scaled(glass, 0.8))
    # windshield, the destination sign above it, rear window
    bus.on_end(-1, -1.15, 1.15, 1.1, 2.5, glass)
    bus.on_end(-1, -.8, .8, 2.6, 2.85, (30, 90, 120) if not bus.stage.dark else (60, 190, 250),
               glows=bus.stage.dark)
    bus.on_end(1, -1.0, 1.0, 1.6, 2.5, glass)
    bus.wheels(width, .48, (-half * .55, half * .5))
    bus.lights(width, .75, .35)


def _tram(tram: Vehicle) -> None:
    """Joined cars with sloped noses at both ends, panes and a pantograph."""
    dice, half = tram.stage.dice, tram.length / 2
    color, width, height = dice.tint(dice.pick(_TRAMS), 0.85, 1.1, 5), 2.4, dice.uniform(3.4, 3.7)
    glass = scaled(_GLASS, dice.uniform(0.5, 1.1))
    tram.underside(width)
    # the body: its outline seen from the side, (along, up) in meters, with sloped noses
    tram.extrude([(-half + .5, .25), (half - .5, .25), (half, .9), (half, 1.3), (half - .5, height),
                  (-half + .5, height), (-half, 1.3), (-half, .9)], width, color)
    # a light band below the windows
    tram.on_side(width + .01, [(-half + .2, .3), (half - .2, .3), (half, .9), (-half, .9)],
                 (205, 208, 210))
    _panes(tram, width, 1.35, 2.6, glass)
    for k in range(1, int(tram.length // 7)):  # the joints between the cars
        joint = -half + k * tram.length / (tram.length // 7)
        tram.on_side(width + .02, [(joint - .3, .3), (joint + .3, .3), (joint + .3, height),
                                   (joint - .3, height)], (40, 40, 42))
    for end in (-1, 1):
        if tram.sees_end(end):
            tram.stage.canvas.polygon([
                tram.point(a, y, end * (half + .02 - k))
                for a, y, k in ((-1.05, 1.4, .03), (1.05, 1.4, .03), (.95, 2.75, .33),
                                (-.95, 2.75, .33))
            ], glass, TRAIN)
            # the destination sign above the windshield, then a bumper
            tram.on_end(end, -.7, .7, 2.95, 3.2, (30, 120, 160), glows=tram.stage.dark, inset=.38)
            tram.on_end(end, -width / 2, width / 2, .9, 1.3, scaled(color, 0.7), inset=-.01)
    # pantograph: two bars that fold over the roof
    for a, y, b, y1 in ((-.5, height, .3, height + .6), (.3, height + .6, -.3, height + 1.2)):
        tram.stage.canvas.polygon([
            tram.point(0, y, a - .04),
            tram.point(0, y, a + .04),
            tram.point(0, y1, b + .04),
            tram.point(0, y1, b - .04)
        ], (50, 50, 52), TRAIN)
    tram.lights(width, 1.05, .35)
