"""Checks that tensor code says its shapes: a comment at each reshape, a legend of the letters in each module.

    python tools/dev/check_shapes.py [FOLDER]

* A statement that calls ``reshape``, ``view``, ``flatten``, ``permute``, ``transpose``, ``einsum`` or the like has a
  comment with a shape, ``(B, C, H, W)``, in its lines or directly above.
* A public function that takes or returns a ``Tensor`` names a shape in its docstring, or says that it may be any.
* Every letter of such a shape is explained in the module's docstring: a paragraph ``Shapes: B images, C channels``.

Exit status 1 where one is missing; ``make lint`` runs it. Nothing is imported.
"""
import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'mmseg_dg'
#: Methods and functions after which a reader no longer sees the shape.
RESHAPES = {'einsum', 'flatten', 'fold', 'movedim', 'permute', 'repeat_interleave', 'reshape', 'reshape_as',
            'swapaxes', 'transpose', 'unflatten', 'unfold', 'view', 'view_as'}
#: ``(B, C, H, W)``, ``(2 B, D)``, ``(N,)``, ``(B * rows, C / heads)``.
SHAPE = re.compile(r"(?<!\w)\(([\w .*/+'-]+(?:,[\w .*/+'-]+)*),?\)")
LEGEND = re.compile(r'^Shapes: (.*?)(?:\n\s*\n|\Z)', flags=re.M | re.S)
#: Where the size does not matter.
ANY_SHAPE = re.compile(r'any\s+shape|same\s+shape|\b0-d\b', flags=re.I)


def shapes_of(text: str) -> list[list[str]]:
    """Dimensions of every shape that a text names; a sentence in parentheses is none."""
    found = []
    for match in SHAPE.finditer(' '.join(text.split())):
        parts = [part.strip() for part in match.group(1).split(',')]
        letters = [part for part in parts if re.fullmatch(r"[\d *]*[A-Z]'?(?: [*/+-] .*|[\d ]*)?|\.\.\.", part)]
        if letters and all(len(part) < 24 for part in parts) and (len(parts) > 1 or ',)' in match.group()):
            found.append(parts)
    return found


def letters_of(text: str) -> set[str]:
    """Single capital letters among the dimensions of the shapes of a text."""
    return {letter for parts in shapes_of(text) for part in parts for letter in re.findall(r'\b[A-Z]\b', part)}


def has_shape(text: str) -> bool:
    """Whether a comment names a shape, in letters, numbers or words."""
    return bool(shapes_of(text)) or bool(re.search(r'\((?:[^(),]+,)+[^(),]*\)', text))


def comments_of(source: str) -> dict[int, str]:
    """Line -> comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def simple_statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """All statements without a body of their own, in which a line belongs to one statement only."""
    compound = (ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.With, ast.Try)
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt) and not isinstance(node, compound))


def reshapes(statement: ast.stmt) -> list[str]:
    """Names of the methods called in a statement that reshape.

    ``torch.einsum`` counts as a method; a plain function that is named ``flatten`` does not.
    """
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return [func.attr for func in calls if isinstance(func, ast.Attribute) and func.attr in RESHAPES]


def bare_reshapes(source: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of every reshape without a shape in a comment."""
    comments = comments_of(source)
    for statement in simple_statements(tree):
        names = reshapes(statement)
        if not names:
            continue
        # comments that fill the lines directly above, the nearest first
        above, line = [], statement.lineno - 1
        while line in comments and source.splitlines()[line - 1].lstrip().startswith('#'):
            above.append(comments[line])
            line -= 1
        inside = [comments[k] for k in range(statement.lineno, statement.end_lineno + 1) if k in comments]
        # a comment of several lines may break within the shape
        if not has_shape(' '.join(text.lstrip('# ') for text in [*reversed(above), *inside])):
            yield statement.lineno, f'{names[0]} without a comment that names the shape'


def tensors_without_shape(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of public functions with a ``Tensor`` among arguments and results whose docstring has no shape.

    Losses by name and state dicts are no maps: a dict of tensors does not count. Functions inside functions are not
    public, and a docstring ``See :func:`...``` leaves the shapes to the other one.
    """
    owners = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    for owner, node in [(outer, inner) for outer in owners for inner in outer.body]:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith('_'):
            continue
        hints = [arg.annotation for arg in [*node.args.args, *node.args.kwonlyargs]] + [node.returns]
        texts = [re.sub(r'(dict|Mapping)\[str, .*?Tensor\]', '', ast.unparse(hint)) for hint in hints if hint]
        if not any(re.search(r'\bTensor\b', text) for text in texts):
            continue
        text = ast.get_docstring(node) or ''
        if not text and node.name in ('forward', 'backward'):  # a layer says it once, in its class
            text = ast.get_docstring(owner) or ''
        if not has_shape(text) and not ANY_SHAPE.search(text) and not text.startswith('See :'):
            yield node.lineno, f'{node.name}: the docstring names no shape'


def unexplained_letters(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(1, what) where a letter of a shape stands in no legend."""
    texts = list(comments_of(source).values())
    texts += [ast.get_docstring(node) or '' for node in ast.walk(tree)
              if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    used = set().union(*map(letters_of, texts)) if texts else set()
    legend = LEGEND.search(ast.get_docstring(tree) or '')
    explained = set(re.findall(r"\b([A-Z])\b", legend.group(1))) if legend else set()
    if used - explained:
        yield 1, f'the docstring of the module has no "Shapes:" for {", ".join(sorted(used - explained))}'


def problems(folder: Path) -> Iterator[str]:
    """One line per fault below ``folder / 'mmseg_dg'``."""
    for path in sorted((folder / PACKAGE).rglob('*.py')):
        if '.mim' in path.parts:
            continue
        source = path.read_text(encoding='utf-8')
        tree = ast.parse(source, str(path))
        found = [*unexplained_letters(source, tree), *tensors_without_shape(tree), *bare_reshapes(source, tree)]
        yield from (f'{path.relative_to(folder)}:{line}: {what}' for line, what in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', nargs='?', type=Path, default=ROOT, help='repository to check (default: this one)')
    found = list(problems(parser.parse_args().folder))
    print('\n'.join(found) or 'shapes are said')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
