"""Rows: variants of a config that are not files of their own, and labeled subsets with settings of
their own.

Beside the configs of a folder lies ``ablations.yml``::

    daformer_mitb5_gta2cityscapes:      # a config of this folder
      paper: no row of the paper # holds for every row below that says nothing else; so do score and
          status
      status: not yet run at full scale
      rows:
        nowarmup:
          what: without learning-rate warm-up
          score: none
          overrides: {param_scheduler.0.warmup_iters: 0}
      subsets:
        1_8: {score: 73.5}

A row is resolved in this order: the config; the rows named by ``with``; ``parts`` (the value at a
dotted key, taken whole from another base: a file below ``_base_``, or another config of the
folder); ``drop`` (dotted keys); ``overrides`` (dotted keys, as ``--cfg-options`` merges them: dicts
are merged, ``_delete_: true`` replaces one, list positions are numbers). A subset then sets the
streams' lists, and the overrides it has in the config's or the row's ``subsets``.

Only yaml is imported here until a config is resolved.
"""
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import yaml

if TYPE_CHECKING:
    from mmengine.config import Config

ROWS_FILE = 'ablations.yml'
#: Key of a resolved config that says where it comes from: a dict with ``config`` and, as far as it
#: has them, ``row`` and ``subset``. Names of runs are made from it; it is never applied again.
ORIGIN = 'config_row'
_PACKAGE = Path(__file__).resolve().parent.parent
#: Fields of a row that are text; then all fields of a row, of a subset, and of a config's entry.
_TEXTS = ('what', 'paper', 'score', 'status', 'resources', 'note')
_FIELDS = {*_TEXTS, 'with', 'parts', 'drop', 'overrides', 'subsets'}
_SUBSET_FIELDS = {'score', 'note', 'overrides'}
_CONFIG_FIELDS = {'paper', 'score', 'status', 'rows', 'subsets'}


@dataclass(frozen=True)
class Subset:
    """What ``ablations.yml`` says about one labeled subset: the paper's score, and settings besides
    the lists.
    """
    name: str
    score: str = ''
    note: str = ''
    overrides: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One variant of a config.

    Attributes:
        name: What ``--row`` takes; '' for the config itself.
        config: Stem of the config's file.
        what: The difference, in words.
        paper: Row of the paper, or that there is none.
        score: The paper's score, or that there is none; never one of ours.
        status: What has been run here.
        resources: Those of the paper; '' where they are the config's.
        note: Remarks.
        base_rows: Rows of the same config that come first.
        parts: Dotted key -> file, below ``_base_`` or beside the config, without ``.py``.
        drop: Dotted keys that are removed.
        overrides: Dotted key -> value.
        subsets: Labeled subsets by name.
    """
    name: str
    config: str
    what: str = ''
    paper: str = ''
    score: str = ''
    status: str = ''
    resources: str = ''
    note: str = ''
    base_rows: tuple = ()
    parts: dict = field(default_factory=dict)
    drop: tuple = ()
    overrides: dict = field(default_factory=dict)
    subsets: dict = field(default_factory=dict)


# libyaml's loader where PyYAML was built with it: faster
_BaseLoader: type = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


class _Loader(_BaseLoader):
    """YAML with ``!tuple [1, 2]``; a key that stands twice is an error."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
    """The dict of a YAML mapping; ValueError for a key that stands twice, of which PyYAML would
    silently keep the last.
    """
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f'line {node.start_mark.line + 1}: {", ".join(twice)} stands twice')
    return {
        key: loader.construct_object(value, deep=True)
        for key, (_, value) in zip(keys, node.value)
    }


def _resolvers() -> dict:
    """What values without quotes mean, as in YAML 1.2: 1e-5 is a number, while ``1_30`` (a subset),
    ``no`` and ``on`` are text. PyYAML's own rules, of YAML 1.1, say the opposite of each.

    Returns:
        As PyYAML wants it: first character -> ``(tag, pattern)`` of the kinds that may begin so.
    """
    # kind: pattern of the whole value, characters it may begin with ('': an empty value)
    kinds = {
        'null': (r'~|null|', ['~', 'n', '']),
        'bool': (r'true|false', list('tf')),
        'int': (r'[-+]?\d+', list('-+0123456789')),
        'float': (r'[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?', list('-+.0123456789')),
    }
    found: dict = {}
    for kind, (pattern, firsts) in kinds.items():
        for first in firsts:
            found.setdefault(first, []).append(
                (f'tag:yaml.org,2002:{kind}', re.compile(f'^(?:{pattern})$')))
    return found


