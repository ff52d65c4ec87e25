"""Checks that imports run one way between the rooms of mmseg_dg, and that no modules import each other in a circle.

    python tools/dev/check_imports.py [FOLDER]

Imports inside functions count as well: most of them hide a circle. Only ``if TYPE_CHECKING`` is
left out. Exit status 1 where one is found; ``make lint`` runs it. Nothing is imported.
"""
import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'mmseg_dg'
_BESIDE = ('datasets', 'evaluation', 'visualization', 'weights')
#: What the files of a room may import besides their own room: ops <- models <- methods <- engine <- apis.
#: ``mmseg_dg`` is the package's own ``__init__``.
ALLOWED: dict[str, tuple[str, ...]] = {
    'version': (),
    'utils': (),  # leaves: nothing of the package
    'registry': (),
    'ops': (),
    'compat': ('utils', ),  # what it puts in the place of the libraries' readers and writers
    'weights': ('registry', 'utils'),
    'models': ('ops', 'registry', 'utils', 'weights'),
    'methods': ('models', 'ops', 'registry', 'utils', 'weights'),
    'datasets': ('ops', 'registry', 'utils'),
    'evaluation': ('ops', 'registry', 'utils'),
    'visualization': ('evaluation', 'ops', 'registry', 'utils'),
    'engine': ('methods', 'models', 'ops', 'registry', 'utils', *_BESIDE),
    'apis': ('compat', 'engine', 'methods', 'models', 'ops', 'registry', 'utils', 'version', *_BESIDE),
    'mmpretrain': ('compat', ),
    'cli': ('version', ),  # it runs the files of tools/
    PACKAGE: ('apis', 'cli', 'compat', 'version', 'weights'),
}


class Import(NamedTuple):
    """One import statement of a module of the package.

    Attributes:
        module: Dotted name of the module that imports.
        line: Of the statement.
        target: Module of the package that is imported, or the first name of anything else.
    """
    module: str
    line: int
    target: str


def modules_of(folder: Path) -> dict[str, Path]:
    """Dotted name -> file of every module below ``folder / 'mmseg_dg'``; links of an editable install are left out."""
    found = {}
    for path in sorted((folder / PACKAGE).rglob('*.py')):
        parts = path.relative_to(folder).with_suffix('').parts
        if '.mim' not in parts:
            found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imports_of(module: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Import statements of a file, also those in functions."""
    # what relative imports start from
    package = module.split('.') if path.name == '__init__.py' else module.split('.')[:-1]
    for node in _statements(ast.parse(path.read_text(encoding='utf-8'), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(module, node.lineno, _module(alias.name, known)) for alias in node.names)
            continue
        # level: the number of dots; one is the package itself
        base = package[:len(package) - node.level + 1] if node.level else []
        base = '.'.join([*base, *([node.module] if node.module else [])])
        for alias in node.names:  # "from package import module" imports the module
            name = f'{base}.{alias.name}'
            yield Import(module, node.lineno, name if name in known else _module(base, known))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Import statements below a node at any depth, without those of ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif isinstance(child, ast.If) and 'TYPE_CHECKING' in ast.unparse(child.test):
            yield from (found for part in child.orelse for found in _statements(part))
        else:
            yield from _statements(child)


def _module(name: str, known: dict[str, Path]) -> str:
    """The module a dotted name is in: itself, or (a name of the package that is no module) its parent."""
    return name if name in known or not name.startswith(f'{PACKAGE}.') else name.rpartition('.')[0]


def room_of(module: str) -> str:
    """``engine`` for ``mmseg_dg.engine.hooks``; the package itself is its own room."""
    parts = module.split('.')
    return parts[1] if len(parts) > 1 and parts[0] == PACKAGE else parts[0]


def backward(statement: Import) -> str:
    """Why an import is not allowed; empty where it is."""
    room, target = room_of(statement.module), room_of(statement.target)
    if statement.target.split('.')[0] in ('tools', 'tests'):
        return f'{statement.target}: nothing of the package imports tools or tests'
    if statement.target.split('.')[0] != PACKAGE or target == room:
        return ''
    if room not in ALLOWED:
        return f'{room} is no room of ALLOWED (tools/dev/check_imports.py): say there what it may import'
    if target in ALLOWED[room]:
        return ''
    return f'{room} imports {statement.target}; it may import {", ".join(ALLOWED[room]) or "nothing of the package"}'


def circles(statements: list[Import]) -> list[list[str]]:
    """Modules that import each other in a circle, one circle per group of such modules.

    Returns:
        Circles, each with its first module again at the end.
    """
    graph: dict[str, set[str]] = {}
    for one in statements:
        if one.target.split('.')[0] == PACKAGE and one.target != one.module:
            graph.setdefault(one.module, set()).add(one.target)
    found: list[list[str]] = []
    done: set[str] = set()  # everything they import was visited

    def visit(module: str, path: list[str]) -> None:
        """Follow the imports of a module depth first; ``path`` leads to it."""
        if module in path:
            circle = path[path.index(module):]
            if not any(set(circle) & set(other) for other in found):
                found.append([*circle, module])
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def check(folder: Path = ROOT) -> list[str]:
    """One line per import that runs backward and per circle."""
    known = modules_of(folder)
    statements = [one for module, path in known.items() for one in imports_of(module, path, known)]
    lines = [f'{known[one.module].relative_to(folder)}:{one.line}: {reason}' for one in statements
             if (reason := backward(one))]
    return lines + [f'circle: {" -> ".join(circle)}' for circle in circles(statements)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', nargs='?', type=Path, default=ROOT, help='repository (default: this one)')
    lines = check(parser.parse_args().folder)
    print('\n'.join(lines) if lines else 'imports run one way')
    return 1 if lines else 0


if __name__ == '__main__':
    raise SystemExit(main())
