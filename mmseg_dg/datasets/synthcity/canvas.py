"""Collects the polygons of a scene and paints them from far to near.

Two pictures are painted with the same outlines: colors (soft edges) and surface numbers (hard
edges). The surface numbers give the label of every pixel, its depth (from the plane of its polygon)
and its texture, which is added later to all pixels at once (``textures.py``). So labels agree with
colors by construction.

Shapes: S surfaces, N normals, H x W pixels.
"""
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from .camera import NEAR, SHIFT, Camera, clip_near, fill
from .labels import IGNORE, SKY

SKY_SURFACE, GROUND_SURFACE = 0, 1
TEXTURE_PARAMETERS = 16
Point = tuple[float, float, float]
# marks in place of a normal: lit alike from all sides, shining by itself (no unit vector has a 9)
_EVENLY, _GLOWING = (0.0, 0.0, 0.0), (9.0, 9.0, 9.0)


class Light(NamedTuple):
    """Illumination of a scene; colors are BGR factors."""
    ambient: np.ndarray  # (3,) strength from all sides
    sun: np.ndarray  # (3,) strength of direct light
    direction: np.ndarray  # (3,) unit vector to the sun
    shadow: float  # darkness of cast shadows, 0..1
    crisp: bool  # whether shadows have a direction and an edge

    def on(self, normals: np.ndarray) -> np.ndarray:
        """BGR factors (N, 3) for surfaces with the given outward unit normals (N, 3); a row may be
        ``_EVENLY`` or ``_GLOWING`` instead.
        """
        x, y, z = self.direction
        facing = np.maximum(normals[:, 0] * x + normals[:, 1] * y + normals[:, 2] * z, 0)
        facing[(normals == _EVENLY).all(1)] = 0.5  # lit alike from everywhere
        lit = self.ambient + self.sun * facing[:, None]
        lit[normals[:, 0] == _GLOWING[0]] = 1.0
        return lit


class Painting(NamedTuple):
    """A painted scene: surface numbers and one table row per surface (row 0 sky, row 1 ground)."""
    surface: np.ndarray  # int32 (H, W)
    label: np.ndarray  # uint8 (S,)
    plane: np.ndarray  # float32 (S, 3): inverse depth = plane . (ray right, ray up, 1)
    texture: np.ndarray  # int32 (S,): row of the canvas' textures
    color: np.ndarray  # float32 (S, 3): flat color after lighting, BGR 0..255
    light: np.ndarray  # float32 (S, 3): the lighting alone


