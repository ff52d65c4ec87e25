"""Semantic labels from COCO's published instances, without pycocotools.

Shapes: H x W pixels.
"""
import json
import os.path as osp
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import cv2
import numpy as np

from ..checks import check_folder, check_not_empty, list_files
from ..coco81 import COCO81Dataset
from ..label_tables import IGNORE
from .engine import Job

SIZES = dict(train2017=118287, val2017=5000)
CROWDS = ('ignore', 'class')

_FINE = 4  # sub-pixels per pixel and axis


def decode_rle(counts: Union[str, Sequence[int]], size: Sequence[int]) -> np.ndarray:
    """Mask of COCO's run lengths.

    Args:
        counts: Lengths of alternating runs, zeros first, down the columns; as numbers, or as COCO's
            compressed text (base 64 with 5 bits per character, from the fourth run on as difference
            to the run before the last).
        size: Height and width.

    Returns:
        np.ndarray: bool (H, W).

    Raises:
        ValueError: The runs do not fill the image.
    """
    if isinstance(counts, (str, bytes)):
        counts = _uncompress(counts.encode() if isinstance(counts, str) else counts)
    runs = np.asarray(counts, np.int64)
    height, width = int(size[0]), int(size[1])
    if runs.sum() != height * width or (runs < 0).any():
        raise ValueError(f'run lengths cover {runs.sum()} pixels of a mask of {height}x{width}')
    values = np.arange(len(runs)) % 2 == 1
    # runs go down the columns: (W, H) -> (H, W)
    return np.repeat(values, runs).reshape(width, height).T


def _uncompress(text: bytes) -> list[int]:
    """Run lengths from COCO's text: 5 bits per character, the lowest first; bit 32 says "more
    follows", 16 of the last one is the sign.
    """
    runs: list[int] = []
    value = shift = 0
    for char in text:
        char -= 48  # the text begins at the character '0'
        value |= (char & 31) << shift
        shift += 5
        if char & 32:
            continue
        if char & 16:  # negative
            value -= 1 << shift
        # from the fourth on, a run is stored as its difference to the last but one
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs


def polygon_mask(polygons: Sequence[Sequence[float]], size: Sequence[int]) -> np.ndarray:
    """Union of polygons, a pixel belonging to it when its center does.

    OpenCV's filling includes the outline, which would thicken objects; so the polygon is drawn
    ``4`` times larger and read at the pixel centers. Against the exact rule a center within 1/4
    pixel of the outline may differ.

    Args:
        polygons: Each ``[x0, y0, x1, y1, ...]`` in pixels, (0, 0) being the top left corner of the
            first pixel.
        size: Height and width.

    Returns:
        np.ndarray: bool (H, W).

    Raises:
        ValueError: An odd number of coordinates.
    """
    height, width = int(size[0]), int(size[1])
    mask = np.zeros((height, width), bool)
    for flat in polygons:
        if len(flat) % 2:
            raise ValueError(f'a polygon has {len(flat)} coordinates; expected pairs')
        if len(flat) < 6:  # fewer than three corners have no area
            continue
        points = np.asarray(flat, np.float64).reshape(-1, 2)  # (2 n,) -> (n, 2): x, y
        # only the box around the polygon, cut to the image, is drawn
        x1, y1 = np.clip(np.floor(points.min(0)), 0, (width, height)).astype(int)
        x2, y2 = np.clip(np.ceil(points.max(0)) + 1, 0, (width, height)).astype(int)
        if x2 <= x1 or y2 <= y1:
            continue
        canvas = np.zeros(((y2 - y1) * _FINE, (x2 - x1) * _FINE), np.uint8)
        # with 8 bits of fraction; the center of sub-pixel i is at (i + 0.5) / 4
        fixed = np.round(((points - (x1, y1)) * _FINE - 0.5) * 256).astype(np.int32)
        cv2.fillPoly(canvas, [fixed], 1, shift=8)
        # the center of a pixel lies between sub-pixels 1 and 2: inside when both diagonal
        # neighbors are
        mask[y1:y2, x1:x2] |= (canvas[1::_FINE, 1::_FINE] & canvas[2::_FINE, 2::_FINE]) > 0
    return mask


