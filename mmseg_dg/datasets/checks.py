"""Checks that turn a wrong folder or a missing label into a message, before the first iteration.

They work on stock mmseg datasets too. Files are found by listing folders once, not by asking for
each file.
"""
import os
import os.path as osp
import re
from collections import Counter
from typing import Any, Optional

import mmengine.fileio as fileio
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations

from mmseg_dg.registry import DATASETS

from .binary_masks import check_binary
from .folder_scan import is_local, left_out_text, scan_folder
from .image_lists import read_lines, refuse_columns
from .messages import missing_message
from .splits.protocols import missing_list_hint
from .traits import traits
from .wrappers import transforms_of

#: Ends of the messages of :func:`check_files`.
_LIST_HINT = 'Correct data_prefix, img_suffix or the list (ann_file)'
_LABEL_HINT = ('Convert or add the labels, correct seg_map_suffix, leave these images out with a '
               'list (ann_file), or drop LoadAnnotations from the pipeline of an unlabeled stream')


def loads_labels(pipeline: Any) -> bool:
    """Whether a built pipeline reads label files: it has a ``LoadAnnotations`` of mmcv, mmseg or
    this package, also inside another transform.
    """
    return any(isinstance(step, BaseLoadAnnotations) for step in transforms_of(pipeline))


def list_files(folder: str, suffix: Any, backend_args: Optional[dict] = None) -> list[str]:
    """Paths below ``folder``, relative to it, that end with ``suffix`` (a string or a tuple),
    sorted.

    Hidden files and folders, broken links and folders that are named like a file are left out:
    :func:`mmseg_dg.datasets.folder_scan.scan_folder` says which.
    """
    return scan_folder(folder, suffix, backend_args).files


def check_folder(folder: str, what: str, owner: str, hint: str,
                 backend_args: Optional[dict] = None) -> None:
    """Raise FileNotFoundError when ``folder`` is not there; remote folders are taken on trust.

    Args:
        folder: The folder.
        what: What lies in it (``image``), for the message.
        owner: Who needs it, for the message.
        hint: What to do, ends the message.
        backend_args: mmengine's file backend options.
    """
    if is_local(folder, backend_args) and not osp.isdir(folder):
        # the message shows what lies in the nearest folder above that exists
        parent = folder
        while parent and not osp.isdir(parent):
            parent = osp.dirname(parent.rstrip('/'))
        has = sorted(os.listdir(parent or '.'))[:8]
        raise FileNotFoundError(
            f'{owner}: no {what} folder {folder!r}; '
            f'{parent or "the current folder"!r} is there and has {has}. {hint}')


def check_not_empty(files: list[str], folder: str, suffix: Any, what: str, owner: str,
                    backend_args: Optional[dict] = None) -> None:
    """Raise FileNotFoundError when a folder has no files with a suffix; the message names the
    endings that are there.

    Args:
        files: Those of ``folder`` that end with ``suffix``: nothing is raised where there are any.
        folder: Where they were looked for.
        suffix: An ending, or a tuple of them.
        what: ``'image'``, ``'label'`` or ``'mask'``, for the message.
        owner: Who needs them, for the message.
        backend_args: mmengine's file backend options.
    """
    if files:
        return
    everything = list_files(folder, None, backend_args)
    if not everything:  # nothing that counts: perhaps hidden files, broken links
        others = left_out_text(scan_folder(folder, suffix, backend_args).left_out)
        found = f'has none, only {others}' if others else 'is empty'
        raise FileNotFoundError(f'{owner}: the {what} folder {folder!r} {found}; put the data '
                                'there or correct data_root / data_prefix')
    endings = [f'*{end} ({n})' for end, n in Counter(map(_ending, everything)).most_common(4)]
    raise FileNotFoundError(f'{owner}: no {what} in {folder!r} ends with {suffix!r}; found '
                            f'{", ".join(endings)}. Set '
                            f'{"img_suffix" if what == "image" else "seg_map_suffix"} to match')


