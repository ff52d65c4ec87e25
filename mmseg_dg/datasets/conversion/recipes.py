"""The datasets whose conversion is a table of ids: where their files lie and which table applies.

Shapes: H x W pixels.
"""
import os.path as osp
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmseg.datasets import CityscapesDataset

from ..checks import check_folder, check_not_empty, list_files
from ..label_tables import (
    CITYSCAPES_TO_TRAIN_ID,
    GTA_TO_TRAIN_ID,
    MAPILLARY_TO_TRAIN_ID,
    RAW_IDS,
    SYNTHIA_TO_TRAIN_ID,
    apply_table,
    count_ids,
    full_table,
    lookup_table,
)
from ..transforms.loading import LoadAnnotations, LoadSynthiaAnnotations
from .engine import Job

CITYSCAPES_CLASSES: tuple[str, ...] = CityscapesDataset.METAINFO['classes']


@dataclass(frozen=True)
class TableLabels:
    """Reads a published label and maps its ids.

    Attributes:
        table: Raw id -> train id; other raw ids become 255.
        raw_ids: Ids the published file may have.
        loader: Transform that reads it, the one training uses with ``raw_ids=True``.
    """
    table: Mapping[int, int]
    raw_ids: frozenset[int]
    loader: type[BaseLoadAnnotations] = LoadAnnotations

    def __call__(self, job: Job) -> np.ndarray:
        """uint8 (H, W) train ids.

        Raises:
            ValueError: An unreadable file, or one with unexpected ids (message names them).
        """
        # what a dataset hands to its loading step; ``raw_ids``: the file is the published one
        info = dict(seg_map_path=job.source, raw_ids=True, label_map=None, reduce_zero_label=False,
                    seg_fields=[])
        raw = self.loader().transform(info)['gt_seg_map']
        unexpected = sorted(set(np.flatnonzero(count_ids(raw)).tolist()) - self.raw_ids)
        if unexpected:
            raise ValueError(f'{job.source}: has ids {unexpected[:10]} that its dataset does not; '
                             'expected the file as published')
        return apply_table(raw, lookup_table(full_table(self.table)))


@dataclass(frozen=True)
class Part:
    """One folder pair of a dataset, below its root.

    Attributes:
        name: How the command line calls it.
        images: Image folder.
        labels: Label folder.
        count: Images in it as published; None: unknown.
        default: Converted when no part is named.
    """
    name: str
    images: str
    labels: str
    count: Optional[int] = None
    default: bool = True


@dataclass(frozen=True)
class Recipe:
    """A dataset whose labels are converted file by file.

    Attributes:
        title: Name for people.
        parts: Its folder pairs.
        image_suffix: Ending of images.
        source_suffix: Ending of published labels.
        target_suffix: Ending of converted labels, in the same folder.
        labels: What makes a label.
        classes: Names of the resulting ids.
    """
    title: str
    parts: tuple[Part, ...]
    image_suffix: str
    source_suffix: str
    target_suffix: str
    labels: TableLabels
    classes: tuple[str, ...] = CITYSCAPES_CLASSES


GTA = Recipe('GTA5', (Part('all', 'images', 'labels', 24966), ), '.png', '.png',
             '_labelTrainIds.png', TableLabels(GTA_TO_TRAIN_ID, RAW_IDS['gta']))
SYNTHIA = Recipe('SYNTHIA-RAND-CITYSCAPES', (Part('all', 'RGB', 'GT/LABELS', 9400), ), '.png',
                 '.png', '_labelTrainIds.png',
                 TableLabels(SYNTHIA_TO_TRAIN_ID, RAW_IDS['synthia'], LoadSynthiaAnnotations))
CITYSCAPES = Recipe('Cityscapes', (Part('train', 'leftImg8bit/train', 'gtFine/train',
                                        2975), Part('val', 'leftImg8bit/val', 'gtFine/val', 500)),
                    '_leftImg8bit.png', '_gtFine_labelIds.png', '_gtFine_labelTrainIds.png',
                    TableLabels(CITYSCAPES_TO_TRAIN_ID, RAW_IDS['cityscapes']))
ACDC = Recipe(
    'ACDC',
    tuple(
        Part(f'{condition}/{split}', f'rgb_anon/{condition}/{split}', f'gt/{condition}/{split}',
             400 if split == 'train' else 106 if condition == 'night' else 100)
        for condition in ('fog', 'night', 'rain', 'snow') for split in ('train', 'val')),
    '_rgb_anon.png', '_gt_labelIds.png', '_gt_labelTrainIds.png',
    TableLabels(CITYSCAPES_TO_TRAIN_ID, RAW_IDS['cityscapes']))
MAPILLARY = Recipe('Mapillary Vistas 1.2',
                   (Part('validation', 'validation/images', 'validation/labels', 2000),
                    Part('training', 'training/images', 'training/labels', 18000, default=False)),
                   '.jpg', '.png', '_labelTrainIds.png',
                   TableLabels(MAPILLARY_TO_TRAIN_ID, RAW_IDS['mapillary']))


def find_jobs(recipe: Recipe, part: Part, root: str,
              out_root: Optional[str] = None) -> tuple[list[Job], list[str]]:
    """Pair labels and images of one part.

    Args:
        recipe: The dataset.
        part: One of ``recipe.parts``.
        root: Folder of the dataset.
        out_root: Root of the converted labels; None: ``root``.

    Returns:
        Jobs sorted by name (stem relative to the part's folder), and stems that have an image or a
        label only.

    Raises:
        FileNotFoundError: A folder is missing or has no such files.
    """
    images, labels = osp.join(root, part.images), osp.join(root, part.labels)
    found = []  # stems of the images, stems of the labels
    for folder, suffix, what in ((images, recipe.image_suffix, 'image'),
                                 (labels, recipe.source_suffix, 'label')):
        check_folder(folder, what, recipe.title, 'Give the folder of the dataset as published')
        # labels that were converted before lie beside the published ones and may end like them
        names = [
            name for name in list_files(folder, suffix) if not name.endswith(recipe.target_suffix)
        ]
        check_not_empty(names, folder, suffix, what, recipe.title)
        found.append({name[:-len(suffix)] for name in names})
    image_stems, label_stems = found
    targets = osp.join(out_root or root, part.labels)
    jobs = [
        Job(stem, osp.join(labels, stem + recipe.source_suffix),
            osp.join(targets, stem + recipe.target_suffix),
            osp.join(images, stem + recipe.image_suffix))
        for stem in sorted(image_stems & label_stems)
    ]
    return jobs, sorted(image_stems ^ label_stems)
