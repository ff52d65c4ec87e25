"""The camera of a street scene: rays of the pixels and projection of polygons.

World axes: x right, y up, z along the street, meters, origin on the road below the camera. Camera
axes: x right, y up, z forward.

Shapes: N points, H x W pixels.
"""
from collections.abc import Sequence
from typing import Optional, Union

import cv2
import numpy as np

from .dice import Dice

NEAR = 0.4  # meters; polygons are cut there
SHIFT = 4  # fractional bits of the integer pixel coordinates that OpenCV draws with
_FAR_OFF = 20000  # pixels; beyond it OpenCV's integers would overflow


class Camera:
    """A pinhole camera at a drawn height, pitch, yaw, roll and focal length.

    Args:
        dice: Source of the draws.
        width: Picture width in pixels.
        height: Picture height in pixels.

    Attributes:
        focal: Focal length in pixels.
        elevation: Meters above the road: the camera is at world (0, elevation, 0).
        rotation: (3, 3), world axes to camera axes.
        center_x, center_y: Pixel column and row of the optical axis.
        right, up: Camera x / z of each column, float32 (1, W), and y / z of each row, (H, 1).
    """
    def __init__(self, dice: Dice, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.focal = width * dice.uniform(0.62, 0.95)
        self.elevation = dice.uniform(1.15, 1.9)
        pitch, yaw, roll = np.deg2rad([dice.uniform(-5.0, 1.5), dice.normal(4), dice.normal(0.6)])
        cp, sp = np.cos(pitch), np.sin(pitch)
        cy, sy, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
        ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        rz = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        self.rotation = rz @ rx @ ry
        self.center_x, self.center_y = width / 2, height * dice.uniform(0.42, 0.52)
        self.right = ((np.arange(width, dtype=np.float32) - self.center_x) / self.focal).astype(
            np.float32)[None]
        self.up = ((self.center_y - np.arange(height, dtype=np.float32)) / self.focal).astype(
            np.float32)[:, None]

    def rays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World directions (x, y, z) of all pixels at unit camera depth, each float32 (H, W)."""
        r = self.rotation.astype(np.float32)  # its columns, that is its inverse: camera -> world
        return tuple(self.right * r[0, k] + self.up * r[1, k] + r[2, k] for k in range(3))

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) in camera axes."""
        x, y, z = points[:, 0:1], points[:, 1:2] - self.elevation, points[:, 2:3]
        r = self.rotation
        # not a matmul: BLAS results depend on the number of threads
        return x * r[:, 0] + y * r[:, 1] + z * r[:, 2]

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Camera points (N, 3) with depth >= NEAR as int32 pixel coordinates (N, 2) with SHIFT
        fractional bits.
        """
        k = self.focal / points[:, 2]
        pixels = np.stack([self.center_x + points[:, 0] * k, self.center_y - points[:, 1] * k], 1)
        return np.round(np.clip(pixels, -_FAR_OFF, _FAR_OFF) * (1 << SHIFT)).astype(np.int32)

    def outline(self, points: Union[Sequence[Sequence[float]], np.ndarray]) -> Optional[np.ndarray]:
        """One world polygon (N, 3) cut at the near plane, as fixed-point pixels; None if it is
        behind the camera.
        """
        clipped = clip_near(self.to_camera(np.asarray(points, np.float64)))
        return None if len(clipped) < 3 else self.to_pixels(clipped)

    def locate(self, point: Sequence[float]) -> Optional[tuple[int, int, float]]:
        """Pixel column, row and depth (meters) of a world point; None if it is nearer than a meter
        or outside the picture.
        """
        x, y, z = self.to_camera(np.asarray([point], np.float64))[0]
        if z < 1:
            return None
        column, row = int(self.center_x + self.focal * x / z), int(self.center_y
                                                                   - self.focal * y / z)
        inside = 0 <= column < self.width and 0 <= row < self.height
        return (column, row, float(z)) if inside else None


def clip_near(points: np.ndarray) -> np.ndarray:
    """A camera-space polygon (N, 3) with the part nearer than NEAR cut away (possibly nothing is
    left).
    """
    kept = []
    for a, b in zip(points, np.roll(points, -1, 0)):
        # each corner that is far enough, and where an edge crosses the plane z = NEAR
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] < NEAR) != (b[2] < NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.array(kept).reshape(-1, 3)  # (n, 3), also for n = 0


def fill(image: np.ndarray, outline: np.ndarray, value: Union[float, Sequence[float]],
         smooth: bool = False) -> None:
    """Fill a polygon with a value, in place.

    Args:
        image: uint8 (H, W, 3), or int32 (H, W).
        outline: int32 (N, 2) pixel coordinates with SHIFT fractional bits (:meth:`Camera.outline`).
        value: What its pixels become.
        smooth: With soft edges (8-bit images only).
    """
    cv2.fillPoly(image, [outline], value, lineType=cv2.LINE_AA if smooth else cv2.LINE_8,
                 shift=SHIFT)
