"""Which versions of which libraries are known to work, and what to do where others are there."""
import importlib.metadata
import importlib.util
import re
import sys
import warnings
from typing import Callable, NamedTuple, Optional

#: Commands that build mmcv with its compiled ops, and what building needs beside it.
_BUILD_OPS = 'pip install "setuptools<82" wheel ninja psutil && pip install --no-build-isolation'
MMCV_INSTALL = f'pip uninstall -y mmcv-lite && {_BUILD_OPS} "mmcv==2.1.0"'
FORKED_MMCV_INSTALL = f'{_BUILD_OPS} --force-reinstall --no-deps "onedl-mmcv==2.3.6"'


class Supported(NamedTuple):
    """What is known to work of one library: ``minimum <= version < below``; up to ``tested`` it was
    tried.

    Attributes:
        names: Distributions that can provide ``module``, the one to install first.
        module: Name in ``import``.
        minimum: The oldest version that works.
        below: The first one that does not, None without a limit.
        tested: The newest one that was tried.
        why: The reason for a bound or need, for messages.
        fork: The maintained fork of the same module, which puts its files where this one does.
        optional: It may be missing.
    """

    names: tuple
    module: str
    minimum: str
    below: Optional[str] = None
    tested: Optional[str] = None
    why: str = ''
    fork: Optional['Supported'] = None
    optional: bool = False

    @property
    def requirement(self) -> str:
        """Name and range of versions as pip takes them, quoted for a shell."""
        upper = f',<{self.below}' if self.below else ''
        return f'"{self.names[0]}>={self.minimum}{upper}"'


# ``tested``: the newest release with which a training, a test, a resume and two processes were run;
# of the forks, the release with which the test suite was run (docs/stacks.md)
SUPPORTED = (
    Supported(('torch', ), 'torch', '2.6', tested='2.15', why='choose the CPU or CUDA build at '
              'https://pytorch.org'),
    Supported(('setuptools', ), 'pkg_resources', '65', '82', why='mmengine needs pkg_resources, '
              'gone in setuptools 82'),
    Supported(('mmengine', ), 'mmengine', '0.10.7', '1.0', '0.10.7', fork=Supported(
        ('onedl-mmengine', ), 'mmengine', '0.10.12', '0.11', '0.10.12')),
    Supported(('mmcv-lite', 'mmcv'), 'mmcv', '2.1.0', '2.2', '2.1.0', why='mmsegmentation 1.2.2 '
              'refuses mmcv 2.2', fork=Supported(('onedl-mmcv', ), 'mmcv', '2.3.6', '2.4',
                                                 '2.3.6')),
    Supported(('mmsegmentation', ), 'mmseg', '1.2.2', '1.3', '1.2.2', fork=Supported(
        ('onedl-mmsegmentation', ), 'mmseg', '1.4.2', '1.5', '1.4.2')),
    Supported(('mmpretrain', ), 'mmpretrain', '1.2.0', '1.3', '1.2.0', optional=True,
              fork=Supported(('onedl-mmpretrain', ), 'mmpretrain', '1.3.6', '1.4', '1.3.6',
                             optional=True)),
    Supported(('numpy', ), 'numpy', '1.26', tested='2.5'),
    Supported(('opencv-python', 'opencv-python-headless', 'opencv-contrib-python',
               'opencv-contrib-python-headless'), 'cv2', '4.5', tested='5.0'),
    Supported(('kornia', ), 'kornia', '0.7', tested='0.9'),
    Supported(('ftfy', ), 'ftfy', '6.0', why='mmsegmentation imports it and does not declare it'),
    Supported(('regex', ), 'regex', '2020.1', why='mmsegmentation imports it and does not declare '
              'it'),
)
PYTHON_MINIMUM, PYTHON_TESTED = '3.11', '3.13'
FORK_INSTALL = 'pip install -r requirements/onedl.txt'


def _release(version: str) -> tuple:
    """``'2.13.0+cpu'`` -> ``(2, 13, 0)``; what follows the numbers (rc, local label) does not
    matter here.
    """
    match = re.match(r'\s*v?(\d+(?:\.\d+)*)', version or '')
    return tuple(int(part) for part in match.group(1).split('.')) if match else ()


def _older(version: str, bound: str) -> bool:
    """Whether a version is below another; missing numbers count as 0."""
    a, b = _release(version), _release(bound)
    size = max(len(a), len(b))
    return a + (0, ) * (size - len(a)) < b + (0, ) * (size - len(b))


def _newer_than_tested(version: str, tested: Optional[str]) -> bool:
    """Whether a version is newer than ``tested`` (None: any is tried), compared to as many numbers
    as that gives: 2.13.1 is no newer than 2.13.
    """
    return tested is not None and _release(version)[:len(_release(tested))] > _release(tested)


