"""Domains: how light, weather and lens make the same kind of street look.

``mixed`` draws one of day, overcast and dusk per picture. ``camera`` is a photograph: rough
surfaces, hazy light and a cheap camera (``lens.py``); it differs from the clean domains in its
statistics, which change from picture to picture and within one, not in what stands in the street.

Sizes, colors, strengths and chances are drawn from ranges chosen by eye; colors are BGR 0..255.
"""
from typing import NamedTuple

import numpy as np

from .canvas import Light
from .dice import Dice

DOMAINS = ('day', 'overcast', 'dusk', 'night', 'fog', 'rain', 'camera', 'mixed')
Range = tuple[float, float]
Color = tuple[float, float, float]


class Look(NamedTuple):
    """Ranges from which the look of one picture is drawn; colors are BGR."""
    sun: Range  # strength of direct light
    ambient: Range  # strength of light from all sides
    sky: Color  # 0..255
    horizon: Color  # 0..255
    haze: Range  # 1/m, extinction
    clouds: Range  # the part of the sky without clouds; above 1: none
    cloud_color: Color = (240, 240, 240)
    sun_color: Color = (0.92, 0.98, 1.05)
    ambient_color: Color = (1.06, 1.0, 0.96)
    sun_height: Range = (38, 68)  # degrees
    shadow: float = 0.35
    crisp: bool = False
    lamps: float = 0.0  # strength of lamps and headlights
    wet: float = 0.0  # strength of the road's reflections
    roughness: float = 0.0  # contrast of the grain on every surface
    noise: Range = (0.4, 1.5)  # standard deviation of the sensor's noise, gray levels
    photo: bool = False  # developed by a cheap camera (``lens.py``), with duller greens


_DAY = Look(sun=(0.8, 1.0), ambient=(0.52, 0.68), sky=(235, 170, 95), horizon=(250, 225, 195),
            haze=(0.0004, 0.002), clouds=(0.45, 0.9), shadow=0.45, crisp=True)
LOOKS = dict(
    day=_DAY, overcast=Look(sun=(0.3, 0.4), ambient=(0.75, 0.9), sky=(205, 200, 192),
                            horizon=(232, 230, 226), haze=(0.001, 0.004), clouds=(0.2, 0.3)),
    dusk=Look(sun=(0.35, 0.5), ambient=(0.35, 0.45), sky=(120, 75, 50), horizon=(120, 165, 235),
              haze=(0.001, 0.004), clouds=(0.35, 0.7), cloud_color=(120, 130, 200),
              sun_color=(0.55, 0.75, 1.1), ambient_color=(1.15, 0.95, 0.9), sun_height=(8, 20),
              crisp=True, lamps=0.35),
    night=Look(sun=(0.0, 0.05), ambient=(0.2, 0.3), sky=(22, 14, 9), horizon=(46, 36, 30),
               haze=(0.0005, 0.002), clouds=(2, 2), ambient_color=(1.15, 0.95, 0.85), lamps=1.0,
               wet=0.06, noise=(2, 5)), fog=Look(sun=(0.15, 0.25), ambient=(0.75, 0.9),
                                                 sky=(205, 205, 203), horizon=(214, 214, 212),
                                                 haze=(0.025, 0.06), clouds=(2, 2), shadow=0.2),
    rain=Look(sun=(0.1, 0.2), ambient=(0.5, 0.65), sky=(150, 145, 140), horizon=(182, 180, 178),
              haze=(0.006, 0.014), clouds=(0.15, 0.25), cloud_color=(180, 180, 180),
              ambient_color=(1.08, 1.0, 0.94), wet=0.38),
    camera=_DAY._replace(sun=(0.35, 0.8), ambient=(0.5, 0.65), sky=(240, 222, 200),
                         horizon=(250, 246, 240), haze=(0.002, 0.006), clouds=(0.3, 0.8),
                         roughness=0.55, photo=True))


def draw_look(dice: Dice, domain: str) -> tuple[Look, Light]:
    """The look and the light of one picture.

    Args:
        dice: Source of the draws.
        domain: One of DOMAINS.

    Returns:
        The look, still with its ranges, and the light, drawn from them.

    Raises:
        ValueError: Unknown domain.
    """
    if domain not in DOMAINS:
        raise ValueError(f'unknown domain {domain!r} of the synthetic city; choose one of '
                         f'{", ".join(DOMAINS)}')
    if domain == 'mixed':
        domain = dice.weighted(('day', 'overcast', 'dusk'), (0.6, 0.3, 0.1))
    look = LOOKS[domain]
    azimuth, height = dice.uniform(0, 2 * np.pi), np.deg2rad(dice.uniform(*look.sun_height))
    # unit vector to the sun: x, y (up), z
    direction = np.array(
        [np.cos(height) * np.cos(azimuth),
         np.sin(height),
         np.cos(height) * np.sin(azimuth)])
    light = Light(ambient=np.array(look.ambient_color) * dice.uniform(*look.ambient),
                  sun=np.array(look.sun_color) * dice.uniform(*look.sun), direction=direction,
                  shadow=look.shadow, crisp=look.crisp)
    return look, light
