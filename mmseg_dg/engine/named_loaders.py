"""Several named dataloaders behind the one interface mmengine expects of a loop's ``dataloader``.
"""
from collections.abc import ItemsView, Iterator
from typing import Any

from torch.utils.data import DataLoader

from mmseg_dg.datasets.traits import traits

#: What all streams (or domains) of a run must agree on.
SHARED_META = ('classes', 'palette')


def sample_count(loader: DataLoader) -> int:
    """Samples of a dataloader's dataset."""
    dataset: Any = loader.dataset  # torch does not say that it has a length
    return len(dataset)


class _MetaCarrier:
    """Stands for "the" dataset of several loaders: mmengine reads ``.metainfo`` and ``len()`` of it
    (RuntimeInfoHook, resume, ``save_checkpoint``).
    """
    def __init__(self, metainfo: dict, length: int) -> None:
        self.metainfo = metainfo
        self._length = length

    def __len__(self) -> int:
        return self._length


class NamedLoaders:
    """Dataloaders by name, e.g. the streams of training or the domains of validation.

    Args:
        loaders: Name to dataloader, in the order they are iterated.
        what: Word for error messages (``'training stream'``, ``'validation domain'``).

    Attributes:
        dataset: Object with the shared ``metainfo`` (classes and palette) and the summed length.

    Raises:
        ValueError: No loader, an empty dataset, or datasets whose classes or palette differ.
    """
    def __init__(self, loaders: dict[str, DataLoader], what: str = 'stream') -> None:
        if not loaders:
            raise ValueError(f'no {what} is configured: give at least one name = dataloader')
        self.loaders = dict(loaders)
        self.what = what
        for name, loader in self.loaders.items():
            if sample_count(loader) == 0:
                raise ValueError(f'{what} "{name}" has an empty dataset: check data_root, '
                                 'data_prefix, suffixes and ann_file of its config')
        self.dataset = _MetaCarrier(self._shared_metainfo(),
                                    sum(sample_count(x) for x in self.loaders.values()))

    def _shared_metainfo(self) -> dict:
        """The first loader's metainfo, completed from the others; refuses classes or palettes that
        differ.
        """
        names = self.names
        metas = {name: traits(x.dataset).metainfo for name, x in self.loaders.items()}
        first = names[0]
        for key in SHARED_META:
            for name in names[1:]:
                ours, theirs = _plain(metas[first].get(key)), _plain(metas[name].get(key))
                if ours is not None and theirs is not None and ours != theirs:
                    raise ValueError(
                        f'{self.what}s "{first}" and "{name}" disagree on {key}:\n  {first}: '
                        f'{_short(ours)}\n  {name}: {_short(theirs)}\nGive both datasets the same '
                        'metainfo=dict(classes=..., palette=...), or map the labels of one to the '
                        'other')
        merged = dict(metas[first])
        for meta in metas.values():  # an unlabeled folder may not know the classes
            for key in SHARED_META:
                if merged.get(key) is None and meta.get(key) is not None:
                    merged[key] = meta[key]
        return merged

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.loaders)

    def items(self) -> ItemsView[str, DataLoader]:
        return self.loaders.items()

    def __getitem__(self, name: str) -> DataLoader:
        return self.loaders[name]

    def __len__(self) -> int:
        """Sum of the batches of all loaders."""
        return sum(len(x) for x in self.loaders.values())

    def __iter__(self) -> Iterator:
        """All batches, one loader after the other."""
        for loader in self.loaders.values():
            yield from loader


def _plain(value: Any) -> Any:
    """Classes or a palette with lists in place of tuples, so that both kinds compare equal; None
    stays.
    """
    if value is None:
        return None
    return [list(x) if isinstance(x, (list, tuple)) else x for x in value]


def _short(value: Any, limit: int = 200) -> str:
    """Number and text of a list's entries, cut after ``limit`` characters, for a message."""
    text = f'{len(value)} entries {value}'
    return text if len(text) <= limit else text[:limit] + '...'