_Loader.yaml_implicit_resolvers = _resolvers()
_Loader.add_constructor('tag:yaml.org,2002:map', _mapping)
_Loader.add_constructor('!tuple',
                        lambda loader, node: tuple(loader.construct_sequence(node, deep=True)))


def closest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean "x"?``, with a blank before it, to end a message with; x is the most similar
    of the known names. '' where none is similar.
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{found[0]}"?' if found else ''


def config_homes() -> list[Path]:
    """Folders of the package's configs that there are: ``.mim/configs``, which an installed package
    has (an editable one as a link), and ``configs`` beside the package, which a clone has.
    """
    homes = [_PACKAGE / '.mim' / 'configs', _PACKAGE.parent / 'configs']
    return [home for home in homes if home.is_dir()]


def package_configs() -> dict[str, Path]:
    """Name -> file of every config of the package, from the installed package or the repository."""
    return {
        path.stem: path
        for home in config_homes()[:1]  # only one is read
        for path in sorted(home.glob('*/*.py')) if path.parent.name != '_base_'
    }


def find_config(name: Union[str, Path]) -> Path:
    """The file of a config: a path, or the name of one of the package's (``.py`` may be left out).

    Raises:
        FileNotFoundError: Neither; the message names the closest one.
    """
    if Path(name).is_file():
        return Path(name)
    own = package_configs()
    stem = Path(name).name.removesuffix('.py')
    if Path(name).parent == Path() and stem in own:
        return own[stem]
    raise FileNotFoundError(f'there is no config {name}.{closest(stem, own)}')


def read_rows(path: Union[str, Path]) -> dict[str, dict[str, Row]]:
    """Config -> name -> row, of one ``ablations.yml``; the config itself, with its subsets, is the
    row ``''``.

    Args:
        path: The file.

    Raises:
        ValueError: The file is not of the form above; the message names file, config, row and
            field.
    """
    path = Path(path)
    status = path.stat()  # what was read is kept as long as the file is the same
    return dict(_read_rows(path, (status.st_mtime_ns, status.st_size)))


@lru_cache(maxsize=64)
def _read_rows(path: Path, version: tuple) -> dict[str, dict[str, Row]]:
    """The rows of one file: stem of the config -> name of the row ('': the config itself) -> row.

    ``version`` (time of change, size) makes the cache forget a file that was changed.
    """
    try:
        table = yaml.load(path.read_text(encoding='utf-8'), _Loader) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from None
    if not isinstance(table, dict) or not all(isinstance(stem, str) for stem in table):
        raise ValueError(f'{path}: it must hold names of configs (without .py), each with its '
                         f'rows; it begins with {str(table)[:60]}')
    # a key that begins with a dot is no config: it holds YAML anchors that entries share
    return {
        stem: _rows_of_config(f'{path}: {stem}', stem, entry or {})
        for stem, entry in table.items() if not stem.startswith('.')
    }