def _ending(path: str) -> str:
    """The likely suffix of a file name, words behind the last number included:
    ``_leftImg8bit.png`` for ``aachen_000000_leftImg8bit.png``.
    """
    stem, extension = osp.splitext(osp.basename(path))
    words = re.search(r'(_[A-Za-z]+(8bit)?)+$', stem)
    return (words.group() if words else '') + extension


def files_beside(paths: list[str], backend_args: Optional[dict]) -> set:
    """All files that exist in the folders of ``paths``, each of which is listed once: faster than
    asking for every file.
    """
    found: set[str] = set()
    for folder in {osp.dirname(path) for path in paths}:
        if is_local(folder, backend_args):
            if osp.isdir(folder):  # one that is not there has no files
                found.update(
                    osp.join(folder, entry.name) for entry in os.scandir(folder)
                    # a broken link is no file
                    if not entry.is_symlink() or osp.exists(entry.path))
        else:
            found.update(
                osp.join(folder, name) for name in fileio.list_dir_or_file(
                    folder, list_dir=False, backend_args=backend_args))
    return found


def missing_of(paths: list[str], backend_args: Optional[dict] = None) -> set:
    """Those of ``paths`` that do not exist."""
    return set(paths) - files_beside(paths, backend_args)


def check_files(images: list[str], labels: list[str], owner: str,
                backend_args: Optional[dict] = None) -> None:
    """Raise FileNotFoundError when listed images or labels do not exist.

    Args:
        images: Image paths that come from a list file (pass [] for images found by listing).
        labels: Label paths derived from the images ([] for unlabeled data).
        owner: Name for the message.
        backend_args: mmengine's file backend options.
    """
    for paths, what, hint in ((images, 'listed images are', _LIST_HINT),
                              (labels, 'images have no label; labels', _LABEL_HINT)):
        if paths:
            existing = files_beside(paths, backend_args)
            missing = [path for path in paths if path not in existing]
            if missing:
                raise FileNotFoundError(missing_message(owner, what, missing, len(paths), hint))


def check_leaf(dataset: Any) -> None:
    """Check the files of one dataset that is not a wrapper and hand its ``backend_args`` to its
    loaders.

    Datasets without ``data_prefix['img_path']`` (classification folders, generated data) are only
    checked for being empty.

    Raises:
        FileNotFoundError: Missing files.
        ValueError: No samples, or binary 0/255 masks.
    """
    share_backend_args(dataset)
    traits(dataset).load_list()
    owner = type(dataset).__name__
    if len(dataset) == 0:
        raise ValueError(f'{owner}: the dataset has no samples; check data_root, data_prefix and '
                         'ann_file')
    _check_pairs(dataset, owner)
    check_binary(dataset)


def _check_pairs(dataset: Any, owner: str) -> None:
    """Refuse a list that is not read as it was meant and images in hidden folders (ValueError), and
    images or labels that are missing (FileNotFoundError); mmseg's own datasets check none of it.
    """
    described = traits(dataset)
    if described.checks_itself or not described.pairs_files:
        return
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    # images that were found by listing the folder need no look; those of a list may be missing
    listed = bool(described.ann_file)
    images = [info['img_path'] for info in infos if 'img_path' in info] if listed else []
    # mmseg makes a path of every line: of a blank one nothing but the suffix
    if any(osp.basename(path) == described.img_suffix for path in images):
        raise ValueError(f'{owner}: the list {dataset.ann_file!r} has blank lines: remove them')
    _check_list(dataset, images, owner)
    _check_hidden(dataset, infos, owner)
    wanted = loads_labels(described.pipeline)
    labels = [info['seg_map_path'] for info in infos if info.get('seg_map_path')] if wanted else []
    check_files(images, labels, owner, dataset.backend_args)


