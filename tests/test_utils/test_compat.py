"""The stack check, the stub of the compiled ops, and what others may inherit."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from mmseg_dg import compat

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    'torch': '2.13.0+cpu', 'setuptools': '81.0.0', 'mmengine': '0.10.7', 'mmcv-lite': '2.1.0',
    'mmsegmentation': '1.2.2', 'numpy': '2.4.6', 'opencv-python-headless': '5.0.0.93', 'ftfy': '6.3.1',
    'regex': '2026.11.15',
    'kornia': '0.9.0'}
FORKS = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmsegmentation': '1.4.2'}
ORIGINALS = ('mmengine', 'mmcv-lite', 'mmsegmentation')


def stack(**changes):
    """Look-up of a healthy stack with changes; None removes a distribution, ``_`` in names stands for ``-``."""
    versions = {**GOOD, **{name.replace('_', '-'): version for name, version in changes.items()}}
    return lambda part, name: versions.get(name)


def test_healthy_stack_says_nothing(recwarn):
    compat.check_versions(stack(), python='3.11.7')
    assert not recwarn.list


def test_installed_stack_is_accepted():
    compat.check_versions()


@pytest.mark.parametrize('changes, words', [
    (dict(torch=None), ['torch is not installed', 'pip install "torch>=2.6"', 'CPU or CUDA']),
    (dict(torch='2.1.2'), ['torch 2.1.2 is installed', '"torch>=2.6"']),
    (dict(setuptools='84.2.1'), ['setuptools 84.2.1', 'pkg_resources', 'pip install "setuptools>=65,<82"']),
    (dict(mmcv_lite='2.2.0'), ['mmcv-lite 2.2.0', 'refuses mmcv 2.2', 'pip install "mmcv-lite>=2.1.0,<2.2"']),
    (dict(mmcv_lite=None, mmcv='2.2.0'), ['mmcv 2.2.0',
                                          'pip uninstall -y mmcv && pip install "mmcv-lite>=2.1.0,<2.2"']),
    (dict(mmsegmentation='0.30.0', mmengine='0.7.0'), ['mmsegmentation 0.30.0', 'mmengine 0.7.0',
                                                       'pip install "mmengine>=0.10.7,<1.0" "mmsegmentation>=1.2.2']),
    (dict(kornia=None), ['kornia is not installed', 'pip install "kornia>=0.7"']),
    (dict(ftfy=None), ['ftfy is not installed', 'pip install "ftfy>=6.0"']),
])
def test_unsupported_stack_is_refused_with_the_command(changes, words):
    with pytest.raises(ImportError) as error:
        compat.check_versions(stack(**changes), python='3.11.7')
    for word in words:
        assert word in str(error.value)


def forked(**changes):
    """Look-up of a healthy stack of the maintained forks; without setuptools, which they do not need."""
    versions = {**{name: None for name in (*ORIGINALS, 'setuptools')}, **FORKS, **changes}
    return stack(**versions)


def test_forks_alone_are_accepted(recwarn):
    compat.check_versions(forked(), python='3.11.7')
    compat.check_versions(forked(**{'onedl-mmpretrain': '1.3.6'}), python='3.11.7')
    assert not recwarn.list


@pytest.mark.parametrize('laid_over', [{'mmengine': '0.10.7'}, {'mmcv-lite': '2.1.0'}, {'mmpretrain': '1.2.0'},
                                       {name: GOOD[name] for name in ORIGINALS}])
def test_an_original_and_its_fork_in_one_environment_are_refused(laid_over):
    with pytest.raises(ImportError) as error:
        compat.check_versions(forked(**laid_over, **{'onedl-mmpretrain': '1.3.6'}), python='3.11.7')
    message, modules = str(error.value), {'mmcv-lite': 'mmcv', 'mmsegmentation': 'mmseg'}
    for name, version in laid_over.items():
        assert f'{name} {version}' in message
    together = ', '.join(modules.get(name, name) for name in laid_over)
    assert f'both put their files into {together}. Take one family' in message
    command = next(line for line in message.splitlines() if 'pip uninstall -y' in line)
    assert {*laid_over, *FORKS, 'onedl-mmpretrain'} == set(command.split('-y ')[1].split())
    assert 'pip install "mmengine>=0.10.7,<1.0"' in message and 'pip install -r requirements/onedl.txt' in message


def test_families_are_not_mixed_module_by_module():
    with pytest.raises(ImportError, match='mixed.*mmsegmentation 1.2.2. Take one family'):
        compat.check_versions(forked(**{'onedl-mmsegmentation': None, 'mmsegmentation': '1.2.2'}), python='3.11.7')


@pytest.mark.parametrize('changes, words', [
    ({'onedl-mmengine': None}, ['onedl-mmengine is not installed', 'pip install "onedl-mmengine>=0.10.12,<0.11"']),
    ({'onedl-mmcv': '2.3.0'}, ['onedl-mmcv 2.3.0 is installed', '"onedl-mmcv>=2.3.6,<2.4"']),
    ({'onedl-mmsegmentation': '2.0.0'}, ['onedl-mmsegmentation 2.0.0 is installed']),
    ({'onedl-mmpretrain': '1.3.0'}, ['onedl-mmpretrain 1.3.0 is installed'])])
def test_forks_out_of_range_are_refused_with_the_command(changes, words):
    with pytest.raises(ImportError) as error:
        compat.check_versions(forked(**changes), python='3.11.7')
    assert all(word in str(error.value) for word in words)


def test_a_newer_fork_than_tested_warns():
    with pytest.warns(UserWarning, match=r'onedl-mmcv 2.3.9 \(tested up to 2.3.6\)'):
        compat.check_versions(forked(**{'onedl-mmcv': '2.3.9'}), python='3.11.7')


@pytest.mark.parametrize('python', ['3.8.10', '3.10.13'])
def test_old_python_is_refused(python):
    with pytest.raises(ImportError, match=f'Python {python} is too old; needed: 3.11 or newer'):
        compat.check_versions(stack(), python=python)


def test_full_mmcv_beside_mmcv_lite_is_fine(recwarn):
    compat.check_versions(stack(mmcv='2.1.0'), python='3.12.1')
    assert not recwarn.list


@pytest.mark.parametrize('changes, python, word', [
    (dict(torch='2.99.0'), '3.11.7', 'torch 2.99.0'),
    (dict(mmengine='0.11.0'), '3.11.7', 'mmengine 0.11.0'),
    (dict(numpy='3.0.0'), '3.11.7', 'numpy 3.0.0'),
    (dict(), '3.20.0', 'Python 3.20.0'),
])
def test_newer_than_tested_warns(changes, python, word):
    with pytest.warns(UserWarning, match='newer than what mmseg_dg was tested with') as record:
        compat.check_versions(stack(**changes), python=python)
    assert word in str(record[0].message)


def test_patch_release_of_a_tested_version_does_not_warn(recwarn):
    compat.check_versions(stack(torch='2.13.7'), python='3.13.9')
    assert not recwarn.list


def test_import_on_an_unsupported_stack_explains_itself(tmp_path):
    """In a new process with a fake, old mmsegmentation in front: refused before mmseg is imported."""
    onedl = compat.uses_forks()
    name, need = ('onedl-mmsegmentation', '>=1.4.2,<1.5') if onedl else ('mmsegmentation', '>=1.2.2,<1.3')
    fake = tmp_path / f'{name.replace("-", "_")}-0.30.0.dist-info'
    fake.mkdir()
    (fake / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 0.30.0\n')
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    done = subprocess.run([sys.executable, '-c', 'import mmseg_dg'], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert f'{name} 0.30.0 is installed' in done.stderr
    assert f'pip install "{name}{need}"' in done.stderr
    assert 'mmseg/__init__.py' not in done.stderr


def test_import_beside_the_other_family_explains_itself(tmp_path):
    """In a new process with the metadata of the other family's mmengine in front: refused before it is imported."""
    name, version = ('mmengine', '0.10.7') if compat.uses_forks() else ('onedl-mmengine', '0.10.12')
    fake = tmp_path / f'{name.replace("-", "_")}-{version}.dist-info'
    fake.mkdir()
    (fake / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    done = subprocess.run([sys.executable, '-c', 'import mmseg_dg'], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and f'{name} {version}' in done.stderr
    assert 'both put their files into mmengine. Take one family' in done.stderr


def test_missing_system_library_of_opencv_is_explained(monkeypatch):
    import builtins
    real = builtins.__import__

    def no_gl(name, *args, **kwargs):
        if name == 'cv2':
            raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', no_gl)
    with pytest.raises(ImportError, match='opencv-python-headless'):
        compat.check_opencv()


@pytest.mark.skipif(compat.ensure_mmcv_ops(), reason='the compiled mmcv ops are installed: nothing is stubbed')
def test_missing_op_names_itself_and_the_command():
    from mmcv.ops import roi_align
    with pytest.raises(NotImplementedError) as error:
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2)
    assert 'roi_align_forward' in str(error.value)
    command = compat.FORKED_MMCV_INSTALL if compat.uses_forks() else compat.MMCV_INSTALL
    assert f'    {command}' in str(error.value) and '--no-build-isolation' in command


@pytest.mark.skipif(compat.ensure_mmcv_ops(), reason='the compiled mmcv ops are installed: nothing is stubbed')
def test_stub_is_honest_about_itself():
    from mmcv.utils import collect_env
    from mmengine.utils.dl_utils.misc import mmcv_full_available
    assert mmcv_full_available() is False
    assert not hasattr(sys.modules['mmcv._ext'], '__path__')
    assert collect_env()['MMCV Compiler'] == 'n/a'


def test_configs_of_others_can_inherit_ours():
    from mmengine.config.utils import MODULE2PACKAGE
    assert MODULE2PACKAGE['mmseg_dg'] == 'mmseg_dg'


def test_configs_inherit_from_mmseg_whichever_family_brought_it(tmp_path):
    from mmengine.config import Config
    path = tmp_path / 'child.py'
    path.write_text("_base_ = 'mmseg::_base_/models/fcn_unet_s5-d16.py'\n")
    assert Config.fromfile(path).model.backbone.type == 'UNet'


def test_torchvision_missing_names_the_command(monkeypatch):
    real = compat.importlib.util.find_spec
    monkeypatch.setattr(compat.importlib.util, 'find_spec',
                        lambda name, *a: None if name == 'torchvision' else real(name, *a))
    with pytest.raises(ImportError, match='pip install torchvision'):
        compat.ensure_torchvision()


def test_runner_reports_its_environment_beside_any_torchvision():
    """What mmengine does when a run starts; a CUDA torchvision beside a CPU torch made it fail."""
    from mmengine.utils.dl_utils import collect_env
    assert 'PyTorch' in collect_env()


@pytest.mark.ci
@pytest.mark.skipif(torch.version.cuda is not None, reason='the pair in question has a CPU-only torch')
def test_a_torchvision_whose_library_cannot_be_loaded_gets_its_ops_named(tmp_path):
    """In a new process: a torchvision with a broken library, which describes its ops as the real one does."""
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '_C.so').write_bytes(b'no library')
    (package / '__init__.py').write_text(
        'import torch\n@torch.library.register_fake("torchvision::nms")\ndef f(dets, scores, iou): return dets\n')
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    done = subprocess.run([sys.executable, '-c', 'import torchvision'], env=env, capture_output=True, text=True)
    assert 'nms does not exist' in done.stderr  # without help
    code = 'import mmseg_dg, torchvision; from mmseg_dg import compat; print(compat.describe_torchvision_ops())'
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == 'False', done.stderr[-2000:]  # named once, by the import


