"""Masks of 0 and 255: what drawing programs save for "background" and "object", and what looks like
one class plus ignored pixels here, so that training would learn nothing without any error.
"""
from typing import Any, Optional

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations

from .label_tables import IGNORE, count_ids
from .traits import traits
from .wrappers import transforms_of

_SAMPLES = 8  # masks that are read


def maps_255(label_map: Optional[dict]) -> bool:
    """Whether the user has said what 255 means; ``{255: 255}`` says that it is to be ignored."""
    return IGNORE in (label_map or {})


def looks_binary(present: np.ndarray) -> bool:
    """Whether 0 and 255 are the only ids and both occur.

    Args:
        present: (256,), non-zero where the id occurs in the files as they are, before any mapping.
    """
    return np.flatnonzero(present).tolist() == [0, IGNORE]


def binary_message(owner: str, classes: Any, what: str) -> str:
    """The text of the error for masks of 0 and 255: why nothing would be learned, what to write.

    Args:
        owner: Name for the message.
        classes: Class names.
        what: What was looked at, for example ``8 of 200 masks (first: a.png)``.
    """
    second = f' ({classes[1]!r})' if len(classes) > 1 else ''
    return (f'{owner}: binary 0/255 masks: the ids in {what} are 0 and 255 only, and 255 means '
            f'"ignore", so class 1{second} would have no pixels. Set label_map={{255: 1}} of '
            'FolderDataset if 255 is class 1; label_map={255: 255} says that it is to be ignored')


def one_class_message(owner: str, name: str, ids: list[int], what: str) -> str:
    """The text of the error for a single class: why nothing would be learned, and what to write
    for masks with these ids.

    Args:
        owner: Name for the message.
        name: The class.
        ids: What occurs in the masks.
        what: What was looked at.
    """
    pair = f"classes=['background', {name!r}]"
    if ids == [0, 1]:
        remedy = f'Name the background as well: {pair} (0 is the first class, 1 the second)'
    elif ids == [0, IGNORE]:
        remedy = (
            f'Name the background as well: {pair}, and say that {IGNORE} is the second class: '
            f"label_map={{'{IGNORE}': 1}}")
    else:
        remedy = (f'Name the background as well: {pair}, and give every id of the masks its class: '
                  'label_map={ID: 0 or 1, ...}')
    return (f'{owner}: {name!r} is the only class, so it would be everywhere and nothing could be '
            f'learned; the ids in {what} are {ids}. {remedy}. The decode head then has '
            'num_classes=2')


def check_binary(dataset: Any, samples: int = _SAMPLES) -> None:
    """Refuse a labeled dataset of one class, or of two whose masks look binary; other datasets
    pass unread.

    A ``label_map`` that names 255 says what is meant; one class is then refused by the network's
    config.

    Args:
        dataset: Not a wrapper, initialized.
        samples: Masks that are read, spread evenly.

    Raises:
        ValueError: One class; or every mask read has no ids but 0 and 255, and nothing says what
            255 means.
    """
    # the step of the pipeline that loads labels
    loader = next(
        (s for s in transforms_of(traits(dataset).pipeline) if isinstance(s, BaseLoadAnnotations)),
        None)
    classes = traits(dataset).classes
    if loader is None or len(classes) > 2 or len(dataset) == 0:
        return
    present, first = np.zeros(256, np.int64), ''  # pixels of each id; the first mask, for messages
    indices = np.unique(np.linspace(0, len(dataset) - 1, min(samples, len(dataset))).astype(int))
    for index in indices:
        info = dataset.get_data_info(int(index))
        if maps_255(info.get('label_map')) or not info.get('seg_map_path'):
            return
        first = first or info['seg_map_path']
        # the ids as they are in the file, without any mapping
        label = loader.transform(dict(info, label_map=None, reduce_zero_label=False,
                                      seg_fields=[]))['gt_seg_map']
        present += count_ids(label) if label.ndim == 2 else 0
    seen = f'{len(indices)} of {len(dataset)} masks (first: {first})'
    if len(classes) == 1:
        raise ValueError(
            one_class_message(
                type(dataset).__name__, classes[0],
                np.flatnonzero(present).tolist(), seen))
    if looks_binary(present):
        raise ValueError(binary_message(type(dataset).__name__, classes, seen))
