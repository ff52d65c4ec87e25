"""How many pixels of each class each image has: counted once per dataset, kept in a cache, read
memory-mapped.

Rare class sampling needs it; it doubles as a check of every label file before training.
"""
import functools
import json
import logging
import os
import os.path as osp
import time
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmengine.logging import print_log

from mmseg_dg.utils.console import Progress

from ..folder_scan import is_local
from ..image_size import image_size
from ..label_tables import IGNORE, count_ids, ids_outside
from ..messages import DOCTOR, wrong_ids_message
from ..parallel import chunks, run_ranges
from ..traits import traits
from ..wrappers import flatten, transforms_of
from .cache import CacheEntry

_SERIAL_BELOW = 64  # labels that one process counts as fast as several
_CHUNK = 32  # labels a process is given at a time
_NAMED = 5  # files a message names


@dataclass(frozen=True)
class ClassStatistics:
    """Pixel counts of a dataset.

    Attributes:
        pixel_counts: (num_images, num_classes) integers, row i for sample i; int32 memory-mapped
            from the cache.
        totals: int64 (num_classes,), pixels of each class in the whole dataset.
        fingerprint: Changes when the label files, their sizes or the id mapping change.
        class_names: In the order of the columns; may be empty.
    """
    pixel_counts: np.ndarray
    totals: np.ndarray
    fingerprint: str
    class_names: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """Number of images."""
        return len(self.pixel_counts)

    def images_per_class(self, min_pixels: int = 0) -> np.ndarray:
        """int64 (num_classes,): images with more than ``min_pixels`` pixels of the class."""
        return (np.asarray(self.pixel_counts) > min_pixels).sum(axis=0, dtype=np.int64)


def class_statistics(dataset: Any, cache_dir: Optional[str] = None,
                     num_workers: Optional[int] = None, rebuild: bool = False) -> ClassStatistics:
    """Count the classes of any labeled dataset, or read the counts from the cache.

    Labels are read by the dataset's own ``LoadAnnotations`` (found in its pipeline), so
    ``label_map``, ``reduce_zero_label`` and special loaders apply; transforms after it do not. With
    several processes, rank 0 counts and the others read.

    The cache is ``<data_root>/class_statistics`` if it has the file, else ``$MMSEG_DG_CACHE`` or
    ``~/.cache/mmseg_dg``; counts are written to the latter unless ``cache_dir`` is given. A cache
    whose label files changed (names or sizes; names only where files are not on a local disk) is
    counted again, with a line in the log.

    Args:
        dataset: A ``BaseSegDataset`` or wrappers around some (concatenation, repetition,
            ``SeededDataset``).
        cache_dir: Folder for the cache, or ``'beside'`` for ``<data_root>/class_statistics``.
        num_workers: Processes; None: all cores.  Small datasets are counted in this process.
        rebuild: Count even if the cache is good.

    Returns:
        ClassStatistics: One row per sample of ``dataset``.

    Raises:
        ValueError: The pipeline loads no labels, label ids are neither classes nor
            ``ignore_index``, or labels differ in size from their images (up to five files are
            named); parts of a concatenation differ in their classes.
    """
    # innermost datasets; for each sample of ``dataset`` which of them has it, and its index there
    parts, which, local = flatten(dataset)
    statistics = [_of_one(part, cache_dir, num_workers, rebuild) for part in parts]
    if len(parts) == 1 and np.array_equal(local, np.arange(len(parts[0]))):
        return statistics[0]  # no wrapper repeats, drops or moves samples
    if len({entry.class_names for entry in statistics}) > 1:
        raise ValueError('class_statistics: the datasets that are joined have different classes: '
                         + '; '.join(f'{type(p).__name__} {len(e.class_names)}'
                                     for p, e in zip(parts, statistics)))
    # first row of each dataset in the joined table, from which each sample takes its row
    starts = np.cumsum([0] + [len(part) for part in parts[:-1]])
    joined = np.concatenate([np.asarray(entry.pixel_counts) for entry in statistics])
    counts = joined[starts[which] + local]
    return ClassStatistics(counts, counts.sum(axis=0, dtype=np.int64),
                           '+'.join(e.fingerprint for e in statistics), statistics[0].class_names)


