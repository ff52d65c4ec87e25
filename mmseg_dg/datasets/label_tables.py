"""Label ids as data: maps from raw ids to the 19 Cityscapes train ids, and fast work on uint8 label
images.

Each map lists the scored ids only; every other raw id means "ignore" (255). The order of the train
ids is that of ``CityscapesDataset.METAINFO['classes']`` (0 road ... 18 bicycle).

Shapes: H x W pixels.
"""
from collections.abc import Mapping
from typing import Optional

import cv2
import numpy as np

IGNORE = 255

# Cityscapes: columns id and trainId of its label list (cityscapesscripts, helpers/labels.py).
CITYSCAPES_TO_TRAIN_ID: dict[int, int] = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12,
    26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18
}  # yapf: disable

# GTA5 ("Playing for Data", Richter et al. 2016) uses the ids of Cityscapes' own label list.
GTA_TO_TRAIN_ID: dict[int, int] = dict(CITYSCAPES_TO_TRAIN_ID)

# SYNTHIA-RAND-CITYSCAPES (Ros et al. 2016): ids of its README. Terrain (16 -> 9), truck (18 -> 14)
# and train (20 -> 16) have an id but never occur in the labels, hence the 16-class protocol.
SYNTHIA_TO_TRAIN_ID: dict[int, int] = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13,
    18: 14, 19: 15, 20: 16, 12: 17, 11: 18
}  # yapf: disable

# UrbanSyn publishes train ids, and 19 for everything else (datasets/utils/mappings.py of
# tue-mps/vfm-uda-plusplus@3af62c6; tools/convert_datasets/urbansyn.py of ysj9909/SoMA@2bf0124).
URBANSYN_TO_TRAIN_ID: dict[int, int] = {i: i for i in range(19)}

# Mapillary Vistas 1.2: position in its class list of 66 -> train id, the merge the HRDA
# domain-generalization code uses (three road-like classes -> road, two kinds of poles, three kinds
# of riders, ...).
MAPILLARY_TO_TRAIN_ID: dict[int, int] = {
    13: 0, 24: 0, 41: 0, 2: 1, 15: 1, 17: 2, 6: 3, 3: 4, 45: 5, 47: 5, 48: 6, 50: 7, 30: 8, 29: 9,
    27: 10, 19: 11, 20: 12, 21: 12, 22: 12, 55: 13, 61: 14, 54: 15, 58: 16, 57: 17, 52: 18
}  # yapf: disable

# Ids that may occur in label files as published; anything else is another kind of file.
# Cityscapes: 0..33 of its label list, 255 for the license plate (-1). ACDC publishes the same ids.
# GTA5: those of Cityscapes, the license plate being 34. SYNTHIA: its README. Mapillary 1.2: 66
# classes of config.json. VOC: background, 20 classes, 255 along borders.
RAW_IDS: dict[str, frozenset[int]] = {
    'cityscapes': frozenset([*range(34), IGNORE]),
    'gta': frozenset(range(35)),
    'synthia': frozenset(range(23)),
    'mapillary': frozenset(range(66)),
    'voc': frozenset([*range(21), IGNORE]),
}


def full_table(raw_to_train: Mapping[int, int]) -> dict[int, int]:
    """All 256 ids: the given ones as given, the others 255 (mmseg leaves ids that a map does not
    list unchanged).
    """
    return {i: int(raw_to_train.get(i, IGNORE)) for i in range(256)}


def lookup_table(label_map: Optional[Mapping[int, int]] = None,
                 reduce_zero_label: bool = False) -> np.ndarray:
    """What mmseg's label loader does to ids, as one table.

    Args:
        label_map: Old id -> new id, applied after ``reduce_zero_label``; ids not listed stay.
        reduce_zero_label: 0 becomes 255 and every other id drops by one (255 stays).

    Returns:
        np.ndarray: uint8 (256,); ``table[label]`` is the mapped label.
    """
    table = np.arange(256, dtype=np.uint8)
    if reduce_zero_label:
        table = (table - 1).astype(np.uint8)  # 0 wraps to 255
        table[255] = IGNORE  # 255 stays
    if label_map is not None:
        map_table = np.arange(256, dtype=np.uint8)
        for old, new in label_map.items():
            if 0 <= old < 256:
                map_table[old] = new
        table = map_table[table]  # both steps in one
    return table


def apply_table(label: np.ndarray, table: np.ndarray) -> np.ndarray:
    """``table[label]`` for uint8 ``label`` of shape (H, W)."""
    return cv2.LUT(np.ascontiguousarray(label), table)


def count_ids(label: np.ndarray) -> np.ndarray:
    """How many pixels each id has.

    Args:
        label: uint8 (H, W), or another integer type; may be a view.

    Returns:
        np.ndarray: int64 (256,); ids above 255 are not counted.
    """
    if label.size == 0:
        return np.zeros(256, np.int64)
    # OpenCV is faster, but counts in float32: exact only below 2**24
    if label.dtype == np.uint8 and label.size < 2**24:
        return cv2.calcHist([label], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return np.bincount(label.ravel(), minlength=256)[:256]


def ids_outside(counts: np.ndarray, num_classes: int, ignore_index: int = IGNORE) -> list[int]:
    """Ids that occur but are neither a class nor ``ignore_index``; ``counts`` as :func:`count_ids`
    gives it.
    """
    return [int(i) for i in np.flatnonzero(counts) if i >= num_classes and i != ignore_index]
