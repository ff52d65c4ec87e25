"""The plan of a street: lanes, kerbs, sidewalks, crossings.

Sizes, colors, strengths and chances are drawn from ranges chosen by eye; colors are BGR 0..255.
"""
from typing import NamedTuple, Optional

from .dice import Dice

PARKING = 2.2  # meters, width of a row of parked cars
SIDE_STREET = 9.0  # meters


class Street(NamedTuple):
    """A gently curved street along z; x positions are those at z = 0, in meters."""
    lane: float  # width of a lane
    # center of each lane, and whether it drives away from the camera
    lanes: tuple[tuple[float, bool], ...]
    left: float  # x of the kerbs: the road, parked cars included, is between them
    right: float
    walk_left: float  # widths of the sidewalks
    walk_right: float
    parking_left: bool
    parking_right: bool
    verge: float  # width of the green between sidewalk and buildings, 0 for none
    curvature: float  # 1/m; half of the street's: x moves by curvature * z**2
    side_street: Optional[float]  # z where it begins
    zebra: Optional[float]  # z where it begins
    rails: Optional[float]  # center of a tram's track

    def bend(self, x: float, z: float) -> float:
        """The x of a point that lies at ``x`` across the street, ``z`` meters ahead."""
        return x + self.curvature * z * z

    def on_side_street(self, z: float, margin: float = 0.0) -> bool:
        """Whether a point along the street lies in the mouth of the side street, widened by
        ``margin`` meters at both ends.
        """
        return (self.side_street is not None
                and -margin < z - self.side_street < SIDE_STREET + margin)

    def crosses_side_street(self, z0: float, z1: float, margin: float = 0.0) -> bool:
        """Whether the stretch from z0 to z1 touches the mouth of the side street, widened by
        ``margin`` meters at both ends.
        """
        return self.side_street is not None and z1 + margin > self.side_street and \
            z0 - margin < self.side_street + SIDE_STREET

    def front(self, side: int) -> float:
        """The x of the building line; ``side`` is -1 (left) or 1 (right)."""
        if side < 0:
            return self.left - self.walk_left - self.verge
        return self.right + self.walk_right + self.verge

    def kerb(self, side: int) -> float:
        """The x of the kerb."""
        return self.left if side < 0 else self.right


def plan_street(dice: Dice) -> Street:
    """Draw a street; the camera drives in one of its lanes (on the right)."""
    lane = dice.uniform(2.9, 3.6)
    offset = dice.uniform(-0.2, 0.2) * lane  # of the camera in its lane
    ahead = 2 if dice.chance(0.4) else 1  # lanes in the camera's direction
    oncoming = dice.integer(1, 3)  # and in the other one
    # from the camera's own lane (at -offset) to the right, then from it to the left
    lanes: list[tuple[float, bool]] = [(k * lane - offset, True) for k in range(ahead)]
    lanes += [(-(k + 1) * lane - offset, False) for k in range(oncoming)]
    left, right = -(oncoming + 0.5) * lane - offset, (ahead - 0.5) * lane - offset
    parking_left, parking_right = dice.chance(0.55), dice.chance(0.55)
    side_street = dice.uniform(12, 45) if dice.chance(0.45) else None
    zebra = None
    if side_street:
        zebra = side_street - 4  # before the crossing
    elif dice.chance(0.35):
        zebra = dice.uniform(7, 30)
    rails = None
    if dice.chance(0.4):  # not below the camera; the leftmost lane is twice as likely
        rails = dice.pick([x for x, _ in lanes if abs(x) > 1] + [lanes[-1][0]])
    return Street(lane=lane, lanes=tuple(lanes), left=left - PARKING * parking_left,
                  right=right + PARKING * parking_right, walk_left=dice.uniform(1.8, 5.0),
                  walk_right=dice.uniform(1.8, 5.0), parking_left=parking_left,
                  parking_right=parking_right,
                  verge=dice.uniform(0.8, 5) if dice.chance(0.5) else 0.0,
                  curvature=dice.normal(0.0011), side_street=side_street, zebra=zebra, rails=rails)