def test_core_imports_without_torchvision():
    """In a new process in which torchvision cannot be found: networks and loops still import."""
    code = ('import sys; sys.modules["torchvision"] = None; import mmseg_dg, mmseg_dg.models, mmseg_dg.engine, '
            'mmseg_dg.datasets; print("fine")')
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True)
    assert done.stdout.strip().endswith('fine'), done.stderr[-2000:]


def test_text_of_a_config_is_laid_out_once(monkeypatch):
    from mmengine.config import config as library

    from mmseg_dg.compat.libraries import lay_out_configs_once

    asked = []

    def yapf(text, style_config=None, **options):
        asked.append(options)
        return FormatCode(text, style_config=style_config, **options)

    monkeypatch.setattr(library, 'FormatCode', yapf)
    lay_out_configs_once()
    first, second = Config(dict(a=dict(b=[1, 2]))), Config(dict(a=dict(b=[1, 3])))
    texts = [first.pretty_text, first.pretty_text, second.pretty_text, Config(dict(a=dict(b=[1, 2]))).pretty_text]
    assert len(asked) == 2 and texts == ['a = dict(b=[\n    1,\n    2,\n])\n'] * 2 + [texts[2]] + texts[:1]
    assert texts[2] == 'a = dict(b=[\n    1,\n    3,\n])\n'
    first.a.b.append(4)
    assert '4' in first.pretty_text, 'what has changed is laid out again'
    ours = library.FormatCode
    lay_out_configs_once()
    assert library.FormatCode is ours, 'a second call wraps nothing twice'
    library.FormatCode('x=1', style_config='pep8')
    library.FormatCode('x=1', style_config=dict(based_on_style='pep8'), print_diff=True)
    assert asked[-2:] == [{}, dict(print_diff=True)], 'other uses reach yapf as they are'
