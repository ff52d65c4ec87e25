"""The package as a user gets it: a wheel in a clean environment, driven through mim from an empty folder."""
import zipfile
from pathlib import Path

import pytest

from mmseg_dg.version import __version__

INFO = f'mmseg_dg-{__version__}.dist-info'
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.packaging, pytest.mark.ci]


def files(folder, *suffixes):
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob('*')
            if path.suffix in suffixes and '__pycache__' not in path.parts and '.mim' not in path.parts
            and 'dev' not in path.parts}  # tools/dev needs the tests


def test_wheel_holds_the_package_and_what_mim_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    names = set(infos)
    assert files('mmseg_dg', '.py') | {'mmseg_dg/py.typed'} <= names  # the types count for a user's checker, too
    assert 'mmseg_dg/ruff.toml' not in names
    expected = files('configs', '.py', '.yml', '.md') | files('tools', '.py', '.sh') | {'model-index.yml'}
    assert {f'mmseg_dg/.mim/{name}' for name in expected} <= names
    assert not [name for name in names if '__pycache__' in name or name.endswith('.pyc')]
    assert {name.split('/')[0] for name in names} == {'mmseg_dg', INFO}
    assert f'{INFO}/licenses/LICENSE' in names


def test_wheel_keeps_the_executable_bits(wheel):
    with zipfile.ZipFile(wheel) as archive:
        scripts = [info for info in archive.infolist() if info.filename.endswith('.sh')]
    assert len(scripts) >= 4
    assert all(info.external_attr >> 16 & 0o111 == 0o111 for info in scripts)


def test_metadata_of_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f'{INFO}/METADATA').decode()
        top_level = archive.read(f'{INFO}/top_level.txt').decode()
    assert 'License-Expression: Apache-2.0' in text
    for requirement in ('mmengine<1.0.0,>=0.10.7', 'mmcv-lite<2.2.0,>=2.1.0', 'mmsegmentation<1.3.0,>=1.2.2',
                        'setuptools<82,>=77.0.3', 'mmpretrain<1.3.0,>=1.2.0', 'torchvision',
                        'openmim>=0.3.9; extra == "mim"'):
        assert f'Requires-Dist: {requirement}' in text
    assert 'Requires-Dist: torch\n' not in text  # CPU or CUDA is the user's choice
    assert top_level.split() == ['mmseg_dg']


def test_train_test_and_search_through_mim_from_an_empty_folder(installed, project):
    found = installed.run(project, '-m', 'mim', 'search', 'mmseg_dg')
    assert all(name in found for name in ('daformer_mitb5_gta2cityscapes', 'daformer_synthcity_demo', 'custom_uda',
                                          'bench_daformer_mobilenetv2'))
    assert f'mmseg-dg        {__version__}' in installed.run(project, '-m', 'mim', 'list')  # as setuptools spells it

    text = installed.run(project, '-m', 'mim', 'train', 'mmseg_dg', 'my.py', '--gpus', '0', '--row', 'chatty',
                         '--work-dir', 'run')
    assert '/.mim/tools/train.py my.py --launcher none --row chatty --work-dir run --device cpu' in text
    dumped = (project / 'run' / 'my.py').read_text()
    assert "config_row = dict(config='my', row='chatty')" in dumped and '_base_' not in dumped
    assert not [name for name in ('mmseg_dg', 'tools', 'configs') if f'{ROOT / name}/' in text]  # not the repository
    checkpoint = project / 'run' / 'iter_2.pth'
    assert checkpoint.is_file() and list((project / 'run').glob('*/evaluation_iter_2.csv'))

    text = installed.run(project, '-m', 'mim', 'test', 'mmseg_dg', 'run/my.py', '--checkpoint', str(checkpoint),
                         '--work-dir', 'tested', '--out', 'predictions', '--show-dir', 'shown')
    assert 'camera/mIoU' in text
    trained, = (project / 'run').glob('*/evaluation_iter_2.csv')
    tested, = (project / 'tested').glob('*/evaluation_test.csv')
    assert scores(tested) == scores(trained)
    assert sorted(path.name for path in (project / 'predictions').iterdir()) == ['camera', 'night']
    assert len(list((project / 'predictions').glob('*/*.png'))) == 16
    assert len(list((project / 'shown').rglob('*.png'))) == 16


def scores(path):
    """Numbers of a report; the file of a test says nothing about choosing checkpoints."""
    return [line.split(',')[4:] for line in path.read_text().splitlines()]


