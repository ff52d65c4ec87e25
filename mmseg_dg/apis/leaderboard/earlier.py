"""Rows that another machine has left, and which of them are of a suite's runs."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .rows import read_row

#: Name of an arm and a seed.
Key = tuple[str, int]
#: Fields of a row that say what was trained and judged, as a suite asks for them.
Asked = Mapping[str, Any]


class Earlier(NamedTuple):
    """What a folder of rows has for a suite.

    Attributes:
        fitting: The rows that can be taken over, and their files.
        left_out: A line for each other file, with the reason.
    """
    fitting: dict[Key, tuple[Path, dict]]
    left_out: list[str]


def changes(row: Mapping[str, Any], asked: Asked) -> str:
    """What differs between the run a row is of and the one that is asked for; '' if nothing."""
    # rows of before the number of processes was counted are of one
    said = {'processes': 1, **row}
    return '; '.join(f'{key} was {said.get(key)}, is {value}' for key, value in asked.items()
                     if said.get(key) != value)


def read_earlier(folder: Path, asked: Mapping[Key, Asked]) -> Earlier:
    """Look through a folder of rows.

    Args:
        folder: With files ``<arm>_seed<N>.json``.
        asked: The suite's runs.
    """
    found = Earlier({}, [])
    for path in sorted(folder.glob('*.json')):
        row, wrong = read_row(path)
        key: Any = row.get('arm'), row.get('seed')
        if not row:
            reason = 'damaged'
        elif wrong:
            reason = wrong
        elif key not in asked:
            reason = f'arm {key[0]}, seed {key[1]} is no run of the suite'
        else:
            reason = changes(row, asked[key])
        if reason:
            found.left_out.append(f'not taken over: {path} ({reason})')
        else:
            found.fitting[key] = path, row
    return found
