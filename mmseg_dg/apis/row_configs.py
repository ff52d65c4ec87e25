"""Configs with a row and a labeled subset of their ``ablations.yml`` applied."""
import os.path as osp
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.config import Config, ConfigDict

from mmseg_dg.utils.config_files import read_config_file

from .config_rows import ORIGIN, ROWS_FILE, Row, closest, find_config, find_row, rows_of


def load_config(config: Union[str, Path], row: Optional[str] = None,
                subset: Optional[str] = None) -> Config:
    """A config, with a row and a labeled subset applied; as complete as a file's, and dumped like
    one.

    Args:
        config: File, or name of one of the package's configs.
        row: Name in the ``ablations.yml`` beside the file.
        subset: Name of a folder of lists, ``<data_root>/splits/<subset>``.

    Raises:
        FileNotFoundError: No such config.
        ValueError: No such row; no stream ``labeled``; a key of the row that does not exist.
    """
    path = find_config(config)
    cfg = read_config_file(path)
    if row or subset:
        apply_row(cfg, path, row, subset)
    return cfg


def apply_row(cfg: Config, path: Union[str, Path], row: Optional[str] = None,
              subset: Optional[str] = None) -> None:
    """Turn a config as read from its file into a row of it, in place; arguments as
    :func:`load_config`.
    """
    path, found = Path(path), find_row(path, row)
    _apply(cfg, path, found, rows_of(path))  # without ``row`` found is the config itself: no change
    if subset:
        cfg.merge_from_dict(subset_lists(cfg, subset))
        # settings of the subset for the whole config (the row ''), then those of the row
        for listed in (rows_of(path)[''].subsets, found.subsets if found.name else {}):
            # "1_30_seed2" is another draw of "1_30": its settings
            entry = listed.get(subset) or listed.get(subset.rpartition('_seed')[0])
            if entry:
                _merge(cfg, entry.overrides, f'{path.parent / ROWS_FILE}: {path.stem}, subset '
                       f'{subset}')
    if row or subset:
        cfg[ORIGIN] = {
            key: value
            for key, value in dict(config=path.stem, row=row, subset=subset).items() if value
        }


def _apply(cfg: Config, path: Path, row: Row, rows: dict[str, Row]) -> None:
    """Change ``cfg`` in place by a row: first the rows it is based on, then its parts, drops and
    overrides.
    """
    where = f'{path.parent / ROWS_FILE}: {path.stem}, row {row.name}'
    for base in row.base_rows:
        _apply(cfg, path, rows[base], rows)
    for key, file in row.parts.items():
        _set(cfg, key, _part(path, key, file, where), where)
    for key in row.drop:
        parent, last = _parent(cfg, key, where)
        if not _has(parent, last):
            raise ValueError(f'{where}: drop names {key}, which the config does not have.'
                             f'{closest(str(last), map(str, parent))}')
        del parent[last]
    _merge(cfg, row.overrides, where)


def _part(path: Path, key: str, file: str, where: str) -> Any:
    """The value that a row's ``parts`` puts at a key of the config.

    Args:
        path: The config's file.
        key: Dotted key of the config.
        file: Name of a file below ``_base_``, or else of another config of the folder, without
            ``.py``. Its value at the same key is taken, or with ``file:key2`` that at ``key2``.
        where: Begins the message of an error.

    Raises:
        ValueError: No such file, or it does not have the key.
    """
    name, _, other = file.partition(':')
    places = [path.parent.parent / '_base_' / f'{name}.py', path.parent / f'{name}.py']
    place = next((p for p in places if p.is_file()), None)
    if place is None:
        raise ValueError(f'{where}: parts names {file} for {key}: neither {places[0]} nor '
                         f'{places[1]} exists')
    parent, last = _parent(Config.fromfile(str(place)), other or key, f'{where}, {place}')
    if not _has(parent, last):
        raise ValueError(f'{where}: {place} has no '
                         f'{other or key}.{closest(str(last), map(str, parent))}')
    return parent[last]


def _parent(cfg: Config, dotted: str, where: str) -> tuple[Any, Any]:
    """The place in a config that a dotted key names.

    Returns:
        The dict or list that holds the last part of the key, and that part (a number for a list);
        whether it is there is for the caller to see.

    Raises:
        ValueError: A part before the last is not there; the message begins with ``where``.
    """
    *parts, last = dotted.split('.')
    node: Any = cfg._cfg_dict  # the dict itself, so that changes reach the config
    for part in parts:
        if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            known = map(str, node) if isinstance(node, dict) else ()
            raise ValueError(f'{where}: {dotted}: there is no {part!r}.{closest(part, known)}')
    return node, int(last) if isinstance(node, list) and last.isdigit() else last


def _has(parent: Any, last: Any) -> bool:
    """Whether a dict has the key ``last``, or a list that position."""
    return last in (range(len(parent)) if isinstance(parent, list) else parent)


def _set(cfg: Config, key: str, value: Any, where: str) -> None:
    """Set the value at a dotted key in place; the message of ValueError, where the dict or list
    position that it belongs to is not there, begins with ``where``.
    """
    parent, last = _parent(cfg, key, where)
    if isinstance(parent, list) and not _has(parent, last):
        raise ValueError(f'{where}: {key}: the list has {len(parent)} entries, no number {last}')
    parent[last] = value


def _merge(cfg: Config, overrides: dict, where: str) -> None:
    """Merge overrides by dotted key into a config in place; mmengine's error for one that does not
    fit becomes a ValueError that begins with ``where``.
    """
    try:
        # to_dict: a copy, since rows are cached and merging may change what it is given
        cfg.merge_from_dict(ConfigDict(overrides).to_dict())
    except (KeyError, TypeError) as error:
        raise ValueError(f'{where}: {error.args[0] if error.args else error}') from None


def subset_lists(cfg: Config, subset: str) -> dict[str, str]:
    """Overrides that choose a labeled subset: the lists
    ``splits/<subset>/{labeled,unlabeled}.txt``.

    They lie beside the lists the config names. Streams other than ``labeled`` are unlabeled; beside
    a stream ``target_labeled`` (adaptation with a few target labels) the stream ``source`` keeps
    all its labels.

    Raises:
        ValueError: The config has neither a stream ``labeled`` nor ``target_labeled``.
    """
    loaders = cfg.get('train_dataloader') or {}
    labeled = next((stream for stream in ('labeled', 'target_labeled') if stream in loaders), None)
    if labeled is None:
        raise ValueError(f'--subset needs a training stream "labeled"; {cfg.filename} has '
                         f'{", ".join(loaders)}')
    options = {}
    for stream in loaders:
        if loaders[stream] is None or labeled == 'target_labeled' and stream == 'source':
            continue
        key, dataset = f'train_dataloader.{stream}.dataset', loaders[stream].dataset
        while 'dataset' in dataset:
            key, dataset = f'{key}.dataset', dataset.dataset
        # the folder two above the config's list, as in splits/<name>/labeled.txt below data_root
        home = osp.dirname(osp.dirname(dataset.get('ann_file') or '')) or 'splits'
        kind = 'labeled' if stream == labeled else 'unlabeled'
        options[f'{key}.ann_file'] = f'{home}/{subset}/{kind}.txt'
    return options
