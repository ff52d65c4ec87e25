"""The configs of the package, loaded once, and small tools to look into them.

A setting is what follows ``train.py``: ``NAME``, ``NAME --row ROW``, ``NAME --row ROW --subset SUBSET``.
"""
import ast
import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Optional
from unittest.mock import patch

import pytest
import torch
from mmengine.config import Config, ConfigDict

from mmseg_dg.apis.config_rows import ORIGIN, Row, find_row, read_rows
from mmseg_dg.apis.row_configs import apply_row

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'


def leaf_files() -> list[Path]:
    """Every config a user can train, sorted; the files under ``_base_`` are parts."""
    return sorted(p for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts)


LEAVES = {p.stem: p for p in leaf_files()}
#: Folder -> its table of rows.
TABLES = {p.parent.name: p for p in sorted(CONFIGS.glob('*/ablations.yml'))}
#: Setting -> row, of every row of every table.
ROWS = {f'{config} --row {name}': row for table in TABLES.values() for config, rows in read_rows(table).items()
        for name, row in rows.items() if name}


def parts_of(setting: str) -> tuple[str, Optional[str], Optional[str]]:
    """``(config, row, subset)`` of a setting."""
    config, *options = setting.split()
    given = dict(zip(options[::2], options[1::2]))
    assert set(given) <= {'--row', '--subset'} and len(options) == 2 * len(given), setting
    return config, given.get('--row'), given.get('--subset')


def with_options(config: str, row: Optional[str] = None, subset: Optional[str] = None) -> str:
    """The setting of a config, row and subset."""
    return config + (f' --row {row}' if row else '') + (f' --subset {subset}' if subset else '')


def folder_of(setting: str) -> str:
    return LEAVES[parts_of(setting)[0]].parent.name


def settings(*folders: str, subsets: bool = False) -> list[str]:
    """Every config and every row of the folders (none given: of all); the subsets the tables name as well."""
    found = [name for name in (*LEAVES, *ROWS) if not folders or folder_of(name) in folders]
    if subsets:
        found += [f'{name} --subset {subset}' for name in found for subset in row_of(name).subsets]
    return sorted(found)


def row_of(setting: str) -> Row:
    """What the table says about a setting; subsets of the config belong to each of its rows."""
    config, name, _ = parts_of(setting)
    return find_row(LEAVES[config], name)


_file2dict = Config._file2dict


@cache
def _parse(*args: Any, **kwargs: Any) -> tuple:
    return _file2dict(*args, **kwargs)


@cache
def read(setting: str) -> Config:
    """A setting's config, read once and shared: not to be changed.

    As ``load_config``, parsing every shared base once: a hundred configs inherit from a few dozen files.
    """
    name, row, subset = parts_of(setting)
    with patch.object(Config, '_file2dict', lambda *args, **kwargs: copy.deepcopy(_parse(*args, **kwargs))):
        if row is None and subset is None:
            return Config.fromfile(LEAVES[name], import_custom_modules=False)  # mmpretrain's parts are optional
        cfg = copy.deepcopy(read(name))
        apply_row(cfg, LEAVES[name], row, subset)
    cfg.pop(ORIGIN)
    return cfg


def load(setting: str) -> Config:
    """The config of a setting, as a copy that may be changed."""
    return copy.deepcopy(read(setting))


def docstring(name: str) -> str:
    return ast.get_docstring(ast.parse(LEAVES[name].read_text(encoding='utf-8'))) or ''


def walk(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Every (dotted key, value) below ``node``, dicts included."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        dotted = f'{path}.{key}' if path else str(key)
        yield dotted, value
        yield from walk(value, dotted)


def flat(cfg: Any) -> dict[str, Any]:
    """Dotted key -> plain value (leaves of the tree)."""
    cfg = cfg._cfg_dict if isinstance(cfg, Config) else cfg
    return {k: v for k, v in walk(cfg) if not isinstance(v, (dict, list, tuple)) or not v}


def changed_keys(a: str, b: str) -> set:
    """Dotted keys in which two configs differ."""
    x, y = flat(read(a)), flat(read(b))
    return {k for k in set(x) | set(y) if k not in x or k not in y or x[k] != y[k]}


def resolve(cfg: Config, dotted: str) -> Any:
    """The value at a dotted key; list positions are numbers.

    Raises:
        KeyError: No such key, naming the part that is missing.
    """
    node: Any = cfg._cfg_dict
    for part in dotted.split('.'):
        if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            raise KeyError(f'{dotted}: there is no {part!r}')
    return node


def without_weights(node: Any) -> Any:
    """The same model config with every pretrained ``init_cfg`` set to None."""
    if isinstance(node, dict):
        return ConfigDict({k: None if k == 'init_cfg' else without_weights(v) for k, v in node.items()})
    if isinstance(node, (list, tuple)):
        return type(node)(without_weights(v) for v in node)
    return node


def import_mmpretrain(kind: str) -> None:
    """Make a part of mmpretrain known; the test is skipped where its own dependency is not installed."""
    if kind.startswith('mmpretrain.'):
        pytest.importorskip('torchvision')
        import mmseg_dg.mmpretrain  # noqa: F401


def build_on_meta(cfg: ConfigDict):
    """Build a model without memory for its weights."""
    from mmseg_dg.registry import MODELS
    for key, value in walk(cfg):
        if key.endswith('type') and isinstance(value, str):
            import_mmpretrain(value)
    with torch.device('meta'):
        return MODELS.build(without_weights(cfg))


def distinct(values: dict[str, Any]) -> dict[str, list[str]]:
    """Names grouped by equal values: first name of a group -> all names of it."""
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(repr(value), []).append(name)
    return {names[0]: names for names in groups.values()}
