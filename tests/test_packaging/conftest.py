"""Environments with the package built and installed as a user gets it; built once for all tests here."""
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ['setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE', 'requirements.txt', 'model-index.yml',
           'requirements', 'mmseg_dg', 'configs', 'tools', 'docs', 'examples']


class Environment:
    """A virtual environment that borrows the libraries of the outer one, but not its mmseg_dg.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / 'bin' / 'python'
        self.site = Path(self._ask('import sysconfig; print(sysconfig.get_path("purelib"))'))
        outer = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib'), *site.getsitepackages()}
        (self.site / 'outer.pth').write_text('\n'.join(sorted(outer)))

    def _ask(self, code: str) -> str:
        return subprocess.run([self.python, '-c', code], capture_output=True, text=True, check=True).stdout.strip()

    def install(self, *what: str) -> None:
        """pip of the outer environment, into this one, without touching the network."""
        command = [sys.executable, '-m', 'pip', '--python', str(self.python), 'install', '-q', '--no-deps',
                   '--no-index', '--no-build-isolation', *what]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(self, folder: Path, *words: str, code: int = 0) -> str:
        """Run this environment's python in ``folder``; returns stdout and stderr together."""
        hidden = ('PYTHONPATH', 'LOCAL_RANK', 'WORLD_SIZE')
        env = {key: value for key, value in os.environ.items() if key not in hidden}
        env.update(OMP_NUM_THREADS='1', MMSEG_DG_CACHE=str(folder.parent / 'cache'))
        done = subprocess.run([str(self.python), *words], cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=240)
        assert done.returncode == code, done.stdout[-6000:]
        return done.stdout


@pytest.fixture(scope='session')
def source(tmp_path_factory) -> Path:
    """A clean copy of the repository, so that building leaves nothing in it."""
    copy = tmp_path_factory.mktemp('source') / 'repository'
    copy.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info'))
        else:
            shutil.copy(path, copy / name)
    return copy


@pytest.fixture(scope='session')
def wheel(source, tmp_path_factory) -> Path:
    """A wheel built from a source distribution, so that what MANIFEST.in forgets is missing in it."""
    folder = tmp_path_factory.mktemp('dist')
    code = f'from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})'
    subprocess.run([sys.executable, '-c', code], cwd=source, check=True, capture_output=True)
    archive, = folder.glob('*.tar.gz')
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-index', '--no-build-isolation', '-w',
               str(folder), str(archive)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    path, = folder.glob('*.whl')
    return path


@pytest.fixture(scope='session')
def installed(wheel, tmp_path_factory) -> Environment:
    """An environment with the wheel."""
    environment = Environment(tmp_path_factory.mktemp('wheel') / 'venv')
    environment.install(str(wheel))
    return environment


@pytest.fixture(scope='session')
def editable(source, tmp_path_factory) -> Environment:
    """An environment with ``pip install -e``."""
    environment = Environment(tmp_path_factory.mktemp('editable') / 'venv')
    environment.install('-e', str(source))
    return environment


@pytest.fixture(scope='session')
def project(tmp_path_factory) -> Path:
    """A user's folder with one small config that inherits from the package."""
    folder = tmp_path_factory.mktemp('user') / 'project'
    folder.mkdir()
    row = '{what: chatty, paper: none, score: none, status: not run, overrides: {default_hooks.logger.interval: 1}}'
    (folder / 'ablations.yml').write_text(f'my:\n  rows:\n    chatty: {row}\n')
    (folder / 'my.py').write_text(
        "_base_ = 'mmseg_dg::demo/daformer_synthcity_demo.py'\n"
        'train_cfg = dict(max_iters=2, val_interval=2)\n'
        "param_scheduler = [dict(type='WarmupPolyLR', warmup_iters=1)]\n"
        'default_hooks = dict(checkpoint=dict(interval=2))\n'
        '_few = dict(dataset=dict(num_images=8), num_workers=0, persistent_workers=False)\n'  # two batches of 4
        'train_dataloader = dict(source=_few, target=_few)\n'
        'val_dataloader = dict(camera=_few, night=_few)\n'
        'test_dataloader = dict(camera=_few, night=_few)\n')
    return folder
