"""One crop size for all streams of a training, where their pipelines state none:
``train_cfg.crop_size``.
"""
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional, Union

from .crops import CROPS

CropSize = Union[int, Sequence[int], None]


def checked_size(value: CropSize) -> Optional[tuple[int, int]]:
    """(height, width) of a setting; a number is both, None stays None.

    Raises:
        ValueError: Anything but one or two positive whole numbers.
    """
    if value is None:
        return None
    pair: tuple = ()
    if isinstance(value, int):
        pair = (value, value)
    elif isinstance(value, (list, tuple)):
        pair = tuple(value)
    # type() is int: True is an int for isinstance, but no size
    if len(pair) != 2 or not all(type(side) is int and side > 0 for side in pair):
        raise ValueError(f'train_cfg.crop_size={value!r}: give one number of pixels, or (height, '
                         'width)')
    return pair


def with_crop_size(loaders: Any, size: CropSize) -> Any:
    """Dataloader configs whose fixed-size crops, and ``Pad`` to a fixed size, have this size where
    they state none.

    Args:
        loaders: ``train_dataloader`` of a config: streams by name, or one loader.
        size: See :func:`checked_size`; None: ``loaders`` as they are.

    Returns:
        A copy; ``loaders`` itself is not changed.

    Raises:
        ValueError: ``size`` is no size.
    """
    size = checked_size(size)
    if size is None or not isinstance(loaders, Mapping):
        return loaders
    loaders = copy.deepcopy(loaders)
    for step in _steps(loaders):
        kind = step['type'] if isinstance(step['type'], str) else step['type'].__name__
        kind = kind.rpartition('.')[2]  # without a scope: mmseg.RandomCrop
        if kind in CROPS:
            step.setdefault('crop_size', size)  # a pipeline that states a size keeps it
        elif kind == 'Pad' and not {'size', 'size_divisor', 'pad_to_square'} & set(step):
            step['size'] = size[::-1]  # mmcv: (width, height)
    return loaders


def crop_size_of(cfg: Mapping) -> CropSize:
    """``train_cfg.crop_size`` of a config as it is written there; None without one."""
    return (cfg.get('train_cfg') or {}).get('crop_size')


def training_loaders(cfg: Mapping) -> Any:
    """``train_dataloader`` of a config with its ``train_cfg.crop_size`` written into pipelines
    without one.
    """
    return with_crop_size(cfg.get('train_dataloader') or {}, crop_size_of(cfg))


def _steps(node: Any) -> Iterator[dict]:
    """Every transform of every pipeline below a config, those inside others included."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ('pipeline', 'transforms'):
                yield from transform_configs(value)
            else:
                yield from _steps(value)
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from _steps(item)


def transform_configs(node: Any) -> Iterator[dict]:
    """Configs of all transforms of a pipeline (a list, or one transform), in order, those inside
    of others (their ``transforms``) included.
    """
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from transform_configs(item)
    elif isinstance(node, dict):
        if 'type' in node:
            yield node
        yield from transform_configs(node.get('transforms') or ())
