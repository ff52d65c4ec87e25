"""The only file that knows library versions and works around them.

It lets mmseg 1.2.2 and mmengine 0.10.7, and their maintained forks, run on today's stack. Nothing
here changes what a computation returns: each function refuses a stack that cannot work, makes an
import or a look-up succeed that would otherwise fail, or settles what a checkpoint file may
contain.
"""
import importlib.machinery
import importlib.metadata
import importlib.util
import re
import sys
import types
import warnings
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from .utils.console import keep_tables_in_the_file

_BUILD_OPS = 'pip install "setuptools<82" wheel ninja psutil && pip install --no-build-isolation'
MMCV_INSTALL = f'pip uninstall -y mmcv-lite && {_BUILD_OPS} "mmcv==2.1.0"'
FORKED_MMCV_INSTALL = f'{_BUILD_OPS} --force-reinstall --no-deps "onedl-mmcv==2.3.6"'


class Supported(NamedTuple):
    """What is known to work of one library: ``minimum <= version < below``; up to ``tested`` it was
    tried.

    ``names`` are the distributions that can provide ``module``, the one to install first. ``fork``
    is the maintained fork of the same module, which puts its files where this one does; what is
    ``optional`` may be missing.
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
        """As pip takes it, quoted for a shell."""
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
    a, b = _release(version), _release(bound)
    size = max(len(a), len(b))
    return a + (0, ) * (size - len(a)) < b + (0, ) * (size - len(b))


def _newer_than_tested(version: str, tested: Optional[str]) -> bool:
    """Compared to as many numbers as ``tested`` gives: 2.13.1 is no newer than 2.13."""
    return tested is not None and _release(version)[:len(_release(tested))] > _release(tested)


def installed_version(part: Supported, name: str) -> Optional[str]:
    """Version of an installed distribution, from its metadata, without importing it; None when it
    is not there.

    A module that lies there without metadata (an operating system's package, a source folder)
    counts as the minimum.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    fork = part.fork and installed_version(part.fork, part.fork.names[0])
    if name == part.names[-1] and not name.startswith('onedl-') and not fork \
            and importlib.util.find_spec(part.module) is not None:
        return part.minimum
    return None


def _judge(part: Supported, found: dict) -> tuple:
    """``(problem or None, distributions out of range)`` for the versions ``found`` of one library.
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
    installed = {
        name: version
        for part in SUPPORTED if part.fork for name in part.names + part.fork.names
        if (version := lookup(part if name in part.names else part.fork, name)) is not None
    }
    forks = [name for name in installed if name.startswith('onedl-')]
    if not forks:
        return SUPPORTED, None
    if len(forks) < len(installed):
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
    part = next(part for part in SUPPORTED if part.module == 'mmengine')
    return installed_version(part.fork, part.fork.names[0]) is not None


def _untried(found: dict, tested: Optional[str]) -> list:
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
    problems, remove, install = [], [], []
    if _older(python, PYTHON_MINIMUM):
        problems.append(f'Python {python} is too old; needed: {PYTHON_MINIMUM} or newer, in a new '
                        'environment')
    untried = _untried({'Python': python}, PYTHON_TESTED)
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


def silence_pkg_resources() -> None:
    """mmengine imports pkg_resources in every run and worker; its warning tells a user nothing that
    he can act on.
    """
    warnings.filterwarnings('ignore', message='pkg_resources is deprecated')


def silence_library_notices() -> None:
    """Notices of mmseg to users of an earlier release, which come with every run and ask for
    nothing.
    """
    for text in ('``build_loss`` would be deprecated soon', 'Default ``avg_non_ignore`` is False',
                 'The draw is False, it means that the hook for visualization'):
        warnings.filterwarnings('ignore', message=text)


def silence_binary_advice() -> None:
    """mmseg advises one output channel for two classes, which the methods of this package cannot
    train.

    They take the class with the largest softmax probability; of one channel that is class 0, with
    confidence 1.
    """
    for text in ('For binary segmentation, we suggest', 'threshold is not defined for binary'):
        warnings.filterwarnings('ignore', message=text)


def check_opencv() -> None:
    """``import cv2``, and say what to do where the system libraries of the full OpenCV wheel are
    missing.

    Raises:
        ImportError: ``cv2`` needs a shared library that is not there (a bare container has no
            libGL, libxcb, glib).
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        if '.so' not in str(error):
            raise
        raise ImportError(
            f'OpenCV cannot be loaded: {error}. Either install the system libraries (Debian, '
            'Ubuntu: apt-get install libgl1 libglib2.0-0 libxcb1) or the wheel that needs none:\n '
            '   pip uninstall -y opencv-python && pip install opencv-python-headless') from error


class MissingCompiledOp:
    """Callable put where a compiled mmcv op would be; raises when called."""
    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args, **kwargs):
        raise NotImplementedError(
            f'the compiled mmcv op "{self.__name__}" is not there: the extension "mmcv._ext" is '
            'missing, as in every "mmcv-lite" and in an "onedl-mmcv" built without torch. Install '
            'the full package (built from source in a few minutes):\n    '
            f'{FORKED_MMCV_INSTALL if uses_forks() else MMCV_INSTALL}')

    def __repr__(self) -> str:
        return f'<missing mmcv op {self.__name__}>'


