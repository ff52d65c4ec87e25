"""A config file that a program writes and a person reads: it inherits from a recipe and says why
it differs."""
import keyword
import os
import textwrap
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Optional

from mmseg_dg.utils.atomic_files import write_text

PACKAGE = Path(__file__).resolve().parents[1]
_WIDTH = 100  # columns of a comment


def recipe(name: str) -> str:
    """What ``_base_`` must be for a config of the package, e.g. ``custom/custom_uda.py``.

    Returns:
        ``mmseg_dg::NAME`` where the package is installed, which another machine understands too; in
        a clone that is not installed the file's path.

    Raises:
        FileNotFoundError: The package has no such config.
    """
    found = recipe_file(name)
    return f'mmseg_dg::{name}' if _is_installed() and '.mim' in found.parts else str(found)


def recipe_file(name: str) -> Path:
    """The file of a config of the package, in the installed package or in the repository;
    FileNotFoundError if there is none.
    """
    places = [root / 'configs' / name for root in (PACKAGE / '.mim', PACKAGE.parent)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f'the installation lacks configs/{name}: looked for {" and ".join(map(str, places))}')
    return found


def _is_installed() -> bool:
    """Whether the package is installed, or only on the path."""
    try:
        metadata.distribution('mmseg_dg')
    except metadata.PackageNotFoundError:
        return False
    return True


def write_config(path: Path, about: str, base: str, settings: Mapping[str, Any],
                 reasons: Optional[Mapping[str, str]] = None) -> None:
    """Write a config.

    Args:
        path: File, ending in ``.py``; its folder is made.
        about: Its docstring.
        base: ``_base_``.
        settings: Nested dicts of plain values: what differs from the recipe.
        reasons: Dotted key -> why, written as a comment over that line.

    Raises:
        ValueError: A reason for a key that is not set: it would be lost.
    """
    unused = set(reasons or {})  # keys of reasons that no line has taken yet
    body = [f'"""{about.strip()}\n"""', f'_base_ = {base!r}']
    for key, value in settings.items():
        body += _assignment(key, value, key, reasons or {}, unused, 0, '\n')
    if unused:
        raise ValueError(f'reasons for settings that are not set: {sorted(unused)}')
    os.makedirs(path.parent, exist_ok=True)
    write_text(path, '\n'.join(body) + '\n')


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``{'train_cfg.max_iters': 9}`` -> ``{'train_cfg': {'max_iters': 9}}``; later keys win."""
    result: dict[str, Any] = {}
    for dotted, value in settings.items():
        *parents, last = dotted.split('.')
        node = result
        for name in parents:
            child = node.get(name)
            if not isinstance(child, dict):
                child = node[name] = {}
            node = child
        node[last] = value
    return result


def _assignment(key: str, value: Any, dotted: str, reasons: Mapping[str, str], unused: set,
                depth: int, end: str) -> list[str]:
    """Lines of ``key = value`` (``key=value,`` inside a dict), the reason over them.

    Args:
        key: Name on the left.
        value: Plain value, or nested dicts.
        dotted: Its key from the top, as ``reasons`` has it.
        reasons: Dotted key -> comment.
        unused: Keys of reasons that no line has taken yet; those of these lines are taken out.
        depth: How deep it is nested: four spaces each.
        end: ``'\\n'`` at the top, ``','`` inside a dict.
    """
    pad, lines = '    ' * depth, []
    if dotted in reasons:
        unused.discard(dotted)
        lines += textwrap.wrap(reasons[dotted], _WIDTH - len(pad) - 2, initial_indent=f'{pad}# ',
                               subsequent_indent=f'{pad}# ')
    sign, comma = (' = ', '') if end == '\n' else ('=', ',')
    if _spreads(value):
        lines.append(f'{pad}{key}{sign}dict(')
        for name, inner in value.items():
            lines += _assignment(name, inner, f'{dotted}.{name}', reasons, unused, depth + 1, ',')
        lines.append(f'{pad}){comma}')
    elif _is_steps(value):
        lines.append(f'{pad}{key}{sign}[')
        lines += [f'{pad}    {_call(step)},' for step in value]
        lines.append(f'{pad}]{comma}')
    else:
        lines.append(f'{pad}{key}{sign}{_literal(value)}{comma}')
    return lines


def _spreads(value: Any) -> bool:
    """Whether a value is written as ``dict(key=...)``: a dict whose keys may all be the names of
    arguments, and not an empty one.
    """
    return isinstance(value, Mapping) and bool(value) and all(_is_name(key) for key in value)


def _is_steps(value: Any) -> bool:
    """Whether a value is a list of dicts, as a pipeline is, which gets a line for each of them."""
    return isinstance(value,
                      (list, tuple)) and bool(value) and all(_spreads(item) for item in value)


def _is_name(key: Any) -> bool:
    """Whether a key may be the name of an argument in Python source."""
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _call(step: Mapping) -> str:
    """``dict(key=value, ...)`` of a dict whose keys are names (:func:`_spreads`), in one line."""
    return f'dict({", ".join(f"{key}={_literal(value)}" for key, value in step.items())})'


def _literal(value: Any) -> str:
    """A value as Python source that a config file can hold."""
    if isinstance(value, Mapping):
        if _spreads(value):
            return _call(value)
        # keys that are no names of arguments, or none at all
        return f'{{{", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items())}}}'
    if isinstance(value, tuple):
        return f'({", ".join(map(_literal, value))}{"," if len(value) == 1 else ""})'
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f'[{", ".join(map(_literal, value))}]'
    return repr(str(value) if isinstance(value, Path) else value)
