"""Reading a suite from its YAML file."""
import argparse
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import DictAction

from mmseg_dg.apis.row_configs import load_config
from mmseg_dg.apis.study import variant_of

from .fairness import check_suite
from .suite import Arm, Suite, arm_name

_SUITE_KEYS = {
    'title', 'about', 'score', 'lower', 'upper', 'seeds', 'options', 'encoders', 'arms',
    'seconds_per_image', 'least_spread', 'ranked'
}
_ARM_KEYS = {
    'config', 'row', 'method', 'control', 'options', 'images_before', 'why_images_before',
    'cpu_seconds', 'encoders', 'subset'
}
_ENCODER_KEYS = {'options'}


class _UniqueKeys(yaml.SafeLoader):
    """YAML whose mappings say each key once: of two arms of one name, the first would vanish.
    """
    def compose_mapping_node(self, anchor: Any) -> Any:
        """As the base class, of which the last of equal keys would be taken; ValueError where there
        are such. Merges (``<<``) are not resolved yet: a key may take the place of a merged one.
        """
        node = super().compose_mapping_node(anchor)
        seen: set = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == '<<':
                continue  # no name, which the base class refuses; or a merge, which adds keys
            key = key_node.value
            if key in seen:
                raise ValueError(f'line {key_node.start_mark.line + 1}: the key {key!r} is there '
                                 'twice; rename or remove one')
            seen.add(key)
        return node


def read_suite(path: Path) -> Suite:
    """Read and check a suite; nothing is trained and no image is read.

    Raises:
        FileNotFoundError: No such file, or an arm's config that is not there.
        ValueError: Unknown, missing or repeated keys, values of another kind, an unknown control,
            budgets that differ, too few evaluations, or a score that no evaluation gives.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no suite {path}')
    try:
        data = yaml.load(path.read_text(encoding='utf-8'), _UniqueKeys)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f'{path}: {error}') from error
    if not isinstance(data, dict):
        raise ValueError(f'{path}: a suite is a YAML mapping with {sorted(_SUITE_KEYS)}')
    _check_file(data, path)
    encoders = _encoders(data)
    several = len(encoders) > 1
    arms = [
        _arm(path, key, entry, encoder, setting or {}, data, several)
        for key, entry in data['arms'].items() for encoder, setting in encoders.items()
        if encoder in (entry.get('encoders') or encoders)  # an arm may have some of them only
    ]
    upper = data.get('upper')
    suite = Suite(name=path.stem, title=str(data['title']), about=str(data.get('about', '')),
                  score=str(data['score']), lower=str(data['lower']),
                  upper=None if upper is None else str(upper), seeds=data.get('seeds', [0]),
                  arms=arms, seconds_per_image=float(data.get('seconds_per_image', 0.1)),
                  least_spread=float(data.get('least_spread', 5.)), ranked=data.get('ranked', True))
    check_suite(suite, str(path), list(data['arms']), list(encoders))
    return suite


def _encoders(data: Mapping) -> dict[str, Any]:
    """What a suite's file says of each encoder; without any, one without a name: that of each
    config.
    """
    return data.get('encoders') or {'': {}}


def _check_file(data: Mapping, path: Path) -> None:
    """Refuse (ValueError) what a suite's file says in another form than it is read in."""
    ranked = data.get('ranked', True)
    if not isinstance(ranked, bool):
        raise ValueError(f'{path}: ranked={ranked!r}: use true or false')
    needed = {'title', 'score', 'lower', 'arms', *(['upper'] if ranked else [])}
    _check_keys(data, _SUITE_KEYS, needed, str(path))
    if float(data.get('least_spread', 5.)) <= 0:
        raise ValueError(f'{path}: least_spread={data["least_spread"]} must be above 0: nothing is '
                         'ranked between controls that are alike. Without a ranking: ranked: false')
    seeds = data.get('seeds', [0])
    if not isinstance(seeds, list) or any(type(seed) is not int for seed in seeds):
        raise ValueError(f'{path}: seeds={seeds!r} must be a list of integers, such as [0, 1, 2]')
    for key in ('arms', 'encoders'):
        if key in data and not (isinstance(data[key], dict) and data[key]):
            raise ValueError(f'{path}: {key} must be a mapping with a name for each of them, got '
                             f'{data[key]!r}')
    encoders = _encoders(data)
    for name, setting in encoders.items():
        if not isinstance(setting or {}, dict):
            raise ValueError(f'{path}: encoder {name!r} is {setting!r}; it takes options: '
                             '[KEY=VALUE, ...]')
        _check_keys(setting or {}, _ENCODER_KEYS, set(), f'{path}: encoder {name!r}')
    for name, arm in data['arms'].items():
        where = f'{path}: arm {name!r}'
        if not isinstance(arm, dict):
            raise ValueError(f'{where} is {arm!r}; it needs config: FILE')
        _check_keys(arm, _ARM_KEYS, {'config'}, where)
        own = arm.get('encoders') or []
        unknown = [each for each in own if each not in encoders] if isinstance(own, list) else own
        if unknown:
            raise ValueError(f'{where}: encoders {unknown} are none of the suite\'s '
                             f'{[each for each in encoders if each]}')
        before = arm.get('images_before', 0)
        if type(before) is not int or before < 0:
            raise ValueError(f'{where}: images_before={before!r} must be a number of images, 0 or '
                             'more')
        if before and not arm.get('why_images_before'):
            raise ValueError(
                f'{where}: images_before needs why_images_before, a sentence for the reader')