@dataclass(frozen=True)
class COCOLabels:
    """Paints the instances of an image.

    Larger instances first, so that a small one in front of a large one is seen.

    Attributes:
        images: {file stem: (height, width, annotations)}.
        classes: {category id: class index 1..80}.
        crowd: What regions annotated as crowds become: ``'ignore'`` (255 where no instance is) or
            ``'class'``.
    """
    images: dict[str, tuple[int, int, list[dict]]]
    classes: dict[int, int]
    crowd: str = 'ignore'

    def __call__(self, job: Job) -> np.ndarray:
        """The label of one image, uint8 (H, W): 0 background, 1..80 classes, 255 ignored."""
        height, width, annotations = self.images[job.name]
        label = np.zeros((height, width), np.uint8)
        # crowds first, then the large ones: smaller instances are painted over them
        for entry in sorted(annotations, key=lambda a: (not a.get('iscrowd', 0), -a['area'])):
            shape = entry['segmentation']
            try:
                mask = (decode_rle(shape['counts'], shape['size'])
                        if isinstance(shape, dict) else polygon_mask(shape, (height, width)))
                ignored = entry.get('iscrowd', 0) and self.crowd == 'ignore'
                label[mask] = IGNORE if ignored else self.classes[entry['category_id']]
            except (ValueError, IndexError) as error:
                raise ValueError(f'{job.source}: annotation {entry.get("id")} of {job.name}: '
                                 f'{error}') from error
        return label


def read_instances(path: str, crowd: str = 'ignore') -> COCOLabels:
    """Read ``instances_train2017.json`` or the like.

    Args:
        path: The file.
        crowd: What becomes of pixels of crowds: ``'ignore'`` (255), or ``'class'``, their class.

    Returns:
        The :class:`COCOLabels` of the file's images; COCO's category ids, which have gaps, become
        1..80 in their order (0 is the background).

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not such a file, or other categories than COCO's 80.
    """
    if crowd not in CROWDS:
        raise ValueError(f'crowd must be one of {CROWDS}, got {crowd!r}')
    if not osp.isfile(path):
        raise FileNotFoundError(f'no annotations {path!r}; COCO publishes them as '
                                'annotations_trainval2017.zip')
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        categories, entries, annotations = content['categories'], content['images'], content[
            'annotations']
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f'{path}: not a COCO instances file ({type(error).__name__}: {error})') from error
    ordered = sorted(categories, key=lambda c: c['id'])
    expected = COCO81Dataset.METAINFO['classes'][1:]
    if tuple(c['name'] for c in ordered) != expected:
        raise ValueError(f'{path}: has {len(ordered)} categories that are not the 80 of COCO in '
                         'their order')
    per_image: dict[int, list[dict]] = defaultdict(list)
    keys = ('id', 'segmentation', 'area', 'iscrowd', 'category_id')
    for entry in annotations:
        per_image[entry['image_id']].append({key: entry[key] for key in keys if key in entry})
    images = {
        osp.splitext(e['file_name'])[0]: (e['height'], e['width'], per_image.get(e['id'], []))
        for e in entries
    }
    return COCOLabels(images, {c['id']: place for place, c in enumerate(ordered, start=1)}, crowd)


def coco_jobs(labels: COCOLabels, annotations: str, images: str,
              out: str) -> tuple[list[Job], list[str]]:
    """Jobs for the labels of a file of annotations.

    Args:
        labels: What :func:`read_instances` gave.
        annotations: Path of the file it read, for messages.
        images: Folder of the ``.jpg`` images.
        out: Folder of the labels.

    Returns:
        One job per annotated image that is there, sorted, and the stems of those that are not.
    """
    existing = _stems(images)
    jobs = [
        Job(stem, annotations, osp.join(out, f'{stem}.png'), osp.join(images, f'{stem}.jpg'))
        for stem in sorted(labels.images) if stem in existing
    ]
    return jobs, sorted(set(labels.images) - existing)


def _stems(folder: str) -> set[Any]:
    """Names of the images of a folder, without ``.jpg``; FileNotFoundError where there are none."""
    check_folder(folder, 'image', 'COCO', 'Give the folder that has train2017 and annotations')
    names = list_files(folder, '.jpg')
    check_not_empty(names, folder, '.jpg', 'image', 'COCO')
    return {name[:-4] for name in names}