class Canvas:
    """Polygons of one scene.

    Args:
        camera: The camera they are seen with.

    Attributes:
        textures: One row of TEXTURE_PARAMETERS numbers per texture; row 0 stands for none.
        texture_kinds: Kind of each, one of those that ``textures.py`` numbers (0: none).
    """
    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.textures: list[tuple[float, ...]] = [(0.0, ) * TEXTURE_PARAMETERS]
        self.texture_kinds: list[int] = [0]
        self._key = 0.0  # of the next polygons: painted by rising key
        self._points: list[Point] = []  # corners of all polygons, one after the other
        # per polygon: number of corners, key, label, color, has a color, normal or mark, texture
        self._records: list[tuple] = []

    def at(self, distance: float) -> None:
        """Set the painter's distance of the following polygons: larger ones are painted first."""
        self._key = -distance

    def texture(self, kind: int, *parameters: float) -> int:
        """Register a texture and return its number; ``parameters`` are those of its kind (see
        ``textures.py``), the direction along the surface first. Missing ones are 0.
        """
        self.textures.append(tuple(parameters) + (0.0, ) * (TEXTURE_PARAMETERS - len(parameters)))
        self.texture_kinds.append(kind)
        return len(self.textures) - 1

    def polygon(self, points: Sequence[Point], color: Optional[Sequence[float]], label: int,
                normal: Optional[Sequence[float]] = None, texture: int = 0,
                glows: bool = False) -> None:
        """Add a flat polygon (its first three points must not be on one line).

        Args:
            points: World corners in meters.
            color: BGR 0..255 under full light; None leaves the colors behind it visible (its
                texture may draw).
            label: Train id.
            normal: Outward unit normal for lighting; None is lit evenly.
            texture: Number given by :meth:`texture`, 0 for none.
            glows: Shines by itself instead of being lit.
        """
        self._points.extend(points)
        self._records.append((len(points), self._key, label, color or _EVENLY, color
                              is not None, _GLOWING if glows else normal or _EVENLY, texture))

    def faces(self, point: Point, normal: Sequence[float]) -> bool:
        """Whether the front side of the plane through ``point`` with this outward normal is toward
        the camera, which is at (0, elevation, 0).
        """
        return point[0] * normal[0] + (
            point[1] - self.camera.elevation) * normal[1] + point[2] * normal[2] < 0

    def paint(self, image: np.ndarray, surface: np.ndarray, light: Light) -> Painting:
        """Paint everything in place over a background.

        Args:
            image: uint8 (H, W, 3) BGR background.
            surface: int32 (H, W) of SKY_SURFACE and GROUND_SURFACE.
            light: Illumination.

        Returns:
            What each surface number means: label, plane (for the depth), texture, color and light;
            ``surface`` has the number of every pixel.
        """
        sizes, keys, labels, colors, visible, normals, textures = map(np.array, zip(*self._records))
        points = self.camera.to_camera(np.array(self._points, np.float64))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])  # first corner of each polygon
        lit = light.on(normals.astype(np.float64))
        shaded = np.clip(colors * lit, 0, 255)
        order = np.argsort(keys, kind='stable')  # from far to near; of equal ones the earlier first
        self._fill_all(image, surface, points, starts, sizes, order, shaded, visible)
        # 1 / depth = ground . ray on the plane below the camera
        ground = -self.camera.rotation[:, 1] / self.camera.elevation
        rows = [(SKY, (0, 0, 0)), (IGNORE, ground)]  # the ground's labels come from its own map
        return Painting(
            surface=surface, label=np.concatenate([[r[0] for r in rows], labels]).astype(np.uint8),
            plane=np.concatenate([[r[1] for r in rows],
                                  _planes(points, starts)]).astype(np.float32),
            texture=np.concatenate([[0, 0], textures]).astype(np.int32),
            color=np.concatenate([np.zeros(
                (2, 3)), shaded]).astype(np.float32), light=np.concatenate([np.ones(
                    (2, 3)), lit]).astype(np.float32))

    def _fill_all(self, image: np.ndarray, surface: np.ndarray, points: np.ndarray,
                  starts: np.ndarray, sizes: np.ndarray, order: np.ndarray, shaded: np.ndarray,
                  visible: np.ndarray) -> None:
        """Fill all polygons into the picture and the map of surfaces.

        Args:
            image: uint8 (H, W, 3), painted in place.
            surface: int32 (H, W); a pixel gets the number of its polygon plus 2 (sky and ground are
                0 and 1).
            points: (n, 3) corners of all polygons in camera coordinates, one after the other.
            starts: First corner of each polygon.
            sizes: Number of corners of each.
            order: Polygons in the order of painting.
            shaded: Color of each.
            visible: Whether a polygon has a color; the others only mark the surface.
        """
        # of each polygon: whether it must be cut at NEAR, and whether it is in the picture at all
        depth = points[:, 2]
        nearest, farthest = np.minimum.reduceat(depth, starts), np.maximum.reduceat(depth, starts)
        # corners that are too near have no pixel; what stands in for them is not used, since their
        # polygons are cut below
        pixels = self.camera.to_pixels(np.where(depth[:, None] >= NEAR, points, (0.0, 0.0, 1.0)))
        low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
        limits = np.array([self.camera.width, self.camera.height]) << SHIFT
        cut = nearest < NEAR
        drawn = (farthest >= NEAR) & (cut | ((high >= 0) & (low < limits)).all(1))
        values, ends = shaded.tolist(), (starts + sizes).tolist()
        firsts, cut, drawn, visible = starts.tolist(), cut.tolist(), drawn.tolist(), visible.tolist(
        )
        for k in order.tolist():
            if not drawn[k]:
                continue
            outline = pixels[firsts[k]:ends[k]]
            if cut[k]:
                clipped = clip_near(points[firsts[k]:ends[k]])
                if len(clipped) < 3:
                    continue
                outline = self.camera.to_pixels(clipped)
            if visible[k]:
                fill(image, outline, values[k], smooth=True)
            fill(surface, outline, k + 2)


def _planes(points: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Inverse depth of polygons as a linear function of the ray: ``1 / depth = plane . ray``.

    A point p of the plane with normal n through the corner c has n . p = n . c; with
    p = depth * ray and ray = (right, up, 1) that gives plane = n / (n . c).

    Args:
        points: (n, 3), the corners of all polygons in coordinates of the camera (right, up, depth),
            in meters.
        starts: (S,), the index of each polygon's first corner; its first three span the plane.

    Returns:
        (S, 3) in 1 / meter, without the rows of sky and ground.
    """
    corner = points[starts]
    a, b = points[starts + 1] - corner, points[starts + 2] - corner
    normal = np.cross(a, b)
    distance = (normal * corner).sum(1)
    # planes that pass the camera within a millimeter, and those without an area
    edge_on = np.abs(distance) < 1e-3 * np.linalg.norm(normal, axis=1) + 1e-12
    distance[edge_on] = 1.0
    plane = normal / distance[:, None]
    # they cover hardly a pixel: the depth of their first corner everywhere is as good
    plane[edge_on] = np.stack(
        [0 * corner[edge_on, 2], 0 * corner[edge_on, 2], 1 / np.maximum(corner[edge_on, 2], NEAR)],
        1)
    return plane