def installed_version(part: Supported, name: str) -> Optional[str]:
    """Version of the installed distribution ``name`` of ``part``, from its metadata, without
    importing it; None when it is not there.

    A module that lies there without metadata (an operating system's package, a source folder)
    counts as the minimum: under the last of the part's names, so that it is counted once, and not
    where an installed fork explains it.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    fork = part.fork and installed_version(part.fork, part.fork.names[0])
    # names of forks begin with "onedl-": their module may be that of the original
    if name == part.names[-1] and not name.startswith('onedl-') and not fork \
            and importlib.util.find_spec(part.module) is not None:
        return part.minimum
    return None


def _judge(part: Supported, found: dict) -> tuple:
    """Judge one library by the versions that were found of it, ``{distribution: version}``.

    Returns:
        ``(what is wrong, or None, names of the distributions whose version is out of range)``.
    """
    bad = [
        name for name, version in found.items()
        if _older(version, part.minimum) or (part.below and not _older(version, part.below))
    ]
    if (found or part.optional) and not bad:
        return None, bad
    what = ' and '.join(f'{name} {found[name]} is installed'
                        for name in bad) or f'{part.names[0]} is not installed'
    why = f' ({part.why})' if part.why else ''
    return f'{what}; needed: {part.requirement}{why}', bad


def choose_family(lookup: Callable[[Supported, str], Optional[str]]) -> tuple:
    """The originals of OpenMMLab, or their maintained forks where the forks are what is installed.

    Returns:
        ``(parts to check, problem or None)``. A problem: some of both are installed. An original
        and its fork put different files in one folder, and each family needs its own.
    """
    # {distribution: version}, of originals and forks alike
    installed = {
        name: version
        for part in SUPPORTED if part.fork for name in part.names + part.fork.names
        if (version := lookup(part if name in part.names else part.fork, name)) is not None
    }
    forks = [name for name in installed if name.startswith('onedl-')]
    if not forks:
        return SUPPORTED, None
    if len(forks) < len(installed):  # some originals too
        # modules whose folder has files of an original and of its fork
        laid_over = [
            part.module for part in SUPPORTED
            if part.fork and part.fork.names[0] in installed and any(name in installed
                                                                     for name in part.names)
        ]
        where = f'; both put their files into {", ".join(laid_over)}' if laid_over else ''
        others = ' '.join(part.requirement for part in SUPPORTED if part.fork and not part.optional)
        return (), ('packages of OpenMMLab and of their maintained forks are mixed: '
                    + ', '.join(f'{name} {version}' for name, version in installed.items()) + where
                    + '. Take one family. Remove both:\n    pip uninstall -y '
                    f'{" ".join(installed)}\nthen install the originals:\n    pip install '
                    f'{others}\nor, in a clone of this package, the forks:\n    {FORK_INSTALL}')
    # the forks do without pkg_resources
    return tuple(part.fork or part for part in SUPPORTED if part.module != 'pkg_resources'), None


def uses_forks() -> bool:
    """Whether mmengine is that of the maintained forks."""
    fork = next(part.fork for part in SUPPORTED if part.module == 'mmengine')
    return fork is not None and installed_version(fork, fork.names[0]) is not None


def _untried(found: dict, tested: Optional[str]) -> list:
    """Those of ``{name: version}`` that are newer than ``tested``, as texts for a warning."""
    return [
        f'{name} {version} (tested up to {tested})' for name, version in found.items()
        if _newer_than_tested(version, tested)
    ]


def check_versions(lookup: Callable[[Supported, str], Optional[str]] = installed_version,
                   python: Optional[str] = None) -> None:
    """Refuse a stack on which mmseg cannot be imported, before it is imported; warn about an
    untried one.

    Args:
        lookup: ``(part, distribution) -> version or None``.
        python: Version of Python; by default the running one.

    Raises:
        ImportError: Something is missing, too old or too new, or OpenMMLab's packages and their
            forks are mixed. The message names each and gives one pip command.
    """
    python = python or '.'.join(str(n) for n in sys.version_info[:3])
    # messages; distributions to uninstall; requirements to install
    problems, remove, install = [], [], []
    if _older(python, PYTHON_MINIMUM):
        problems.append(f'Python {python} is too old; needed: {PYTHON_MINIMUM} or newer, in a new '
                        'environment')
    untried = _untried({'Python': python}, PYTHON_TESTED)  # newer than what was tested
    parts, mixed = choose_family(lookup)
    problems += [mixed] if mixed else []
    for part in parts:
        found = {
            name: version
            for name in part.names if (version := lookup(part, name)) is not None
        }
        problem, bad = _judge(part, found)
        if problem:
            problems.append(problem)
            # pip replaces the one that is installed anew; another that gives the module must go
            remove += [name for name in bad if name != part.names[0]]
            install.append(part.requirement)
        untried += _untried({name: version
                             for name, version in found.items() if name not in bad}, part.tested)
    if problems:
        steps = [f'pip uninstall -y {" ".join(remove)}'] if remove else []
        steps += [f'pip install {" ".join(install)}'] if install else []
        repair = f'To repair it:\n    {" && ".join(steps)}' if steps else ''
        raise ImportError('mmseg_dg cannot work with what is installed:\n'
                          + ''.join(f'  - {problem}\n' for problem in problems) + repair)
    if untried:
        warnings.warn(
            f'newer than what mmseg_dg was tested with: {", ".join(untried)}. If '
            'something breaks, try the versions of requirements/pinned.txt', stacklevel=2)