class _StubExt(types.ModuleType):
    """Stand-in for ``mmcv._ext`` whose every op raises on call."""

    is_stub = True

    def __getattr__(self, name: str):
        # dunder look-ups (``__path__``, ``__file__`` ...) must fail as they do on any module, or
        # ``inspect`` and the import system go astray
        if name.startswith('__') and name.endswith('__'):
            raise AttributeError(name)
        if name in ('get_compiler_version', 'get_compiling_cuda_version'):
            return lambda: 'n/a'  # what ``mmcv.utils.collect_env`` reports when ops are absent
        return MissingCompiledOp(name)


def ensure_mmcv_ops() -> bool:
    """Make ``import mmcv.ops`` work on ``mmcv-lite``.

    Returns:
        True when the compiled ops are really there; then nothing is stubbed.
    """
    name = 'mmcv._ext'
    module = sys.modules.get(name)
    if module is not None:
        return not getattr(module, 'is_stub', False)
    if importlib.util.find_spec(name) is not None:
        return True  # built ops exist; if they are broken (ABI), let their own error show
    stub = _StubExt(name, MissingCompiledOp.__doc__)
    # A module spec with no loader: ``mmengine.utils.dl_utils.mmcv_full_available`` asks
    # ``pkgutil.find_loader`` and must go on answering False. (With ``__spec__ = None`` it would
    # raise ImportError instead.)
    stub.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    sys.modules[name] = stub
    return False


def admit_missing_ops() -> None:
    """The forks' ``mmcv_full_available`` takes any spec of ``mmcv._ext`` for the ops, also that of
    the stub.
    """
    from mmengine.utils import dl_utils
    if getattr(sys.modules.get('mmcv._ext'), 'is_stub', False) and dl_utils.mmcv_full_available():
        dl_utils.mmcv_full_available = dl_utils.misc.mmcv_full_available = lambda: False


def name_channel_conversion() -> None:
    """The forks' segmentation preprocessor says whether it swaps channels under mmengine's private
    name only.
    """
    from mmengine.model import ImgDataPreprocessor
    if uses_forks():
        ImgDataPreprocessor.channel_conversion = property(lambda self: self._channel_conversion)


def read_checkpoints_safely() -> None:
    """Every address mmengine can read a checkpoint from leads to
    :mod:`mmseg_dg.utils.checkpoint_reader`.

    mmengine 0.10.7 calls ``torch.load`` without ``weights_only``, and for web addresses torch's
    hub, which still unpickles fully: a file named by ``openmmlab://``, ``torchvision://``,
    ``modelzoo://``, ``mmcls://`` or a URL could run code. ``pavi://`` (a service that is gone) is
    refused.
    """
    from mmengine.runner import checkpoint as library
    loaders = {('', ): _load_local,
               ('http://', 'https://'): _load_http, ('pavi://', ): _refuse_address,
               (r'(\S+\:)?s3://', r'(\S+\:)?petrel://'): _load_from_store,
               ('modelzoo://', 'torchvision://'): _load_from_torchvision,
               ('open-mmlab://', 'openmmlab://'): _load_from_openmmlab,
               ('mmcls://', ): _load_from_mmcls}
    for prefixes, loader in loaders.items():
        library.CheckpointLoader.register_scheme(prefixes=prefixes, loader=loader, force=True)
    for name, loader in (('local', _load_local), ('http', _load_http), ('ceph', _load_from_store),
                         ('pavi', _refuse_address), ('torchvision', _load_from_torchvision),
                         ('openmmlab', _load_from_openmmlab), ('mmcls', _load_from_mmcls)):
        loader.__name__ = f'load_from_{name}'  # from which mmengine's log takes a word
        setattr(library, loader.__name__, loader)  # they call each other by these names