def _arm(path: Path, key: str, arm: Mapping, encoder: str, setting: Mapping, data: Mapping,
         several: bool) -> Arm:
    """One arm of the suite with one encoder, its config resolved.

    Args:
        path: The suite's file; configs count from its folder.
        key: Name of the arm in the file.
        arm: What the file says of it.
        encoder: Name of the encoder, '' where the suite has none.
        setting: What the file says of the encoder.
        data: The whole file.
        several: Whether there are several encoders, which then are part of the arm's name.

    Raises:
        ValueError, FileNotFoundError: As :func:`read_suite`.
    """
    where = f'{path}: arm {key!r}'
    config = (path.parent / arm['config']).resolve()
    if not config.is_file():
        raise FileNotFoundError(f'{where}: there is no config {config}{_similar(config)}')
    # later ones win: of the suite, of the encoder, of the arm
    parts = [part.get('options') or [] for part in (data, setting, arm)]
    for part in parts:
        parse_options(part, where)
    options = [option for part in parts for option in part]
    row, subset = arm.get('row'), arm.get('subset')
    # ``{seed}`` in the subset stands for the first seed here
    first = variant_of(row, subset, (data.get('seeds') or [0])[0])
    cfg = load_config(config, row, first.get('subset'))
    cfg.merge_from_dict(parse_options(options, where))
    control = arm.get('control')
    control_arm = None if control is None else arm_name(control, encoder, several)
    name, method = arm_name(key, encoder, several), arm.get('method', key)
    return Arm(name=name, config=config, method=method, encoder=encoder, control=control_arm,
               options=options, images_before=int(arm.get('images_before', 0)),
               cpu_seconds=arm.get('cpu_seconds'), row=row, subset=subset, cfg=cfg)


def parse_options(options: list, where: str) -> dict:
    """``['a.b=1']`` -> ``{'a.b': 1}`` as ``--cfg-options`` reads them.

    Raises:
        ValueError: No ``=`` in one.
    """
    if not isinstance(options, list):
        raise ValueError(f'{where}: options are a list of KEY=VALUE, got {options!r}')
    for option in options:
        if '=' not in str(option):
            raise ValueError(f'{where}: options are KEY=VALUE, got {option!r}')
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='*', action=DictAction)
    return parser.parse_args(['--options', *map(str, options)]).options or {}


def _similar(config: Path) -> str:
    """``; did you mean PATH?``, to end a message about a config that is not there, with the file of
    the most similar name in the same tree of ``configs``; '' if none is similar.
    """
    root = next((parent for parent in config.parents if parent.name == 'configs'), config.parent)
    names = {file.name: file for file in root.rglob('*.py')} if root.is_dir() else {}
    close = difflib.get_close_matches(config.name, names, 1)
    return f'; did you mean {names[close[0]]}?' if close else ''


def _check_keys(mapping: Mapping, known: set, needed: set, where: str) -> None:
    """Refuse (ValueError) keys that are not known, and needed ones that are missing."""
    unknown, missing = sorted(set(mapping) - known), sorted(needed - set(mapping))
    if unknown or missing:
        raise ValueError(f'{where}: ' + '; '.join(
            filter(None, [
                f'unknown keys {unknown}, known are {sorted(known)}' if unknown else '',
                f'{missing} missing' if missing else ''
            ])))
