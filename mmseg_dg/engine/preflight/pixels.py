"""Checks of whole images and labels as they are loaded, before crops hide a part of them."""
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations

from mmseg_dg.datasets.statistics.class_statistics import warn_ignored
from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.wrappers import locate, steps_of, transforms_of
from mmseg_dg.utils.listing import listed

#: Images of a floating point format that are looked at per stream, spread evenly; 8-bit ones cannot
#: hold NaN.
FLOAT_IMAGES = 256
_NAMED = 5


def check_float_images(loaders: Any, count: int) -> None:
    """Refuse images of floating point formats (TIFF, npy) that hold NaN or infinity.

    Args:
        loaders: The streams.
        count: Images per stream that are opened to see whether they are floating point; of those
            that are, up to ``FLOAT_IMAGES`` are read.

    Raises:
        ValueError: It names stream and files.
    """
    for name, loader in loaders.items():
        # a few decide whether the stream has such images at all; 'f': NumPy's letter of their type
        few = _images(loader.dataset, count)
        if not any(_kind(image) == 'f' for image, _ in few):
            continue
        bad = [
            path for image, path in _images(loader.dataset, FLOAT_IMAGES)
            if _kind(image) == 'f' and not np.isfinite(image).all()
        ]
        if bad:
            raise ValueError(f'stream "{name}": {listed(bad, _NAMED)} hold NaN or infinite pixels, '
                             'which would make every weight NaN: replace them (numpy.nan_to_num), '
                             'or leave the images out with a list (ann_file)')


def check_ignored_labels(method: Any, loaders: Any, count: int) -> None:
    """Warn where labels have no pixel of any class; never raises.

    Args:
        method: Says which streams are labeled, and whether all their labels were counted already.
        loaders: The streams.
        count: Labels per stream that are read.
    """
    if method.reads_all_labels:
        return  # counting them has said so
    for name in method.labeled_streams:
        seen, empty = 0, []
        for label, classes, path in _labels(loaders[name].dataset, count):
            seen += 1
            if not (label < classes).any():  # ids are 0..classes - 1, ignored ones above
                empty.append(path)
        if empty:
            warn_ignored(empty[:_NAMED], len(empty), seen)


def _kind(image: Any) -> str:
    """NumPy's letter of an array's kind of type (``'f'``, ``'u'``); empty for anything else."""
    return image.dtype.kind if isinstance(image, np.ndarray) else ''


def _samples(dataset: Any, count: int) -> Iterator[tuple[Any, dict]]:
    """``(dataset inside wrappers, info of a sample)`` of ``count`` samples spread evenly; those are
    left out whose dataset has no list of samples or no pipeline.
    """
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)):
        leaf, local = locate(dataset, int(index))
        if traits(leaf).describes_samples and steps_of(traits(leaf).pipeline):
            yield leaf, leaf.get_data_info(local)


def _images(dataset: Any, count: int) -> Iterator[tuple[Any, str]]:
    """``(image, path)`` of samples spread evenly; the image as the first step of the pipeline (one
    that loads) gives it, before anything is scaled or cropped.
    """
    for leaf, info in _samples(dataset, count):
        first: Any = next(iter(leaf.pipeline.transforms), None)
        if 'Load' in type(first).__name__ and info.get('img_path'):
            path = info['img_path']  # taken before: a transform may change ``info``
            yield (first(info) or {}).get('img'), str(path)


def _labels(dataset: Any, count: int) -> Iterator[tuple[np.ndarray, int, str]]:
    """``(array of ids, number of classes, path)`` of ``count`` samples spread evenly, the ids as
    the loading step of the pipeline reads them; samples without a label are left out.
    """
    for leaf, info in _samples(dataset, count):
        loader = next(
            (t for t in transforms_of(leaf.pipeline) if isinstance(t, BaseLoadAnnotations)), None)
        classes = traits(leaf).classes
        if loader is None or not classes or not info.get('seg_map_path'):
            continue
        label = (loader.transform(dict(info, seg_fields=[])) or {}).get('gt_seg_map')
        if label is not None:
            yield np.asarray(label), len(classes), str(info['seg_map_path'])