def _rows_of_config(where: str, stem: str, entry: dict) -> dict[str, Row]:
    """The rows of one config by name; ``''`` is the config itself, with its subsets.

    Args:
        where: File and config, which begin messages.
        stem: Of the config's file.
        entry: What ``ablations.yml`` says of it.

    Raises:
        ValueError: An unknown field, a row that does not say what it must, or one whose ``with``
            names no row above it.
    """
    _check_fields(where, entry, _CONFIG_FIELDS)
    paper, score, status = (str(entry.get(key, '')) for key in ('paper', 'score', 'status'))
    rows = {
        '': Row('', stem, paper=paper, score=score, status=status,
                subsets=_subsets(where,
                                 entry.get('subsets') or {}))
    }
    for name, fields in (entry.get('rows') or {}).items():
        name, here = str(name), f'{where}: row {name}'
        _check_fields(here, fields, _FIELDS)
        texts = dict(paper=paper, score=score, status=status)  # a row may say something else
        texts.update({key: str(fields[key]) for key in _TEXTS if key in fields})
        lacking = [key for key in ('what', 'paper', 'score', 'status') if not texts.get(key)]
        if lacking:
            raise ValueError(f'{here} does not say: {", ".join(lacking)}')
        rows[name] = Row(name, stem, base_rows=tuple(map(str, _as_list(fields.get('with')))),
                         parts=fields.get('parts') or {}, drop=tuple(_as_list(fields.get('drop'))),
                         overrides=fields.get('overrides') or {},
                         subsets=_subsets(here,
                                          fields.get('subsets') or {}), **texts)
        for base in rows[name].base_rows:
            if base not in rows or not base:  # '' is the config itself
                raise ValueError(f'{here}: with names {base!r}, which is no row above '
                                 f'it.{closest(base, rows)}')
    return rows


def _as_list(value: Any) -> list:
    """A setting that may be absent, one value or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_fields(where: str, fields: Any, known: set) -> None:
    """Refuse (ValueError) what is no dict, or has a key that is not known; ``where`` begins the
    message.
    """
    if not isinstance(fields, dict):
        raise ValueError(f'{where}: expected fields and values, got {fields!r}')
    for key in fields:
        if key not in known:
            raise ValueError(f'{where}: there is no field '
                             f'{key!r}.{closest(str(key), sorted(known))} Fields: '
                             f'{", ".join(sorted(known))}')


def _subsets(where: str, entries: dict) -> dict[str, Subset]:
    """Subsets by name, from the field ``subsets`` of a config or row; a value that is no dict of
    fields is the score. ``where`` begins messages.
    """
    found = {}
    for name, value in entries.items():
        value = value if isinstance(value, dict) else dict(score=value)
        _check_fields(f'{where}: subset {name}', value, _SUBSET_FIELDS)
        texts = {key: str(value[key]) for key in ('score', 'note') if value.get(key) is not None}
        found[str(name)] = Subset(str(name), overrides=value.get('overrides') or {}, **texts)
    return found


def rows_of(config: Union[str, Path]) -> dict[str, Row]:
    """The rows of a config by name, from the ``ablations.yml`` beside it; ``''`` is the config
    itself.

    A config without that file, or that it does not name, has the row ``''`` only.
    """
    path = Path(config)
    table = path.parent / ROWS_FILE
    rows = read_rows(table).get(path.stem) if table.is_file() else None
    return rows or {'': Row('', path.stem)}


def find_row(config: Union[str, Path], name: Optional[str]) -> Row:
    """One row of a config; None and '' are the config itself.

    Raises:
        ValueError: The config has no such row; the message names the file and the closest one.
    """
    rows = rows_of(config)
    if (name or '') in rows:
        return rows[name or '']
    known = [row for row in rows if row]
    if not known:
        where = Path(config).parent / ROWS_FILE
        why = f'has no rows of {Path(config).stem}' if where.is_file(
        ) else 'is not there, so the config has no rows'
        raise ValueError(f'--row {name}: {where} {why}; leave --row out (`mim run mmseg_dg rows` '
                         'lists all rows)')
    raise ValueError(f'--row {name}: {Path(config).parent / ROWS_FILE} has no such row of '
                     f'{Path(config).stem}.{closest(str(name), known)} All: {", ".join(known)}')


def run_name(config: Union[str, Path], row: Optional[str] = None,
             subset: Optional[str] = None) -> str:
    """``<config>_<row>_<subset>``, without parts that are None: the default work dir is called so.

    Args:
        config: File or name; its stem is used.
        row: Name of a row.
        subset: Name of a labeled subset.
    """
    return '_'.join([Path(config).stem, *(part for part in (row, subset) if part)])


def name_of(cfg: 'Config') -> str:
    """As :func:`run_name`, of a config that was read; ``run`` where it has no file.

    Row and subset are read from the key :data:`ORIGIN`, which applying them leaves in the config.
    """
    origin = cfg.get(ORIGIN) or {}
    return run_name(cfg.filename or 'run', origin.get('row'), origin.get('subset'))
