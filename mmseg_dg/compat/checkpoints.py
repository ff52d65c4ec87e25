"""How mmengine finds and reads checkpoints: safely, and by looking."""
import importlib
import sys
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlparse

#: What ``torch.load`` takes for ``map_location``.
MapLocation = Any


def read_checkpoints_safely() -> None:
    """Let mmengine read checkpoints, of every kind of address, by
    :mod:`mmseg_dg.utils.checkpoint_reader`.

    mmengine 0.10.7 calls ``torch.load`` without ``weights_only``, and for web addresses torch's
    hub, which still unpickles fully: a file named by ``openmmlab://``, ``torchvision://``,
    ``modelzoo://``, ``mmcls://`` or a URL could run code. ``pavi://`` (a service that is gone) is
    refused.
    """
    from mmengine.runner import checkpoint as library
    # beginnings of addresses (regular expressions) -> who reads them; '' is the rest: local files
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
        setattr(library, loader.__name__, loader)  # mmengine's own code calls them by name


def _load_local(filename: str, map_location: MapLocation = None) -> Any:
    """The checkpoint in a local file."""
    from mmseg_dg.utils.checkpoint_reader import read_checkpoint
    return read_checkpoint(filename, map_location)


def _load_http(filename: str, map_location: MapLocation = None, model_dir: Optional[str] = None,
               progress: Any = None) -> Any:
    """The checkpoint at a web address: the first process of each machine downloads it into torch's
    cache (or ``model_dir``) unless it is there, then all read the file. Arguments are those that
    mmengine gives.
    """
    import torch  # here: the versions must be checked first
    from mmengine.dist import barrier, get_local_rank

    folder = Path(model_dir) if model_dir else Path(torch.hub.get_dir()) / 'checkpoints'
    path = folder / Path(urlparse(filename).path).name
    if get_local_rank() == 0 and not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(path), progress=sys.stderr.isatty())
    barrier()
    return _load_local(str(path), map_location)


def _load_from_store(filename: str, map_location: MapLocation = None,
                     backend: str = 'petrel') -> Any:
    """The checkpoint in an object store, read through ``backend``, one of mmengine's file backends
    (``petrel`` is the one it takes for these addresses).
    """
    from mmengine.fileio import get_file_backend

    from mmseg_dg.utils.checkpoint_reader import checkpoint_from_bytes
    content = get_file_backend(filename, backend_args={'backend': backend}).get(filename)
    return checkpoint_from_bytes(bytes(content), filename, map_location)


def _address_of(filename: str, table: dict) -> str:
    """The web address or file that a short name such as ``torchvision://resnet50`` stands for.

    Args:
        filename: The short name.
        table: The library's addresses by name (without the scheme).

    Raises:
        ValueError: The table does not have it; the message has similar names.
    """
    scheme, _, name = filename.partition('://')
    if name not in table:
        import difflib
        close = difflib.get_close_matches(name, list(table), n=3)
        raise ValueError(f'{filename}: {scheme}:// knows no {name!r}'
                         + (f'; similar: {close}' if close else ''))
    return table[name]


def _load_from_torchvision(filename: str, map_location: MapLocation = None) -> Any:
    """The checkpoint ``torchvision://NAME`` or ``modelzoo://NAME``, of torchvision's models."""
    from mmengine.runner import checkpoint as library
    return _load_http(_address_of(filename, library.get_torchvision_models()), map_location)


def _load_from_openmmlab(filename: str, map_location: MapLocation = None) -> Any:
    """The checkpoint ``openmmlab://NAME`` or ``open-mmlab://NAME``, a name of mmengine's table of
    files; arguments are those that mmengine gives.
    """
    from mmengine.runner import checkpoint as library
    scheme, _, name = filename.partition('://')
    # a name that was renamed stands for the new one; entries are web addresses, or files below
    # mmengine's home folder
    name = library.get_deprecated_model_names().get(name, name)
    address = _address_of(f'{scheme}://{name}', library.get_external_models())
    if address.startswith(('http://', 'https://')):
        return _load_http(address, map_location)
    return _load_local(str(Path(library._get_mmengine_home()) / address), map_location)


def _load_from_mmcls(filename: str, map_location: MapLocation = None) -> Any:
    """The checkpoint ``mmcls://NAME``, of which only the encoder is kept, without the prefix of its
    names, as mmengine does.
    """
    from mmengine.runner import checkpoint as library
    content = _load_http(_address_of(filename, library.get_mmcls_models()), map_location)
    return library._process_mmcls_checkpoint(content)


def _refuse_address(filename: str, map_location: MapLocation = None) -> Any:
    """Stands for a loader of addresses that are not supported.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f'{filename}: this address is not read; fetch the file yourself and give its '
                     'path')


def find_checkpoints_by_looking() -> None:
    """Let ``resume=True`` take the newest readable checkpoint that lies in the work dir itself:
    replaces mmengine's function under each of its names.

    mmengine follows ``last_checkpoint``: without that file it begins again at iteration 0, and with
    a copied one it goes on in another folder.
    """
    def find_latest_checkpoint(path: str) -> Optional[str]:
        """The path of that checkpoint; None where there is none."""
        from mmseg_dg.utils.work_dir import newest_for_all_processes
        return newest_for_all_processes(path)

    for name in ('mmengine.runner', 'mmengine.runner.runner', 'mmengine.runner.checkpoint'):
        module: Any = importlib.import_module(name)
        module.find_latest_checkpoint = find_latest_checkpoint
