"""Reading config files: a config's own folder is where its modules are looked for."""
import os
import sys
from pathlib import Path
from typing import Optional, Union

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

#: Key of a config that was read: the folder its own modules came from. The copy of the config in
#: a work dir has it too, and finds them there.
MODULES_FOLDER = 'modules_folder'
#: Functions of mmengine that read one file, in their variable ``filename``.
_READERS = ('_is_lazy_import', '_file2dict', '_parse_lazy_import')


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
        ValueError: Whatever reading or executing it, or one of its bases, raises; the message names
            the file, and the line where there is one.
        ImportError: A module that is neither installed nor beside the config, or one that fails
            while it is imported.
    """
    try:
        cfg = Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:  # a config is code, which may raise anything
        if not os.path.isfile(path):
            raise
        raise ValueError(_message(error, str(path))) from error
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


def _message(error: Exception, path: str) -> str:
    """``FILE, line 3: NameError: ...`` of what reading the config at ``path`` has raised; FILE is
    the config or one of its bases.
    """
    file = path
    line: Optional[int] = None
    trace = error.__traceback__
    while trace is not None:  # from the call of mmengine down to the statement that failed
        code, names = trace.tb_frame.f_code, trace.tb_frame.f_locals
        if code.co_name in _READERS and os.path.isfile(names.get('filename', '')):
            if not os.path.samefile(names['filename'], file):
                file, line = names['filename'], None
        elif os.path.isfile(code.co_filename) and os.path.samefile(code.co_filename, file):
            line = trace.tb_lineno  # mmengine compiles a config under its own path
        trace = trace.tb_next
    text = str(error)
    if isinstance(error, SyntaxError):
        line, text = error.lineno, error.msg
    elif isinstance(error, UnicodeDecodeError):
        text = f'not a text in UTF-8 ({error}); save it as UTF-8'
    elif not isinstance(error, ValueError):
        text = f'{type(error).__name__}: {text}'
    return f'{file}, line {line}: {text}' if line else f'{file}: {text}'


def _imported_names(cfg: Config) -> set[str]:
    """Modules of ``custom_imports`` and the packages they are part of: ``a.b`` gives a, a.b."""
    imports = cfg.custom_imports.get('imports') or []
    names = [imports] if isinstance(imports, str) else imports
    return {name.rsplit('.', cut)[0] for name in names for cut in range(name.count('.') + 1)}


def _lies_in(name: str, folder: Path) -> bool:
    """Whether the file of an imported module lies in a folder or below it."""
    file = getattr(sys.modules.get(name), '__file__', None)
    return file is not None and folder in Path(file).resolve().parents
