"""Paper configs carry the paper's run counts (``tools/study.py`` reads them)."""
import ast
import re
from pathlib import Path

import pytest

from .catalog import load

ROOT = Path(__file__).resolve().parents[2]
LEAVES = sorted(p for folder in ('daformer', 'hrda') for p in (ROOT / 'configs' / folder).glob('*.py'))


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_seeds_are_those_of_the_docstring(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    named = [int(x) for x in re.findall(r'\d+', re.search(r'seeds? ([\d,\s]+)\.', text).group(1))]
    assert load(path.stem).study.seeds == named