def _of_one(dataset: Any, cache_dir: Optional[str], num_workers: Optional[int],
            rebuild: bool) -> ClassStatistics:
    """Statistics of one dataset that is no wrapper, from the cache or counted now; warns of labels
    without a pixel of any class.
    """
    loader = _label_loader(dataset)
    # TrainIdDataset(resized=True): rare classes are drawn by the labels before they were resized
    if getattr(dataset, 'original_counts', None):
        return from_official_json(dataset.original_counts, dataset)
    names = tuple(dataset.metainfo.get('classes') or ())
    if not names:
        raise ValueError(f'class_statistics: {type(dataset).__name__} has no classes in its '
                         'metainfo')
    entry = CacheEntry.for_dataset(dataset, loader, names, cache_dir)
    counts = entry.read_or_make(
        lambda: _count_and_keep(dataset, loader, len(names), num_workers, entry), rebuild)
    empty = np.flatnonzero(~np.asarray(counts).any(axis=1))
    if len(empty):
        warn_ignored([dataset.get_data_info(int(i))['seg_map_path'] for i in empty[:_NAMED]],
                     len(empty), len(counts))
    return ClassStatistics(counts, counts.sum(axis=0, dtype=np.int64), entry.fingerprint, names)


def warn_ignored(files: list[str], count: int, total: int) -> None:
    """Say that labels have no pixel of any class: nothing is learned from them.

    Args:
        files: Some of them.
        count: How many there are.
        total: Among how many.
    """
    print_log(
        f'{count} of {total} labels ({100 * count / total:.1f} %) have no pixel of any '
        f'class, all are ignored: {", ".join(files)}{", ..." if count > len(files) else ""}. '
        'Nothing is learned from them: check the ids (label_map, reduce_zero_label), or '
        'leave them out with a list (ann_file)', logger='current', level=logging.WARNING)


def _count_and_keep(dataset: Any, loader: BaseLoadAnnotations, num_classes: int,
                    num_workers: Optional[int], entry: CacheEntry) -> np.ndarray:
    """Count the labels and write the counts into the cache; a cache that cannot be written is a
    warning in the log.

    Returns:
        int32 (images, num_classes), memory-mapped where they were kept, which frees the counted
        ones.
    """
    started = time.time()
    print_log(f'class statistics: counting {len(dataset)} labels of {type(dataset).__name__}',
              logger='current')
    counts = count_labels(dataset, loader, num_classes, num_workers)
    try:
        path = entry.write(counts)
    except OSError as error:
        print_log(
            f'class statistics: cannot keep them ({error}); set MMSEG_DG_CACHE to a folder '
            'you may write to', logger='current', level=logging.WARNING)
        return counts
    print_log(f'class statistics: done in {time.time() - started:.1f} s, kept in {path}',
              logger='current')
    kept = entry.read()
    return counts if kept is None else kept


def _label_loader(dataset: Any) -> BaseLoadAnnotations:
    """The step of a dataset's pipeline that loads labels; ValueError where there is none."""
    for step in transforms_of(traits(dataset).pipeline):
        if isinstance(step, BaseLoadAnnotations):
            return step
    raise ValueError(f'class_statistics: the pipeline of {type(dataset).__name__} has no '
                     'LoadAnnotations, so it has no labels to count; rare class sampling works on '
                     'labeled streams only')