def test_two_processes_through_mim(installed, project):
    installed.run(project, '-m', 'mim', 'train', 'mmseg_dg', 'my.py', '--launcher', 'pytorch', '--gpus', '2',
                  '--work-dir', 'two')
    assert (project / 'two' / 'iter_2.pth').is_file()


def test_configs_are_found_by_name(installed, project):
    """``mim train`` looks for a config by its base name in the whole package: here it stops at the missing weights."""
    text = installed.run(project, '-m', 'mim', 'train', 'mmseg_dg', 'daformer_mitb5_gta2cityscapes.py', '--gpus', '0',
                         '--work-dir', 'none', code=1)
    assert '.mim/configs/daformer/daformer_mitb5_gta2cityscapes.py instead' in text


def test_run_finds_the_tools_and_the_weights_table(installed, project):
    text = installed.run(project, '-m', 'mim', 'run', 'mmseg_dg', 'prepare_weights')
    assert 'mit_b5         missing' in text and 'resnet101' in text
    text = installed.run(project, '-m', 'mim', 'run', 'mmseg_dg', 'rows', 'daformer_mitb5_gta2cityscapes')
    assert 'nowarmup' in text and '.mim/configs/daformer/daformer_mitb5_gta2cityscapes.py' in text
    text = installed.run(project, '-m', 'mim', 'run', 'mmseg_dg', 'study', 'my.py', '--seeds', '1', '--row', 'chatty',
                         '--dry-run')
    assert 'randomness.seed=1' in text and '--row chatty' in text and '.mim/tools/train.py' in text


def test_editable_install_serves_the_tools_mim_and_inheritance(editable, source, project):
    assert '--resume' in editable.run(project, str(source / 'tools' / 'train.py'), '-h')
    assert 'daformer_mitb5_gta2cityscapes' in editable.run(project, '-m', 'mim', 'search', 'mmseg_dg')
    code = ('import mmseg_dg; from mmengine.config import Config; cfg = Config.fromfile("my.py"); '
            'print(mmseg_dg.__file__, cfg.model.type, cfg.train_cfg.max_iters)')
    text = editable.run(project, '-c', code)
    assert f'{source / "mmseg_dg" / "__init__.py"} DACS 2' in text
    assert (source / 'mmseg_dg' / '.mim' / 'configs').is_symlink()


def test_console_script_runs_the_tools_of_the_wheel(installed, project):
    script = str(installed.python.parent / 'mmseg-dg')
    assert 'mit_b5         missing' in installed.run(project, script, 'prepare-weights')
    text = installed.run(project, script, 'fly', code=2)
    assert "no verb 'fly'" in text


class FakeCommand:
    """What setup.py's editable install needs of setuptools; it never calls the private hook."""

    def __init__(self, dist_dir):
        self.dist_dir, self.told = str(dist_dir), []

    def run(self):
        pass

    def warn(self, text):
        self.told.append(text)


@pytest.fixture
def setup_script(monkeypatch):
    """The names of setup.py, read without building anything."""
    import runpy

    import setuptools
    monkeypatch.setattr(setuptools, 'setup', lambda **kwargs: None)
    monkeypatch.setattr('setuptools.command.editable_wheel.editable_wheel', FakeCommand)
    return runpy.run_path(str(ROOT / 'setup.py'))


def test_an_editable_wheel_names_its_folder_without_the_private_hook(setup_script, tmp_path):
    info = 'mmseg_dg-1.0.dist-info'
    path = tmp_path / 'mmseg_dg-1.0-0.editable-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('code.py', 'x = 1\n')
        archive.writestr(f'{info}/top_level.txt', 'mmseg_dg\n')
        archive.writestr(f'{info}/RECORD', f'code.py,,\n{info}/top_level.txt,sha256=old,9\n{info}/RECORD,,\n')
    setup_script['EditableWheel'](tmp_path).run()
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ['code.py', f'{info}/RECORD', f'{info}/top_level.txt']
        assert archive.read(f'{info}/top_level.txt').decode().split() == [str(ROOT / 'mmseg_dg'), 'mmseg_dg']
        record = archive.read(f'{info}/RECORD').decode()
    assert 'sha256=old' not in record and record.count('top_level.txt,sha256=') == 1
    before = path.read_bytes()
    setup_script['EditableWheel'](tmp_path).run()
    assert path.read_bytes() == before


def test_an_editable_install_that_cannot_name_its_folder_says_what_helps(setup_script, tmp_path):
    command = setup_script['EditableWheel'](tmp_path)
    command.run()
    assert 'pip install .' in command.told[0]
