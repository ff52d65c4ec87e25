"""Settings as lines of Python that can be pasted at the end of a user's config file."""
import ast
from collections.abc import Mapping
from typing import Any, Optional


class Code(str):
    """A value that is an expression of Python rather than a text."""


def lines_to_paste(fix: Mapping[str, Any], filename: Optional[str] = None) -> str:
    """The text that ends a report; empty without a fix.

    Args:
        fix: Dotted key of the config -> value.
        filename: Config file they are for. A dict that the file makes itself is changed in place: a
            second assignment would replace the user's.
    """
    if not fix:
        return ''
    lines = python_lines(fix, assigned_names(filename))
    where = 'into the config (merge them with dicts of the same name)'
    if filename:
        where = f'at the end of {filename}'
    return f'\nLines to paste {where}:\n' + '\n'.join(f'    {line}' for line in lines)


def python_lines(fix: Mapping[str, Any], assigned: frozenset[str] = frozenset()) -> list[str]:
    """Statements that set ``fix`` (dotted key -> value) at the end of a config: one per top-level
    name, or one per setting where the file assigns the name itself (``assigned``).
    """
    fresh: dict[str, Any] = {}
    lines = []
    for key, value in fix.items():
        top, *rest = key.split('.')
        # three cases: a whole top-level name; a setting inside a dict that the file itself makes,
        # changed in place; a setting of a dict that is inherited, gathered into a new one, which
        # mmengine merges into the base's
        if not rest:
            lines.append(f'{top} = {as_python(value)}')
        elif top in assigned:
            inner = ''.join(f'.setdefault({name!r}, {{}})' for name in rest[:-1])
            lines.append(f'{top}{inner}[{rest[-1]!r}] = {as_python(value)}')
        else:
            node = fresh
            for name in (top, *rest[:-1]):
                node = node.setdefault(name, {})
            node[rest[-1]] = value
    return lines + [f'{top} = {as_python(value)}' for top, value in fresh.items()]


def as_python(value: Any) -> str:
    """``dict(a=1)`` as configs are written; other values as ``repr`` has them."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key.isidentifier() for key in value):
            return f'dict({", ".join(f"{key}={as_python(item)}" for key, item in value.items())})'
        return f'{{{", ".join(f"{key!r}: {as_python(item)}" for key, item in value.items())}}}'
    if isinstance(value, (list, tuple)):
        inner = ', '.join(map(as_python, value))
        return f'[{inner}]' if isinstance(value,
                                          list) else f'({inner}{"," if len(value) == 1 else ""})'
    return repr(value)


def assigned_names(filename: Optional[str]) -> frozenset[str]:
    """Top-level names that a config file itself assigns; none where it cannot be read."""
    return frozenset(_assignments(filename))


def keys_written(filename: Optional[str], name: str, *inner: str) -> frozenset[str]:
    """Keys that a config file writes into the dict ``name``, or into a dict inside it.

    Reads ``name = dict(a=...)`` and ``name = {'a': ...}``; what is computed otherwise is not seen.
    """
    keys = _keys(_assignments(filename).get(name))
    for key in inner:
        keys = _keys(keys.get(key))
    return frozenset(keys)


def _keys(node: Optional[ast.expr]) -> dict[str, ast.expr]:
    """Keyword arguments of a ``dict(...)`` call, or text keys of a dict display; empty for other
    expressions.
    """
    if isinstance(node, ast.Call):
        return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        return {
            key.value: value
            for key, value in zip(node.keys, node.values)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
    return {}


def _assignments(filename: Optional[str]) -> dict[str, ast.expr]:
    """Name -> value of the top-level assignments of a config file; none where it cannot be read."""
    try:
        with open(filename or '', encoding='utf-8') as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    return {
        target.id: node.value
        for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Name)
    }
