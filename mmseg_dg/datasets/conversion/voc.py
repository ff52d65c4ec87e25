"""Labels of Pascal VOC 2012 joined with SBD ("aug", "blender"), and of Pascal Context.

Sources: Everingham et al., VOC 2012; Hariharan et al., "Semantic Contours from Inverse Detectors",
ICCV 2011 (SBD); Mottaghi et al., "The Role of Context ...", CVPR 2014 (Pascal Context).

Shapes: H x W pixels.
"""
import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmseg.datasets import PascalContextDataset, PascalVOCDataset

from ..checks import check_folder, check_not_empty, list_files
from ..image_lists import read_list
from ..label_tables import RAW_IDS
from .engine import Job
from .mat_files import as_integers, load_mat
from .recipes import TableLabels

VOC_CLASSES: tuple[str, ...] = PascalVOCDataset.METAINFO['classes']
CONTEXT_CLASSES: tuple[str, ...] = PascalContextDataset.METAINFO['classes']
VOC_LABELS, AUG_LABELS = 'SegmentationClass', 'SegmentationClassAug'
VOC_LISTS = 'ImageSets/Segmentation'
CONTEXT_LABELS, CONTEXT_LISTS = 'SegmentationClassContext', 'ImageSets/SegmentationContext'
# Images per list. train, val: VOC's own; train_aug: SBD and VOC without VOC's val; aug: those of
# train_aug that only SBD labels
VOC_SIZES = dict(train=1464, val=1449, train_aug=10582, aug=9118)
CONTEXT_SIZES = dict(train=4998, val=5105)

_VOC_TABLE = {i: i for i in range(21)}


def read_mat(path: str, *keys: str) -> np.ndarray:
    """An integer array of a MATLAB file.

    Args:
        path: The file.
        *keys: The variable, then the field of the structure in it, and so on.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a MATLAB file, the key is not there, or no whole numbers are; the message
            names the file.
    """
    with open(path, 'rb') as file:
        found: Any = load_mat(file.read(), path)
    for key in keys:
        if isinstance(found, np.ndarray) and found.dtype.names:
            if found.size == 0:
                raise ValueError(f'{path}: {key} is wanted of an empty structure; the file is '
                                 'damaged')
            found = found.flat[0]  # scipy gives a structure as an array of one
        names = found.dtype.names if isinstance(found, np.void) else found
        if key not in (names or ()):
            raise ValueError(f'{path}: has no {".".join(keys)}; it is another kind of file')
        found = found[key]
    return as_integers(found, path, '.'.join(keys))


@dataclass(frozen=True)
class VOCLabels:
    """VOC's palette PNG or SBD's ``GTcls.Segmentation``, ids 0..20 and 255."""
    def __call__(self, job: Job) -> np.ndarray:
        """The label of one image, uint8 (H, W), ids 0..20 and 255."""
        if not job.source.endswith('.mat'):  # VOC's own; SBD's labels are .mat files
            return TableLabels(_VOC_TABLE, RAW_IDS['voc'])(job)
        label = read_mat(job.source, 'GTcls', 'Segmentation')
        wrong = sorted(set(np.unique(label).tolist()) - RAW_IDS['voc'])
        if label.ndim != 2 or wrong:
            raise ValueError(f'{job.source}: expected ids 0..20 per pixel, got shape {label.shape} '
                             f'with {wrong[:10]}')
        return label.astype(np.uint8)


