"""Copies of a dataset at the size its training pipeline resizes to, so that no sample is decoded at
full size.

``tools/dataset_converters/resized_copies.py`` writes them; ``resized=True`` of a dataset reads
them.
"""
import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any, Optional

#: File of the original labels' pixel counts, in the folder of the copies.
COUNTS = 'sample_class_stats_dict.json'
#: Options of the ``Resize`` that copies are made with, its scale left out. (mmcv's own defaults but
#: for ``keep_ratio``, which is False there.)
_COPY_OPTIONS = dict(keep_ratio=True, interpolation='bilinear', backend='cv2', scale_factor=None)


def copies_folder(scale: Sequence[int]) -> str:
    """Name of the folder, below the dataset's root, of copies made by ``Resize(scale=scale,
    keep_ratio=True)``; ``scale`` is (width, height) as there.
    """
    return f'resized_{scale[0]}x{scale[1]}'


def scale_of(pipeline: Sequence[Any], owner: str) -> tuple[int, int]:
    """The fixed scale that a pipeline resizes to right after loading.

    Args:
        pipeline: Configs of transforms, or built ones.
        owner: For the message.

    Returns:
        (width, height), as ``Resize`` takes it.

    Raises:
        ValueError: The first step after the loading ones is no ``Resize`` to a fixed scale that
            keeps the ratio. From copies every other pipeline would give other samples.
    """
    for step in pipeline:
        # the class's name, whether ``type`` is a class or its name with or without a scope
        kind = step['type'] if isinstance(step, Mapping) else type(step)
        kind = getattr(kind, '__name__', kind).rsplit('.', 1)[-1]
        if kind.startswith('Load'):
            continue
        # mmcv's defaults, and over them what the step states
        options = dict(_COPY_OPTIONS, keep_ratio=False)
        options.update(step if isinstance(step, Mapping) else vars(step))
        scale = options.get('scale')
        as_copies = all(options[key] == value for key, value in _COPY_OPTIONS.items())
        if kind == 'Resize' and as_copies and isinstance(scale, (tuple, list)):
            return int(scale[0]), int(scale[1])
        break
    raise ValueError(f'{owner}(resized=True) needs a pipeline whose first step after loading is '
                     'Resize(scale=(width, height), keep_ratio=True): from copies of one size any '
                     'other would make other samples. Set resized=False')


def prefix_of_copies(prefix: Mapping[str, Optional[str]], scale: Sequence[int], root: Optional[str],
                     owner: str) -> dict[str, Optional[str]]:
    """``data_prefix`` with the folder of the copies (``<data_root>/<folder of the scale>``) in
    front of each path.

    Args:
        prefix: ``data_prefix``, relative to ``data_root``; None where there are no labels.
        scale: (width, height) the copies were made at.
        root: ``data_root``.
        owner: For messages.

    Raises:
        ValueError: A prefix that does not lie below ``data_root``.
        FileNotFoundError: There is no such folder.
    """
    folder = copies_folder(scale)
    outside = [path for path in prefix.values() if path is not None and osp.isabs(path)]
    if outside or not root:
        raise ValueError(f'{owner}(resized=True) finds the copies below data_root; data_prefix '
                         f'must be relative to it, got {outside or dict(prefix)}')
    if not osp.isdir(osp.join(root, folder)):
        raise FileNotFoundError(
            f'{owner}(resized=True): no folder {osp.join(root, folder)!r}. Make the copies:\n    '
            f'mim run mmseg_dg resized_copies gta {root} --scale {scale[0]} {scale[1]}\n'
            '(gta or synthia), or set resized=False')
    return {key: path if path is None else osp.join(folder, path) for key, path in prefix.items()}
