"""tools/dev/check_shapes.py: what it finds, what it lets pass, and that the package passes."""
import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'dev' / 'check_shapes.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('check_shapes', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_package_says_its_shapes():
    done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_shapes_are_told_from_other_parentheses(tool):
    assert tool.shapes_of('maps (B, C, H, W) and (2 B, D), (N,)') == [['B', 'C', 'H', 'W'], ['2 B', 'D'], ['N']]
    assert tool.shapes_of('Images\n(B, 3,\nH, W)') == [['B', '3', 'H', 'W']], 'a line may break within a shape'
    for text in ('(Hoyer et al., ECCV 2022)', 'eps ~ N(0, I)', 'f(B, C)', '(height, width)', '(A)'):
        assert tool.shapes_of(text) == [], text
    assert tool.letters_of('(B, C / heads) -> (B * rows, C)') == {'B', 'C'}
    assert tool.has_shape('# (rows, columns)') and not tool.has_shape('# a comment (with words)')


@pytest.mark.parametrize('code, found', [
    ('y = x.flatten(2)', ['flatten']),
    ('y = x.flatten(2)  # (B, C, N)', []),
    ('# (B, N, C) -> (B, C, N)\ny = x.transpose(\n    1, 2)', []),
    ('# rows first\ny = x.permute(1, 0)', ['permute']),
    ('a = 1  # (B, C)\n\ny = x.view(-1)', ['view']),
    ('y = flatten(x)', []),  # a function of one's own
    ('if x:\n    y = x.reshape(-1)  # (N,)\n    z = x.reshape(1, -1)', ['reshape']),
])
def test_reshapes(tool, code, found):
    assert [what.split()[0] for _, what in tool.bare_reshapes(code, ast.parse(code))] == found


@pytest.mark.parametrize('code, found', [
    ('def f(x: Tensor): "Twice."', ['f']),
    ('def f(x: Tensor): "Twice (B, C)."', []),
    ('def f(x) -> "Tensor": "Of any\\n  shape."', []),
    ('def f(x: dict[str, Tensor]) -> Mapping[str, Tensor]: "A state."', []),
    ('def _f(x: Tensor): "Private."', []),
    ('def f(x: Tensor): "See :func:`g`."', []),
    ('def f(a):\n  def g(x: Tensor): "Inside."', []),
    ('class A:\n  "(B, C) -> (B, C)."\n  def forward(self, x: Tensor): return x', []),
    ('class A:\n  "(B, C) -> (B, C)."\n  def other(self, x: Tensor): return x', ['other']),
])
def test_public_functions(tool, code, found):
    assert [what.split(':')[0] for _, what in tool.tensors_without_shape(ast.parse(code))] == found


def test_every_letter_has_its_meaning(tool):
    code = '"""A module.\n\nShapes: B images, H x W pixels.\n"""\nx = 1  # (B, {}, H, W)\n'
    assert list(tool.unexplained_letters(code.format('3'), ast.parse(code))) == []
    (line, what), = tool.unexplained_letters(code.format('D'), ast.parse(code))
    assert line == 1 and what.endswith('"Shapes:" for D')
