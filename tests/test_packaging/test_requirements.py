"""What an installation brings is what code and configs import; no network, nothing is installed."""
import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Distribution of each third-party module that the package imports.
DISTRIBUTION = dict(
    mmcv='mmcv-lite', mmengine='mmengine', mmseg='mmsegmentation', mmpretrain='mmpretrain', torchvision='torchvision',
    numpy='numpy', kornia='kornia', cv2='opencv', PIL='pillow', torch='torch', scipy='scipy', matplotlib='matplotlib',
    yaml='pyyaml', pkg_resources='setuptools', mim='openmim')
#: Come with the others (mmcv-lite, mmsegmentation, mmengine); torch is the user's.
BROUGHT = {'opencv', 'pillow', 'matplotlib', 'pyyaml', 'torch'}


@pytest.fixture(scope='module')
def required():
    """{file: distributions} as setup.py reads them."""
    import setuptools
    seen = {}
    original, setuptools.setup = setuptools.setup, lambda **kwargs: seen.update(kwargs)
    try:
        runpy.run_path(str(ROOT / 'setup.py'))
    finally:
        setuptools.setup = original
    assert not [line for line in seen['install_requires'] if line.startswith('-')]
    return {name: {re.match(r'[A-Za-z0-9_.-]+', line).group().lower() for line in lines}
            for name, lines in dict(seen['extras_require'], install=seen['install_requires']).items()}


def imported(path):
    """Top-level names a module imports when it is loaded; those inside functions and `try` are optional."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split('.')[0]


def core():
    lines = (ROOT / 'requirements' / 'core.txt').read_text(encoding='utf-8').splitlines()
    return {match.group().lower() for line in lines if (match := re.match(r'[A-Za-z0-9_.-]+', line))}


def test_the_core_imports_nothing_but_the_core(required):
    assert core() < required['install'] and required['install'] - core() == {'mmpretrain', 'torchvision'}
    own = set(sys.stdlib_module_names) | {'mmseg_dg'}
    for path in sorted((ROOT / 'mmseg_dg').rglob('*.py')):
        if '.mim' in path.parts or path == ROOT / 'mmseg_dg' / 'mmpretrain.py':
            continue
        for name in set(imported(path)) - own:
            assert DISTRIBUTION.get(name, name) in core() | BROUGHT, f'{path.relative_to(ROOT)} imports {name}'


def test_an_installation_brings_what_the_configs_name(required):
    need = {}
    for path in sorted((ROOT / 'configs').rglob('*.py')):
        text = path.read_text(encoding='utf-8')
        for name in re.findall(r"type='(\w+)\.\w", text) + re.findall(r"'(?:mmseg_dg\.)?(\w+)'", ' '.join(
                re.findall(r'custom_imports\s*=\s*dict\(\s*imports\s*=\s*\[([^\]]*)\]', text))):
            need.setdefault(name, path.name)
    assert 'mmpretrain' in need
    for name, where in need.items():
        if name != 'mmseg_dg':
            assert DISTRIBUTION[name] in required['install'], f'{where} needs {name}'


def test_a_core_says_what_to_install(monkeypatch):
    import importlib.util

    from mmengine.utils import import_modules_from_strings

    from mmseg_dg import compat
    from mmseg_dg.apis.entry import message_of
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *a: None if name == 'mmpretrain' else find(name, *a))
    monkeypatch.delitem(sys.modules, 'mmseg_dg.mmpretrain', raising=False)
    with pytest.raises(ImportError) as caught:
        import_modules_from_strings(['mmseg_dg.mmpretrain'])
    need = 'onedl-mmpretrain>=1.3.6,<1.4' if compat.uses_forks() else 'mmpretrain>=1.2.0,<1.3.0'
    assert f'pip install "{need}" torchvision' in message_of(caught.value)


def test_the_file_of_the_forks_names_what_the_stack_check_takes():
    """The range of each fork is one and the same there and here, and everything else of the core is in it."""
    from mmseg_dg import compat
    lines = (ROOT / 'requirements' / 'onedl.txt').read_text(encoding='utf-8').splitlines()
    entries = [line for line in lines if not line.startswith('#')]
    assert all(re.fullmatch(r'\S+ +# \S.*', line) for line in entries)  # one line of reason each
    named = {line.split()[0] for line in entries}
    forks = {part.fork.requirement.strip('"') for part in compat.SUPPORTED if part.fork}
    assert forks == {line for line in named if line.startswith('onedl-')}
    originals = {'mmengine', 'mmcv-lite', 'mmsegmentation', 'setuptools'}  # the forks do without pkg_resources
    assert core() - originals <= {re.match(r'[A-Za-z0-9_.-]+', line).group() for line in named}


def test_the_python_that_is_claimed_is_the_one_that_is_checked():
    from mmseg_dg import compat
    assert f"python_requires='>={compat.PYTHON_MINIMUM}'" in (ROOT / 'setup.py').read_text(encoding='utf-8')
