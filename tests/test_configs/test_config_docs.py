"""tools/dev/config_docs.py: tables are those of docstrings and rows, and a stale or incomplete page is named."""
import ast
import shutil
import subprocess
import sys

import pytest

from .catalog import CONFIGS, ROOT

TOOL = ROOT / 'tools' / 'dev' / 'config_docs.py'


@pytest.fixture
def copy(tmp_path):
    """A repository of the demo's configs alone, with rows."""
    for name in ('tools/dev/config_docs.py', 'mmseg_dg/apis/config_rows.py'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(CONFIGS / 'demo', tmp_path / 'configs' / 'demo')
    shutil.copytree(CONFIGS / '_base_', tmp_path / 'configs' / '_base_')
    (tmp_path / 'model-index.yml').write_text('Import:\n- configs/demo/metafile.yml\n')
    shutil.copytree(ROOT / 'docs' / 'weights', tmp_path / 'docs' / 'weights',
                    ignore=shutil.ignore_patterns('*.safetensors'))
    return tmp_path


def run(root, *words):
    command = [sys.executable, str(root / 'tools' / 'dev' / 'config_docs.py'), *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_pages_of_the_package_are_up_to_date():
    done = run(ROOT, '--check')
    assert done.returncode == 0, done.stdout + done.stderr


def test_titles_are_one_line():
    """The tables have the first line of a docstring: a sentence that goes on would be cut there."""
    files = [file for file in CONFIGS.glob('*/*.py') if file.parent.name != '_base_']
    titles = {file.stem: ast.get_docstring(ast.parse(file.read_text(encoding='utf-8'))) for file in files}
    assert len(titles) > 50 and [stem for stem, text in titles.items() if not text.split('\n')[0].endswith('.')] == []


def test_stale_pages_are_named_and_written(copy):
    assert run(copy, '--check').returncode == 0
    config = copy / 'configs' / 'demo' / 'daformer_synthcity_demo.py'
    text = config.read_text(encoding='utf-8')
    config.write_text(text.replace('"""', '"""A title of its own.\n\n', 1), encoding='utf-8')
    done = run(copy, '--check')
    assert done.returncode == 1 and 'configs/demo/README.md: stale' in done.stdout
    assert run(copy).returncode == 0 and run(copy, '--check').returncode == 0
    assert '(daformer_synthcity_demo.py) | A title of its own |' in (copy / 'configs/demo/README.md').read_text()


def test_what_is_in_no_table_is_named(copy):
    (copy / 'configs' / 'demo' / 'ablations.yml').write_text(
        'daformer_synthcity_demo:\n  rows:\n'
        '    more: {what: more, paper: none, score: 70.1 mIoU on X val, status: not run}\n')
    page = copy / 'configs' / 'demo' / 'README.md'
    done = run(copy, '--check')
    assert done.returncode == 1 and 'no table has daformer_synthcity_demo --row more' in done.stderr
    page.write_text(page.read_text().replace('<!-- table: ', '<!-- table: daformer_* --row *; ', 1))
    assert run(copy).returncode == 0
    assert '(daformer_synthcity_demo.py) `--row more` | more | 70.1 |' in page.read_text()
    (copy / 'model-index.yml').write_text('Import:\n')
    assert 'model-index.yml does not import configs/demo/metafile.yml' in run(copy).stderr
