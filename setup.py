"""Packaging of mmseg_dg, with what OpenMMLab's ``mim`` needs of a package.

``mim`` runs ``<package folder>/.mim/tools/train.py`` and looks for configs below ``<package folder>/.mim/configs``. A
wheel gets copies of those folders; an editable install gets links, made in the source tree (and ignored by git).

Neither torch nor pkg_resources is imported here: the package must build in an empty, isolated environment.
"""
import base64
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmseg_dg'
TOP_LEVEL = f'{ROOT / PACKAGE}\n{PACKAGE}\n'  # of an editable install
MIM_FILES = ('configs', 'tools', 'model-index.yml')


def read_version() -> str:
    scope: dict = {}
    exec((ROOT / PACKAGE / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def read_requirements(name: str) -> list:
    """Requirements of a file, and of those it names with ``-r``."""
    lines = (ROOT / 'requirements' / name).read_text(encoding='utf-8').splitlines()
    found = []
    for line in (line.split('#')[0].strip() for line in lines):
        if line.startswith('-r '):
            found += read_requirements(line[len('-r '):].strip())
        elif line:
            found.append(line)
    return found


def put(source: Path, target: Path, link: bool) -> None:
    """Copy or link one file or folder, over whatever is there."""
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    if link:
        try:
            target.symlink_to(os.path.relpath(source, target.parent), target_is_directory=source.is_dir())
            return
        except OSError:  # Windows without the privilege: copy, and install again after every change
            pass
    if source.is_dir():
        # tools/dev needs the tests, which a wheel has not
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__', '*.py[cod]', '.*', 'dev'))
    else:
        shutil.copyfile(source, target)


class BuildPy(build_py):
    """Adds ``.mim`` to the built package, or to the sources when the install is editable."""

    def run(self):
        editable = getattr(self, 'editable_mode', False)
        base = ROOT if editable else Path(self.build_lib).resolve()
        if not editable:  # build/ outlives a build: modules deleted since would stay in the wheel
            shutil.rmtree(base / PACKAGE, ignore_errors=True)
        super().run()
        folder = base / PACKAGE / '.mim'
        folder.mkdir(parents=True, exist_ok=True)
        for name in MIM_FILES:
            put(ROOT / name, folder / name, link=editable)


class EditableWheel(editable_wheel):
    """Tells ``mim`` where an editable package lives.

    ``mim`` and mmengine (for ``mmseg_dg::...`` configs) take ``<site-packages>/mmseg_dg`` for the package's folder
    and, where there is none, ``<site-packages>/<first line of top_level.txt>``. An absolute path there wins when
    joined.

    The hook below is private to setuptools. Where setuptools does not call it, the finished wheel gets the same lines
    (:func:`name_folder`). Should that find no wheel either, building says so: a plain ``pip install .`` uses nothing
    private.
    """

    def _ensure_dist_info(self):
        super()._ensure_dist_info()
        path = Path(self.dist_info_dir) / 'top_level.txt'
        path.write_text(TOP_LEVEL, encoding='utf-8')

    def run(self):
        super().run()
        wheels = list(Path(self.dist_dir or 'dist').glob(f'{PACKAGE}-*editable*.whl'))
        for wheel in wheels:
            name_folder(wheel)
        if not wheels:
            self.warn('mim and mmengine will not find this editable install; use a plain one: pip install .')


def name_folder(wheel: Path) -> None:
    """Put :data:`TOP_LEVEL` into a built wheel and its RECORD; a wheel that has it stays as it is."""
    with zipfile.ZipFile(wheel) as archive:
        files = [(info, archive.read(info)) for info in archive.infolist()]
    path = next(info.filename.split('/')[0] for info, _ in files if info.filename.endswith('.dist-info/RECORD'))
    path, record = f'{path}/top_level.txt', f'{path}/RECORD'
    data = TOP_LEVEL.encode()
    if any(info.filename == path and content == data for info, content in files):
        return
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')
    rows = next(content for info, content in files if info.filename == record).decode().splitlines()
    rows = [row for row in rows if row.split(',')[0] != path] + [f'{path},sha256={digest},{len(data)}']
    with zipfile.ZipFile(wheel, 'w', zipfile.ZIP_DEFLATED) as archive:
        for info, content in files:
            if info.filename not in (path, record):
                archive.writestr(info, content)
        archive.writestr(path, data)
        archive.writestr(record, '\n'.join(rows) + '\n')


setup(
    name=PACKAGE,
    version=read_version(),
    description='Domain-adaptive, domain-generalizing and semi-supervised semantic segmentation on MMSegmentation',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.11',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=(PACKAGE, f'{PACKAGE}.*')),
    include_package_data=True,
    python_requires='>=3.11',
    install_requires=read_requirements('runtime.txt'),
    extras_require={
        'encoders': read_requirements('encoders.txt'),
        'mim': read_requirements('mim.txt'),
        'mmpretrain': read_requirements('mmpretrain.txt'),
        'tests': read_requirements('tests.txt'),
        'lint': read_requirements('lint.txt'),
        'export': read_requirements('export.txt'),
    },
    entry_points={'console_scripts': [f'mmseg-dg = {PACKAGE}.cli:main']},
    cmdclass={'build_py': BuildPy, 'editable_wheel': EditableWheel},
    zip_safe=False)