def count_labels(dataset: Any, loader: BaseLoadAnnotations, num_classes: int,
                 num_workers: Optional[int] = None) -> np.ndarray:
    """Count without any cache.

    Args:
        dataset: Not a wrapper.
        loader: Its label loading transform.
        num_classes: Columns.
        num_workers: Processes; None: all cores.

    Returns:
        np.ndarray: int32 (num_images, num_classes).

    Raises:
        ValueError: Ids outside the classes, or labels and (local) images of different size.
    """
    size = len(dataset)
    workers = num_workers if num_workers is not None else os.cpu_count() or 1
    ranges = chunks(size, _CHUNK)
    counts = np.zeros((size, num_classes), np.int32)
    wrong_ids: dict[str, list[int]] = {}  # of the first files
    unnamed, differing = 0, []  # number of further such files; sentences about sizes
    count = functools.partial(_count_range, dataset, loader, num_classes)
    results = run_ranges(count, ranges, workers if size >= _SERIAL_BELOW else 1)
    progress = Progress('counting labels', size)
    for (start, stop), (rows, problems, sizes) in zip(ranges, results):
        progress.update(stop - start)
        counts[start:stop] = rows
        differing += sizes
        for path, ids in problems.items():
            if len(wrong_ids) < _NAMED:
                wrong_ids[path] = ids
            else:
                unnamed += 1
    if wrong_ids:
        raise ValueError(
            wrong_ids_message(wrong_ids, num_classes,
                              traits(dataset).ignore_index, unnamed))
    if differing:
        raise ValueError(f'{len(differing)} labels differ in size from their image: '
                         f'{"; ".join(differing[:_NAMED])}. Leave them out with a list (ann_file; '
                         'GTA5: tools/dataset_converters/gta.py writes the list of its unusable '
                         f'labels, which GTADataset leaves out). {DOCTOR}')
    return counts


def _count_range(dataset: Any, loader: BaseLoadAnnotations, num_classes: int,
                 bounds: tuple[int, int]) -> tuple[np.ndarray, dict[str, list[int]], list[str]]:
    """Count the labels ``bounds[0]`` to ``bounds[1]`` (exclusive), in one process.

    Returns:
        int32 (labels, num_classes); {path: ids that are no class} of labels with such ids; a
        sentence for each label that differs in size from its image.
    """
    rows = np.zeros((bounds[1] - bounds[0], num_classes), np.int32)
    problems: dict[str, list[int]] = {}
    sizes: list[str] = []
    ignore, backend_args = traits(dataset).ignore_index, traits(dataset).backend_args
    for row, index in enumerate(range(*bounds)):
        info = dataset.get_data_info(index)
        label = loader.transform(info)['gt_seg_map']
        all_counts = count_ids(label)  # (256,)
        rows[row] = all_counts[:num_classes]
        outside = ids_outside(all_counts, num_classes, ignore)
        if outside:
            problems[info['seg_map_path']] = outside
        sizes += _size_difference(info, label.shape, backend_args)
    return rows, problems, sizes


def _size_difference(info: dict, shape: tuple[int, int], backend_args: Optional[dict]) -> list[str]:
    """One sentence when the image's size, which its first bytes tell, is not ``shape`` (height,
    width), that of the label; else an empty list, also where the image cannot be looked at.
    """
    path = info.get('img_path')
    if not path or not is_local(path, backend_args):
        return []
    try:
        size = image_size(path)
    except OSError:  # not a matter of labels; loading it says what is wrong
        return []
    return [] if size == shape else [
        f'{info["seg_map_path"]} {shape[1]}x{shape[0]}, image '
        f'{size[1]}x{size[0]}'
    ]


