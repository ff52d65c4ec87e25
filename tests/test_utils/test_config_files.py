"""Reading a config: modules beside it are found, and what is missing is said with the place that was looked in."""
import sys

import pytest
from mmengine.config import Config

from mmseg_dg.utils.config_files import MODULES_FOLDER, read_config_file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setattr(sys, 'modules', dict(sys.modules))
    (tmp_path / 'beside_a_config.py').write_text('VALUE = 3\n')
    (tmp_path / 'c.py').write_text("custom_imports = dict(imports=['mmseg_dg', 'beside_a_config'])\n")
    return tmp_path


def test_a_module_beside_the_config_is_imported_without_a_path(folder, tmp_path_factory):
    with pytest.raises(ImportError):
        Config.fromfile(folder / 'c.py')
    cfg = read_config_file(folder / 'c.py')
    assert sys.modules['beside_a_config'].VALUE == 3 and sys.path[-1] == str(folder)
    assert cfg[MODULES_FOLDER] == str(folder)
    # the copy in a work dir, read by another process
    copy = tmp_path_factory.mktemp('work_dir') / 'c.py'
    cfg.dump(copy)
    del sys.modules['beside_a_config']
    sys.path.remove(str(folder))
    assert read_config_file(copy)[MODULES_FOLDER] == str(folder) and sys.modules['beside_a_config'].VALUE == 3


def test_installed_modules_come_first(folder):
    (folder / 'json.py').write_text('raise RuntimeError("shadowed")\n')
    del sys.modules['json']
    (folder / 'c.py').write_text("custom_imports = dict(imports=['json'])\n")
    assert MODULES_FOLDER not in read_config_file(folder / 'c.py') and sys.modules['json'].loads('1') == 1


def test_what_is_missing_is_said(folder):
    (folder / 'c.py').write_text("custom_imports = dict(imports=['not_there.part'])\n")
    with pytest.raises(ImportError, match=f"names 'not_there', which is neither installed nor in {folder}"):
        read_config_file(folder / 'c.py')
    (folder / 'beside_a_config.py').write_text('import nowhere_at_all\n')
    (folder / 'c.py').write_text("custom_imports = dict(imports=['beside_a_config'])\n")
    with pytest.raises(ImportError, match='beside_a_config'):
        read_config_file(folder / 'c.py')
    (folder / 'c.py').write_text("custom_imports = dict(imports=['not_there'], allow_failed_imports=True)\n")
    with pytest.warns(UserWarning, match='not_there'):
        read_config_file(folder / 'c.py')


@pytest.mark.parametrize('text, message', [
    ('a = 1\nb = c + 1\n', "c.py, line 2: NameError: name 'c' is not defined"),
    ("_base_ = ['base.py']\n\ny = _base_.model.nothing\n", "c.py, line 3: AttributeError: .*'nothing'"),
    ('a = [1][3]\n', 'c.py, line 1: IndexError: '), ('\nassert False, "no"\n', 'c.py, line 2: AssertionError: no'),
    ('def f():\n    return 1 / 0\n\n\na = f()\n', 'c.py, line 2: ZeroDivisionError: '),
    ('a = dict(1, 2)\n', 'c.py, line 1: TypeError: '), ('a = 1\nb = )\n', 'c.py, line 2: unmatched'),
    ('with open("x") as f:\n    pass\n', 'c.py: ConfigParsingError: '),
    ("_base_ = ['broken.py']\n", "broken.py, line 2: NameError: name 'lr' is not defined"),
    ("_base_ = ['absent.py']\n", 'c.py: FileNotFoundError: .*absent.py'),
    ("_base_ = ['base.py']\nmodel = dict(a=dict(b=1))\n", 'c.py: TypeError: a=.* in child config'),
    ('a = "grün"\n', 'c.py: not a text in UTF-8 .*save it as UTF-8')])
def test_what_a_config_raises_is_one_error_with_its_place(folder, text, message):
    (folder / 'base.py').write_text('model = dict(a=1)\n')
    (folder / 'broken.py').write_text('\nrate = lr\n')
    (folder / 'c.py').write_text(text, encoding='latin-1')
    with pytest.raises(ValueError, match=message):
        read_config_file(folder / 'c.py')


def test_a_config_that_is_not_there_is_a_missing_file(folder):
    with pytest.raises(FileNotFoundError, match='none.py'):
        read_config_file(folder / 'none.py')


def test_a_config_without_imports_changes_nothing(folder):
    (folder / 'c.py').write_text('a = 1\n')
    before = list(sys.path)
    assert read_config_file(folder / 'c.py')._cfg_dict == dict(a=1) and sys.path == before


def test_no_tool_reads_a_config_past_it():
    """``Config.fromfile`` would not look beside the config; who calls it reads files without modules of their own."""
    from pathlib import Path
    root = Path(__file__).resolve().parents[2]
    found = {path.relative_to(root).as_posix() for folder in ('mmseg_dg', 'tools')
             for path in (root / folder).rglob('*.py') if '.mim' not in path.parts
             and 'Config.fromfile(' in path.read_text(encoding='utf-8')}
    assert found == {
        'mmseg_dg/utils/config_files.py', 'mmseg_dg/visualization/run_record.py',  # imports nothing
        'mmseg_dg/apis/row_configs.py', 'mmseg_dg/apis/own_data.py', 'mmseg_dg/apis/suggest.py'}  # the package's own
