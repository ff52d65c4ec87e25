"""The only folder that knows library versions and works around them.

It lets mmseg 1.2.2 and mmengine 0.10.7, and their maintained forks, run on today's stack. Nothing
here changes what a computation returns: each function refuses a stack that cannot work, makes an
import or a look-up succeed that would otherwise fail, or settles what a checkpoint file may
contain.
"""
import importlib.util

from mmseg_dg.utils.console import keep_tables_in_the_file

from .checkpoints import find_checkpoints_by_looking, read_checkpoints_safely
from .compiled import (
    MissingCompiledOp,
    admit_missing_ops,
    check_opencv,
    describe_torchvision_ops,
    ensure_mmcv_ops,
    ensure_torchvision,
)
from .libraries import (
    lay_out_configs_once,
    merge_dicts_over_none,
    name_channel_conversion,
    register_mim_scope,
    restore_find_loader,
    say_variables_once,
    silence_binary_advice,
    silence_library_notices,
    silence_pkg_resources,
)
from .versions import (
    FORK_INSTALL,
    FORKED_MMCV_INSTALL,
    MMCV_INSTALL,
    PYTHON_MINIMUM,
    PYTHON_TESTED,
    SUPPORTED,
    Supported,
    check_versions,
    choose_family,
    installed_version,
    uses_forks,
)


def setup() -> None:
    """Check the installed libraries and patch them; called once by ``import mmseg_dg``.

    The order matters in the first half: versions are judged before a library is imported, so that a
    wrong one is named instead of failing somewhere inside, and what the imports of mmengine and
    mmcv stumble over is repaired before the first of them. mmpretrain is optional, so its own need
    (:func:`ensure_torchvision`) is checked where it is used.

    Raises:
        ImportError: A library is missing, or its version or the system does not fit.
    """
    check_versions()
    # warning filters have to stand before the libraries that warn are used
    silence_pkg_resources()
    silence_binary_advice()
    silence_library_notices()
    check_opencv()
    restore_find_loader()
    ensure_mmcv_ops()
    admit_missing_ops()  # looks for the stub that ensure_mmcv_ops leaves
    # from here on independent of each other: patches of single functions and tables
    say_variables_once()
    lay_out_configs_once()
    name_channel_conversion()
    read_checkpoints_safely()
    find_checkpoints_by_looking()
    keep_tables_in_the_file()
    describe_torchvision_ops()
    register_mim_scope()
    merge_dicts_over_none()