def from_official_json(path: str, dataset: Any) -> ClassStatistics:
    """Read the statistics files of the official DAFormer/HRDA converters.

    Files are matched by base name, as the official code does, so the folder names inside the file
    do not matter.

    Args:
        path: ``sample_class_stats.json`` (a list of ``{"file": path, "<class>": pixels, ...}``),
            ``sample_class_stats_dict.json`` (``{path: {"<class>": pixels}}``) or
            ``samples_with_class.json`` (``{"<class>": [[path, pixels], ...]}``).
        dataset: The dataset (or wrapper) it describes; rows follow its order.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not such a file, a label of the dataset is not in it, two of its files share a
            base name, or it names a class the dataset does not have.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'no statistics file {path!r}; leave class_statistics unset to '
                                'count the labels')
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:  # ValueError: damaged JSON, or no text at all
        raise ValueError(f'{path}: not a readable JSON file ({type(error).__name__}); fetch it '
                         'again, or leave class_statistics unset to count the labels') from error
    per_file = _official_counts(content, path)  # {base name: {class: pixels}}
    negative = next(
        (name for name, counts in per_file.items() if min(counts.values(), default=0) < 0), None)
    if negative is not None:
        raise ValueError(f'{path}: {negative} has a negative number of pixels; the file is damaged')
    counts, names = _in_order_of(dataset, per_file, path)
    return ClassStatistics(counts, counts.sum(axis=0, dtype=np.int64),
                           f'official:{osp.basename(path)}', names)


def _in_order_of(dataset: Any, per_file: dict[str, dict[int, int]],
                 path: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Counts by file name as a table, a row per sample of ``dataset``, and the classes' names.

    Args:
        dataset: The dataset or wrapper.
        per_file: {base name of a label: {class: pixels}}.
        path: Of the statistics file, for messages.

    Returns:
        int32 (samples, classes), and the names.

    Raises:
        ValueError: A label of the dataset is not in the file, or a class not in the dataset.
    """
    # innermost datasets; for each sample of ``dataset`` which of them has it, and its index there
    parts, which, local = flatten(dataset)
    names = tuple(parts[0].metainfo['classes'])
    # mmseg's map of a user who chose among the classes (metainfo): old id -> new id or 255
    chosen = getattr(parts[0], 'label_map', None) or {}
    counts = np.zeros((len(which), len(names)), np.int32)
    missing = []
    for row, (part, index) in enumerate(zip(which, local)):
        base = osp.basename(parts[part].get_data_info(int(index))['seg_map_path'])
        if base not in per_file:
            missing.append(base)
            continue
        for class_id, pixels in per_file[base].items():
            class_id = chosen.get(class_id, class_id)
            if class_id == IGNORE:  # the user's choice of classes leaves it out
                continue
            if not 0 <= class_id < len(names):
                raise ValueError(
                    f'{path}: class {class_id} of {base} is not in 0..{len(names) - 1}')
            counts[row, class_id] += pixels
    if missing:
        raise ValueError(f'{path}: {len(missing)} of {len(which)} labels are not in it, for '
                         f'example {missing[:_NAMED]}; it was made for other data')
    return counts, names


def _official_counts(content: Any, path: str) -> dict[str, dict[int, int]]:
    """{base name: {class: pixels}} from any of the three layouts of :func:`from_official_json`;
    ValueError for anything else.
    """
    rows: list[tuple[str, dict[int, int]]] = []  # (path, {class: pixels})
    try:
        if isinstance(content, list):  # sample_class_stats.json
            rows = [(e['file'], {int(k): int(v)
                                 for k, v in e.items() if k != 'file'}) for e in content]
        elif content and all(isinstance(v, dict) for v in content.values()):  # ..._stats_dict.json
            rows = [(name, {int(k): int(v) for k, v in e.items()}) for name, e in content.items()]
        else:  # samples_with_class.json: by class first
            merged: dict[str, dict[int, int]] = {}
            for class_id, files in content.items():
                for name, pixels in files:
                    merged.setdefault(name, {})[int(class_id)] = int(pixels)
            rows = list(merged.items())
        by_name = {osp.basename(name): counts for name, counts in rows}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f'{path}: not a class statistics file of the official '
                         'converters') from error
    if len(by_name) < len(rows):
        raise ValueError(f'{path}: several of its files share a base name, so it cannot be '
                         'matched; leave class_statistics unset to count the labels')
    return by_name