def voc_aug_jobs(voc: str, sbd: str, out_root: str) -> tuple[list[Job], dict[str, list[str]]]:
    """Jobs for ``SegmentationClassAug`` and the lists that go with it.

    An image that VOC labels itself (train and val) takes VOC's label, also where SBD has one: SBD's
    is coarser and has no border. The lists keep VOC's val out of the training data.

    Args:
        voc: Folder ``VOCdevkit/VOC2012``.
        sbd: Folder ``benchmark_RELEASE/dataset`` of SBD (or ``benchmark_RELEASE``), with
            ``cls/*.mat``.
        out_root: Root of the results, normally ``voc``.

    Returns:
        The jobs, and {list: sorted names of its images} for ``train``, ``val``, ``train_aug`` and
        ``aug`` (see :data:`VOC_SIZES`).

    Raises:
        FileNotFoundError: A folder or list is missing.
        ValueError: VOC's train and val overlap.
    """
    mats = osp.join(sbd, 'cls') if osp.isdir(osp.join(sbd, 'cls')) else osp.join(
        sbd, 'dataset', 'cls')
    hint = 'Give the folder that has cls/*.mat (benchmark_RELEASE/dataset)'
    check_folder(mats, 'label', 'SBD', hint)
    files = list_files(mats, '.mat')
    check_not_empty(files, mats, '.mat', 'label', 'SBD')
    voc_lists = {
        name: read_list(osp.join(voc, VOC_LISTS, f'{name}.txt'), 'Pascal VOC')
        for name in ('train', 'val')
    }
    train, val = set(voc_lists['train']), set(voc_lists['val'])
    if train & val:
        raise ValueError(f'{voc}: {len(train & val)} images are in both train.txt and val.txt')
    # name -> label file; VOC's own labels replace those of SBD
    sources = {osp.splitext(name)[0]: osp.join(mats, name) for name in files}
    sources.update({name: osp.join(voc, VOC_LABELS, f'{name}.png') for name in train | val})
    targets, images = osp.join(out_root, AUG_LABELS), osp.join(voc, 'JPEGImages')
    jobs = [
        Job(name, source, osp.join(targets, f'{name}.png'), osp.join(images, f'{name}.jpg'))
        for name, source in sorted(sources.items())
    ]
    extra = set(sources) - train - val  # what only SBD labels
    return jobs, dict(train=sorted(train), val=sorted(val), train_aug=sorted(extra | train),
                      aug=sorted(extra))


def context_table(all_labels: str, wanted: Sequence[str] = CONTEXT_CLASSES[1:]) -> dict:
    """Raw id of the 459 labels -> 1..59 in mmseg's order, by name.

    Args:
        all_labels: ``labels.txt`` as published with the annotations: lines ``<id>: <name>``.
        wanted: Names of the 59 frequent classes.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A wanted class is not in it.
    """
    if not osp.isfile(all_labels):
        raise FileNotFoundError(f'no label list {all_labels!r}; Pascal Context publishes it as '
                                'labels.txt')
    ids: dict[str, int] = {}
    with open(all_labels, encoding='utf-8') as file:
        for line in file:
            number, colon, name = line.partition(':')
            if colon and number.strip().isdigit():
                ids[name.strip()] = int(number)
    missing = [name for name in wanted if name not in ids]
    if missing:
        raise ValueError(
            f'{all_labels}: has no class {missing}; expected lines like "2: aeroplane"')
    return {ids[name]: place for place, name in enumerate(wanted, start=1)}


@dataclass(frozen=True)
class ContextLabels:
    """``LabelMap`` of a Pascal Context file, 459 ids in 16 bits, to 0 (other) and 1..59.

    Attributes:
        table: As :func:`context_table` gives it.
        raw_ids: Number of raw ids.
    """
    table: Mapping[int, int]
    raw_ids: int = 459

    def __call__(self, job: Job) -> np.ndarray:
        """The label of one image, uint8 (H, W), 0 (other) and 1..59."""
        raw = read_mat(job.source, 'LabelMap')
        # raw_ids: the highest id of the files; table: id -> class, of those that are classes
        if raw.ndim != 2 or raw.max() > self.raw_ids or raw.min() < 0:
            raise ValueError(f'{job.source}: expected ids 0..{self.raw_ids} per pixel, got shape '
                             f'{raw.shape} with {raw.min()}..{raw.max()}')
        table = np.zeros(self.raw_ids + 1, np.uint8)
        table[list(self.table)] = list(self.table.values())
        return table[raw.astype(np.int64)]


def context_jobs(voc: str, mats: str, out_root: str) -> list[Job]:
    """Jobs for ``SegmentationClassContext``.

    Args:
        voc: Folder ``VOCdevkit/VOC2010``.
        mats: Folder with ``2008_000002.mat`` and so on.
        out_root: Root of the results, normally ``voc``.

    Raises:
        FileNotFoundError: No such folder, or no such files in it.
    """
    check_folder(mats, 'label', 'Pascal Context', 'Give the folder with the published *.mat')
    files = list_files(mats, '.mat')
    check_not_empty(files, mats, '.mat', 'label', 'Pascal Context')
    stems = [osp.splitext(name)[0] for name in files]
    return [
        Job(stem, osp.join(mats, f'{stem}.mat'), osp.join(out_root, CONTEXT_LABELS, f'{stem}.png'),
            osp.join(voc, 'JPEGImages', f'{stem}.jpg')) for stem in stems
    ]
