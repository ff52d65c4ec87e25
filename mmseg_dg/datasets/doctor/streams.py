"""The datasets a config names, without building any."""
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmseg_dg.registry import TRANSFORMS
from mmseg_dg.utils.loaders import loaders_by_name

from ..crop_setting import training_loaders, transform_configs
from ..transforms import LoadImageFromFile


class Entry(NamedTuple):
    """One dataset of a config that is no wrapper.

    Attributes:
        stream: ``train/<stream>``, ``val/<domain>`` or ``test/<domain>``.
        key: Dotted key of the dataset in the config.
        config: Its config.
    """
    stream: str
    key: str
    config: dict

    @property
    def trains(self) -> bool:
        """Whether the network is trained on it; otherwise it is a validation or test domain."""
        return self.stream.startswith('train')


def entries(cfg: Any) -> list[Entry]:
    """Every dataset of the config's loaders; the test loader only where it differs from validation.

    Args:
        cfg: ``Config`` or dict with ``train_dataloader`` and ``val_dataloader``, each one plain
            loader or ``{name: loader}``.
    """
    found = []
    for loader_key, role in (('train_dataloader', 'train'), ('val_dataloader', 'val'),
                             ('test_dataloader', 'test')):
        loaders = training_loaders(cfg) if role == 'train' else cfg.get(loader_key) or {}
        if role == 'test' and loaders == cfg.get('val_dataloader'):
            continue
        for name, loader in loaders_by_name(loaders).items():  # the name of a single one is ''
            if isinstance(loader, dict) and isinstance(loader.get('dataset'), dict):
                where = f'{loader_key}.{name}.dataset' if name else f'{loader_key}.dataset'
                stream = f'{role}/{name}' if name else role
                found += [
                    Entry(stream, key, leaf) for key, leaf in _leaves(loader['dataset'], where)
                ]
    return found


def _leaves(config: Any, key: str) -> Iterator[tuple[str, dict]]:
    """``(dotted key, config)`` of every dataset that is no wrapper around others."""
    if isinstance(config.get('dataset'), dict):
        yield from _leaves(config['dataset'], f'{key}.dataset')
    elif isinstance(config.get('datasets'), (list, tuple)):
        for i, part in enumerate(config['datasets']):
            yield from _leaves(part, f'{key}.datasets.{i}')
    else:
        yield key, config


def label_loader(config: dict) -> Any:
    """The label loading step of a dataset config's pipeline, built (the first one); None for an
    unlabeled stream.
    """
    from mmcv.transforms import LoadAnnotations
    for step in transform_configs(config.get('pipeline') or ()):
        cls = TRANSFORMS.get(step['type']) if isinstance(step['type'], str) else step['type']
        if isinstance(cls, type) and issubclass(cls, LoadAnnotations):
            return TRANSFORMS.build(dict(step))
    return None


def image_loader(config: dict) -> Any:
    """The step that loads images, built as :class:`mmseg_dg.datasets.transforms.LoadImageFromFile`;
    None where the pipeline loads them in another way.

    mmcv's own step is judged by the same rules, as this package's step with its arguments: it would
    cut 16 bits off at 8.
    """
    from mmcv.transforms import LoadImageFromFile as Stock

    for step in transform_configs(config.get('pipeline') or ()):
        cls = TRANSFORMS.get(step['type']) if isinstance(step['type'], str) else step['type']
        if cls is LoadImageFromFile:
            return TRANSFORMS.build(dict(step))
        if cls is Stock:
            return LoadImageFromFile(
                **{key: value
                   for key, value in step.items() if key not in ('type', '_scope_')})
    return None
