"""Small fake dataset folders in the layouts the real ones have."""
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
CITYSCAPES = dict(img_suffix='_leftImg8bit.png', seg_map_suffix='_gtFine_labelTrainIds.png')


def write_image(path: Path, seed: int = 0, size=(24, 32)) -> None:
    """A noise picture of ``size`` (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


def write_label(path: Path, ids: np.ndarray) -> None:
    """One 8-bit id per pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), ids.astype(np.uint8))


def write_palette_label(path: Path, ids: np.ndarray) -> None:
    """A PNG with colors, whose pixel values are ids (GTA, Mapillary)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids.astype(np.uint8), mode='P')
    image.putpalette(np.random.default_rng(3).integers(0, 256, 768, dtype=np.uint8).tolist())
    image.save(path)


def write_synthia_label(path: Path, ids: np.ndarray) -> None:
    """16 bits, 3 channels: 0, instance, class id (in OpenCV's order)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    instances = np.arange(ids.size).reshape(ids.shape) + 300  # does not fit 8 bits
    channels = np.stack([np.zeros_like(ids), instances, ids], axis=-1).astype(np.uint16)
    assert cv2.imwrite(str(path), channels)


def stripes(ids, size=(24, 32)) -> np.ndarray:
    """Equal vertical stripes of the given ids."""
    return np.tile(np.asarray(ids)[np.arange(size[1]) * len(ids) // size[1]], (size[0], 1)).astype(np.uint8)


def city_tree(root: Path, count: int = 6, size=(24, 32)) -> dict:
    """Cityscapes layout; image i has road, sky and class i % 19.  Returns a dataset config without pipeline."""
    for i in range(count):
        stem = f'town/town_{i:06d}_000019'
        write_image(root / f'leftImg8bit/train/{stem}_leftImg8bit.png', i, size)
        write_label(root / f'gtFine/train/{stem}_gtFine_labelTrainIds.png', stripes([0, 10, i % 19, 255], size))
    return dict(
        type='CityscapesDataset',
        data_root=str(root),
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'))