def _check_list(dataset: Any, images: list[str], owner: str) -> None:
    """Refuse (ValueError) a list that a dataset of mmseg itself misreads, since it takes lines as
    they are: blanks at their ends, a byte order mark, two columns. ``images`` are its paths.
    """
    described = traits(dataset)
    folder, suffix = described.image_folder, str(described.img_suffix)
    missing = missing_of(images, dataset.backend_args)
    if not missing or not osp.isfile(dataset.ann_file):
        return
    # the lines as the dataset read them, of its paths; read_lines takes a byte order mark away
    names = [path[len(folder):].lstrip('/').removesuffix(suffix) for path in images]
    if names[0] != read_lines(dataset.ann_file, owner)[0]:
        raise ValueError(f'{owner}: the list {dataset.ann_file!r} begins with a byte order mark, '
                         'which this dataset takes for a part of the first name: save it as UTF-8 '
                         'without one (without BOM)')
    refuse_columns(names, [name for name, path in zip(names, images) if path in missing],
                   dataset.ann_file, owner)


def _check_hidden(dataset: Any, infos: list[dict], owner: str) -> None:
    """Refuse (ValueError) images in hidden folders, which mmseg's own datasets take as well.

    ``infos`` are those of all its samples; remote folders are not looked at.
    """
    folder = traits(dataset).image_folder
    if not folder or not is_local(folder, dataset.backend_args):
        return
    hidden = [
        info['img_path'] for info in infos if 'img_path' in info and any(
            part.startswith('.') and part not in ('.', '..')
            for part in osp.relpath(info['img_path'], folder).split(os.sep))
    ]
    if hidden:
        raise ValueError(f'{owner}: {len(hidden)} of {len(infos)} images are in hidden folders, '
                         f'for example {hidden[0]!r}: copies that a program keeps, most likely. '
                         'Delete these folders, or name the images in a list (ann_file)')


def share_backend_args(dataset: Any) -> None:
    """Let the loading transforms of a dataset read through its ``backend_args`` unless they have
    their own.
    """
    backend_args = traits(dataset).backend_args
    if backend_args:
        for step in transforms_of(traits(dataset).pipeline):
            # a loading step of mmcv or of this package that was given none
            if getattr(step, 'backend_args', backend_args) is None:
                step.backend_args = dict(backend_args)


def build_checked(cfg: dict) -> Any:
    """Build a dataset from its config; when a stock dataset fails because of its folders, the error
    says which and what to do (:func:`_explain`), any other error comes through as it is.
    """
    try:
        return DATASETS.build(cfg)
    except (AssertionError, ValueError, OSError) as error:
        _explain(cfg, error)
        raise


def _explain(cfg: dict, error: Exception) -> None:
    """Raise a clearer error if the folders of a stock dataset explain why building it failed.

    Returns where they do not; the caller then raises ``error`` again.

    Args:
        cfg: Dataset config; of a wrapper each dataset inside is looked at.
        error: What building it raised.

    Raises:
        FileNotFoundError: The list or the image folder is not there, or no image has the suffix.
        ValueError: The list is empty.
    """
    inner = cfg.get('datasets') or ([cfg['dataset']] if 'dataset' in cfg else [])
    for part in inner:
        if isinstance(part, dict):
            _explain(part, error)
    prefix = (cfg.get('data_prefix') or {}).get('img_path')
    if inner or not isinstance(prefix, str):
        return
    owner, backend_args = str(cfg.get('type', 'dataset')), cfg.get('backend_args')
    root, ann_file = cfg.get('data_root') or '', cfg.get('ann_file') or ''
    folder, ann_file = osp.join(root, prefix), ann_file and osp.join(root, ann_file)
    if not is_local(folder, backend_args):
        return
    try:
        if ann_file and not osp.isfile(ann_file):
            raise FileNotFoundError(f'{owner}: no list file {ann_file!r}; correct ann_file or '
                                    f'write the list{missing_list_hint(ann_file, owner)}')
        check_folder(
            folder, 'image', owner, 'Correct data_root / data_prefix, or see the dataset '
            'page of the docs for how to prepare it')
        if 'at least one array' in str(error):  # what mmengine says when it finds no samples
            if ann_file:
                raise ValueError(f'{owner}: the list {ann_file!r} is empty')
            # no file was found: raises always, and names what lies there instead
            check_not_empty([], folder, cfg.get('img_suffix', 'the suffix of this class'), 'image',
                            owner)
    except (FileNotFoundError, ValueError) as explained:
        raise explained from error