def _load_local(filename, map_location=None):
    from mmseg_dg.utils.checkpoint_reader import read_checkpoint
    return read_checkpoint(filename, map_location)


def _load_http(filename, map_location=None, model_dir=None, progress=None):
    """Process 0 downloads into torch's cache, then all read the file there."""
    from urllib.parse import urlparse

    import torch
    from mmengine.dist import barrier, get_dist_info

    folder = Path(model_dir) if model_dir else Path(torch.hub.get_dir()) / 'checkpoints'
    path = folder / Path(urlparse(filename).path).name
    if get_dist_info()[0] == 0 and not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(path), progress=sys.stderr.isatty())
    barrier()
    return _load_local(str(path), map_location)


def _load_from_store(filename, map_location=None, backend='petrel'):
    from mmengine.fileio import get_file_backend

    from mmseg_dg.utils.checkpoint_reader import checkpoint_from_bytes
    data = get_file_backend(filename, backend_args={'backend': backend}).get(filename)
    return checkpoint_from_bytes(bytes(data), filename, map_location)


def _address_of(filename: str, known: dict) -> str:
    """The web address or file that a short name such as ``torchvision://resnet50`` stands for."""
    scheme, _, name = filename.partition('://')
    if name not in known:
        import difflib
        close = difflib.get_close_matches(name, list(known), n=3)
        raise ValueError(f'{filename}: {scheme}:// knows no {name!r}'
                         + (f'; similar: {close}' if close else ''))
    return known[name]


def _load_from_torchvision(filename, map_location=None):
    from mmengine.runner import checkpoint as library
    return _load_http(_address_of(filename, library.get_torchvision_models()), map_location)


def _load_from_openmmlab(filename, map_location=None):
    from mmengine.runner import checkpoint as library
    scheme, _, name = filename.partition('://')
    name = library.get_deprecated_model_names().get(name, name)
    address = _address_of(f'{scheme}://{name}', library.get_external_models())
    if address.startswith(('http://', 'https://')):
        return _load_http(address, map_location)
    return _load_local(str(Path(library._get_mmengine_home()) / address), map_location)


def _load_from_mmcls(filename, map_location=None):
    from mmengine.runner import checkpoint as library
    content = _load_http(_address_of(filename, library.get_mmcls_models()), map_location)
    return library._process_mmcls_checkpoint(content)


def _refuse_address(filename, map_location=None):
    """
    Raises:
        ValueError: Always.
    """
    raise ValueError(f'{filename}: this address is not read; fetch the file yourself and give its '
                     'path')


def find_checkpoints_by_looking() -> None:
    """``resume=True`` takes the newest checkpoint that can be read and lies in the work dir itself.

    mmengine follows ``last_checkpoint``: without that file it begins again at iteration 0, and with
    a copied one it goes on in another folder.
    """
    import importlib

    def find_latest_checkpoint(path):
        from mmseg_dg.utils.work_dir import newest_for_all_processes
        return newest_for_all_processes(path)

    for name in ('runner', 'checkpoint'):
        importlib.import_module(
            f'mmengine.runner.{name}').find_latest_checkpoint = find_latest_checkpoint
    importlib.import_module('mmengine.runner').find_latest_checkpoint = find_latest_checkpoint


def restore_find_loader() -> None:
    """``mmengine`` calls ``pkgutil.find_loader``, gone in Python 3.14."""
    import pkgutil
    if hasattr(pkgutil, 'find_loader'):
        return

    def find_loader(fullname):
        spec = importlib.util.find_spec(fullname)
        return spec.loader if spec is not None else None

    pkgutil.find_loader = find_loader


