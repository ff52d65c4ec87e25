"""Reading config files: a config's own folder is where its modules are looked for."""
import sys
from pathlib import Path
from typing import Union

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

#: Key of a config that was read: the folder its own modules came from. The copy of the config in
#: a work dir has it too, and finds them there.
MODULES_FOLDER = 'modules_folder'


def read_config_file(path: Union[str, Path]) -> Config:
    """A config with its ``custom_imports`` imported; modules may lie beside the config.

    The folder goes to the end of ``sys.path``: a file of the user never takes the place of an
    installed module of the same name.

    Args:
        path: Config file.

    Returns:
        The config; with :data:`MODULES_FOLDER` where one of its imports lies beside the file.

    Raises:
        FileNotFoundError: No such config.
        ImportError: A module that is neither installed nor beside the config, or one that fails
            while it is imported.
    """
    cfg = Config.fromfile(str(path), import_custom_modules=False)
    if not cfg.get('custom_imports'):
        return cfg
    beside = Path(path).resolve().parent
    folders = [str(beside)]
    if cfg.get(MODULES_FOLDER):  # the copy of a config in a work dir says where its modules are
        folders.append(cfg[MODULES_FOLDER])
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    try:
        import_modules_from_strings(**cfg.custom_imports)
    except ImportError as error:
        # mmengine's own message has only the name; its cause says what was not found
        missing = error.__context__
        # a module was found and fails to import something else: its own message is right
        if not isinstance(missing, ModuleNotFoundError) or missing.name not in _imported_names(cfg):
            raise
        raise ImportError(
            f'{path}: custom_imports names {missing.name!r}, which is neither installed nor in '
            f'{" or ".join(folders)}') from None
    if any(_lies_in(name, beside) for name in _imported_names(cfg)):
        cfg[MODULES_FOLDER] = str(beside)
    return cfg


def _imported_names(cfg: Config) -> set[str]:
    """Modules of ``custom_imports`` and the packages they are part of: ``a.b`` gives a, a.b."""
    imports = cfg.custom_imports.get('imports') or []
    names = [imports] if isinstance(imports, str) else imports
    return {name.rsplit('.', cut)[0] for name in names for cut in range(name.count('.') + 1)}


def _lies_in(name: str, folder: Path) -> bool:
    """Whether the file of an imported module lies in a folder or below it."""
    file = getattr(sys.modules.get(name), '__file__', None)
    return file is not None and folder in Path(file).resolve().parents
