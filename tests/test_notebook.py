"""examples/quickstart.ipynb: its cells run one after the other, and it is kept without outputs.

They are run in this process: a kernel would bring some 60 MB of packages that nothing else here needs.
"""
import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / 'examples').glob('*.ipynb'))


def cells(path, kind='code'):
    return [''.join(cell['source']) for cell in json.loads(path.read_text(encoding='utf-8'))['cells']
            if cell['cell_type'] == kind]


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_small_and_have_no_outputs(path):
    content = json.loads(path.read_text(encoding='utf-8'))
    assert (content['nbformat'], content['nbformat_minor']) >= (4, 5) and path.stat().st_size < 20_000
    assert len({cell['id'] for cell in content['cells']}) == len(content['cells'])
    for cell in content['cells']:
        assert not cell.get('outputs') and cell.get('execution_count') is None
        for line in ''.join(cell['source']).splitlines():
            assert cell['cell_type'] != 'code' or not re.match(r'\s*[!%]', line), 'plain Python runs everywhere'
    for text in cells(path, 'markdown'):
        for target in re.findall(r'\]\(([^)#]+)\)', text):
            assert (path.parent / target).exists(), target


@pytest.mark.ci
def test_quickstart_runs(tmp_path, monkeypatch):
    """With two iterations and four pictures of each kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MPLBACKEND', 'agg')
    names = {}
    for text in cells(ROOT / 'examples/quickstart.ipynb'):
        text = re.sub(r'num_images=\d+', 'num_images=4', text).replace('ITERATIONS = 20', 'ITERATIONS = 2')
        exec(compile(text, 'quickstart.ipynb', 'exec'), names)  # noqa: S102
    assert names['before'].shape == names['after'].shape == (128, 256) and names['after'].dtype == np.int64
    assert len(list((tmp_path / 'after/overlays').iterdir())) == 4
    assert {path.name for path in tmp_path.iterdir()} == {'city', 'before', 'after', 'runs'}
    assert 'custom/custom_uda_small.py' in (tmp_path / 'runs/camera/config.py').read_text()
