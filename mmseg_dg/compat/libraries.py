"""Small repairs of mmengine and mmseg: configs, look-ups that are gone, notices that ask for
nothing.
"""
import importlib.util
import warnings
from functools import lru_cache
from importlib.abc import Loader
from typing import Any, Optional

from .versions import SUPPORTED, installed_version, uses_forks


def silence_pkg_resources() -> None:
    """Hide the deprecation warning of pkg_resources, which mmengine imports in every run and
    worker: it tells a user nothing that he can act on.
    """
    warnings.filterwarnings('ignore', message='pkg_resources is deprecated')


def silence_library_notices() -> None:
    """Hide notices of mmseg to users of an earlier release, which come with every run and ask for
    nothing.
    """
    for text in ('``build_loss`` would be deprecated soon', 'Default ``avg_non_ignore`` is False',
                 'The draw is False, it means that the hook for visualization'):
        warnings.filterwarnings('ignore', message=text)


def silence_binary_advice() -> None:
    """Hide mmseg's advice to use one output channel for two classes, which the methods of this
    package cannot train.

    They take the class with the largest softmax probability; of one channel that is class 0, with
    confidence 1.
    """
    for text in ('For binary segmentation, we suggest', 'threshold is not defined for binary'):
        warnings.filterwarnings('ignore', message=text)


def say_variables_once() -> None:
    """Let mmengine say once per process which environment variable fills a place of a config, and
    not again for each file and each reading: a suite reads dozens of configs.
    """
    from mmengine.config import config as library
    original, said = library.print_log, set()
    if getattr(original, 'says_variables_once', False):  # the mark set below: replaced already
        return

    def print_log(message: Any, *args: Any, **kwargs: Any) -> None:
        """mmengine's, which leaves out what has been said of a variable."""
        about_variable = str(message).startswith('Using env variable')
        if not about_variable or message not in said:
            said.update([message] if about_variable else [])
            original(message, *args, **kwargs)

    vars(print_log)['says_variables_once'] = True
    library.print_log = print_log


def lay_out_configs_once() -> None:
    """Let mmengine lay out the text of one config once per process.

    Log, config files, hooks and every checkpoint ask for it, five times in a short training, and
    yapf takes seconds each time (2.6 CPU-seconds for 9 kB of a method's config on a busy core).
    """
    from mmengine.config import config as library
    original = library.FormatCode
    if getattr(original, 'lays_out_once', False):  # the mark set below: replaced already
        return

    @lru_cache(maxsize=8)
    def laid_out(text: str, style: tuple[tuple[str, Any], ...]) -> tuple:
        return original(text, style_config=dict(style))

    def format_code(text: str, *args: Any, **options: Any) -> tuple:
        """yapf's, which remembers the last texts of configs."""
        style = options.get('style_config')
        if args or len(options) != 1 or not isinstance(style, dict):  # not mmengine's call
            return original(text, *args, **options)
        return laid_out(text, tuple(sorted(style.items())))

    vars(format_code)['lays_out_once'] = True
    library.FormatCode = format_code


def name_channel_conversion() -> None:
    """Let the forks' segmentation preprocessor say in ``channel_conversion`` whether it swaps
    channels, as the originals' does: it has mmengine's private ``_channel_conversion`` only.
    """
    from mmengine.model import ImgDataPreprocessor
    if uses_forks():
        ImgDataPreprocessor.channel_conversion = property(lambda self: self._channel_conversion)


def restore_find_loader() -> None:
    """Put ``pkgutil.find_loader`` back, which mmengine calls and Python 3.14 no longer has."""
    import pkgutil
    if hasattr(pkgutil, 'find_loader'):
        return

    def find_loader(fullname: str) -> Optional[Loader]:
        """As before: the loader of a module, None if there is no such module."""
        spec = importlib.util.find_spec(fullname)
        return spec.loader if spec is not None else None

    vars(pkgutil)['find_loader'] = find_loader


def register_mim_scope() -> None:
    """Let configs elsewhere write ``_base_ = 'mmseg_dg::path/to/config.py'``.

    And ``mmseg::...`` beside the maintained forks, whose mmengine still looks for a distribution
    ``mmsegmentation``: its table (module -> name of the distribution) gets the names of those
    forks that are installed.
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
    # a mark of our function: the patch is there already
    if getattr(original, 'replaces_none', False):
        return

    def plain(node: Any) -> Any:
        """A dict without ``_delete_`` at any depth; anything else as it is."""
        if isinstance(node, dict):
            return type(node)(
                {key: plain(value)
                 for key, value in node.items() if key != DELETE_KEY})
        return node

    def merge(a: dict, b: Any, allow_list_keys: bool = False) -> Any:
        """``_merge_a_into_b``: the child ``a`` over its base ``b``.

        mmengine's function does the merge, without what it stumbles over: keys that are no texts
        are set here, and where the base has no value, or None, its entry goes, so that the child's
        dict is taken whole, without its ``_delete_``.

        Args:
            a: Config of the child, or options of the command line.
            b: Config of the base; a list where options name its entries by number.
            allow_list_keys: mmengine's: whether ``'0'`` in ``a`` is an index of a list in ``b``.
        """
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

    vars(merge)['replaces_none'] = True
    Config._merge_a_into_b = staticmethod(merge)
