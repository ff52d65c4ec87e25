"""Compiled parts that are missing or do not fit: system libraries of OpenCV, ops of mmcv and of
torchvision.
"""
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

from .versions import FORKED_MMCV_INSTALL, MMCV_INSTALL, uses_forks

#: A ``torch.library.Library``: the definitions of torchvision's ops live as long as this object.
_torchvision_ops: Any = None


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
        if '.so' not in str(error):  # no shared library is missing: OpenCV itself, say
            raise
        raise ImportError(
            f'OpenCV cannot be loaded: {error}. Either install the system libraries (Debian, '
            'Ubuntu: apt-get install libgl1 libglib2.0-0 libxcb1) or the wheel that needs none:\n '
            '   pip uninstall -y opencv-python && pip install opencv-python-headless') from error


class MissingCompiledOp:
    """Callable put where a compiled mmcv op would be; raises when called."""
    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
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

    def __getattr__(self, name: str) -> Any:
        """An op by its name; it raises when it is called, not when it is looked up."""
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
    # ``pkgutil.find_loader`` and must go on answering False. (With ``__spec__ = None`` that call
    # would raise ImportError instead.)
    stub.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    sys.modules[name] = stub
    return False


def admit_missing_ops() -> None:
    """Let mmengine's ``mmcv_full_available`` answer False where :func:`ensure_mmcv_ops` has put a
    stub: that of the forks takes any spec of ``mmcv._ext`` for the ops, also the stub's.
    """
    from mmengine.utils import dl_utils
    if getattr(sys.modules.get('mmcv._ext'), 'is_stub', False) and dl_utils.mmcv_full_available():
        dl_utils.mmcv_full_available = dl_utils.misc.mmcv_full_available = lambda: False


def describe_torchvision_ops() -> bool:
    """Let a CUDA build of torchvision be imported beside a CPU-only torch.

    It cannot load its C++ ops there and then fails, with a RuntimeError, to *describe* two of them;
    naming these first is enough. mmengine imports torchvision, if there is one, whenever a runner
    starts, and expects an ImportError at worst.

    Returns:
        True when such a pair was found and the ops were named.
    """
    import torch  # here: the versions must be checked first
    global _torchvision_ops
    spec = importlib.util.find_spec('torchvision')
    # of torch; beside such a one torchvision's ops load as usual
    built_for_gpu = torch.version.cuda is not None or torch.version.hip is not None
    if built_for_gpu or spec is None or spec.origin is None:
        return False
    if hasattr(torch.ops.torchvision, 'nms'):
        return False  # loaded or named already
    try:  # as torchvision does when it is imported; a build for this torch names its ops itself
        torch.ops.load_library(str(next(Path(spec.origin).parent.glob('_C*'))))
        return False
    except (OSError, StopIteration):  # it cannot be loaded, or there is no such file
        pass
    # the two ops that torchvision describes at import, without an implementation
    _torchvision_ops = torch.library.Library('torchvision', 'FRAGMENT')
    for op in ('nms', 'qnms'):
        _torchvision_ops.define(f'{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
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