def describe_torchvision_ops() -> bool:
    """Let a CUDA build of torchvision be imported beside a CPU-only torch.

    It cannot load its C++ ops there and then fails, with a RuntimeError, to *describe* two of them;
    naming these first is enough. mmengine imports torchvision, if there is one, whenever a runner
    starts, and expects an ImportError at worst.

    Returns:
        True when such a pair was found and the ops were named.
    """
    import torch
    global _TORCHVISION_OPS  # the definitions live as long as this object
    spec = importlib.util.find_spec('torchvision')
    built_for_gpu = torch.version.cuda is not None or torch.version.hip is not None
    if built_for_gpu or spec is None or spec.origin is None:
        return False
    if hasattr(torch.ops.torchvision, 'nms'):
        return False  # loaded or named already
    try:  # as torchvision does when it is imported; a build for this torch names its ops itself
        torch.ops.load_library(str(next(Path(spec.origin).parent.glob('_C*'))))
        return False
    except (OSError, StopIteration):
        pass
    _TORCHVISION_OPS = torch.library.Library('torchvision', 'FRAGMENT')
    for op in ('nms', 'qnms'):
        _TORCHVISION_OPS.define(f'{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    return True


def ensure_torchvision() -> None:
    """Import torchvision, which mmpretrain needs and does not declare.

    Raises:
        ImportError: torchvision is not installed; the message has the pip command.
    """
    import torch
    if importlib.util.find_spec('torchvision') is None:
        raise ImportError('mmpretrain needs torchvision, of the release that matches torch '
                          f'{torch.__version__}:\n    pip install torchvision\nor, beside a '
                          'CPU-only torch: pip install --no-deps torchvision==<matching release>')
    import torchvision  # noqa: F401


def register_mim_scope() -> None:
    """Let configs elsewhere write ``_base_ = 'mmseg_dg::path/to/config.py'``.

    And ``mmseg::...`` beside the maintained forks, whose mmengine still looks for a distribution
    ``mmsegmentation``.
    """
    from mmengine.config.utils import MODULE2PACKAGE
    MODULE2PACKAGE.setdefault('mmseg_dg', 'mmseg_dg')
    for fork in (part.fork for part in SUPPORTED if part.fork and part.module in MODULE2PACKAGE):
        if installed_version(fork, fork.names[0]):
            MODULE2PACKAGE[fork.module] = fork.names[0]


def merge_dicts_over_none() -> None:
    """Let a child config (and ``--cfg-options``) put a dict where its base has None, and use
    numbers as keys.

    mmengine 0.10.7 refuses the first with a TypeError, although None holds nothing to inherit;
    leaves the word ``_delete_`` in a dict whose base has nothing to delete; and asks a number for
    ``isdigit`` in a merge of options (``label_map="{255: 1}"``).
    """
    from mmengine.config import Config
    from mmengine.config.config import DELETE_KEY
    original = Config._merge_a_into_b
    if getattr(original, 'replaces_none', False):
        return

    def plain(node):
        if isinstance(node, dict):
            return type(node)(
                {key: plain(value)
                 for key, value in node.items() if key != DELETE_KEY})
        return node

    def merge(a, b, allow_list_keys=False):
        if not isinstance(b, dict):
            return original(a, b, allow_list_keys)
        a, b = dict(a), b.copy()
        for key, value in list(a.items()):
            if not isinstance(key, str):
                b[key] = a.pop(key)
            elif isinstance(value, dict) and (key not in b or b[key] is None):
                b.pop(key, None)
                a[key] = plain(value)
        return original(a, b, allow_list_keys)

    merge.replaces_none = True
    Config._merge_a_into_b = staticmethod(merge)


def setup() -> None:
    """Everything above, in order; called once by ``import mmseg_dg``."""
    check_versions()
    silence_pkg_resources()
    silence_binary_advice()
    silence_library_notices()
    check_opencv()
    restore_find_loader()
    ensure_mmcv_ops()
    admit_missing_ops()
    name_channel_conversion()
    read_checkpoints_safely()
    find_checkpoints_by_looking()
    keep_tables_in_the_file()
    describe_torchvision_ops()
    register_mim_scope()
    merge_dicts_over_none()
