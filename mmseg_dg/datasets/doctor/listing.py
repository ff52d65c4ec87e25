"""Which images and labels a dataset config means, and what is wrong with their being there.

The dataset's own class lists its files, so every layout is understood; only its own checks are held
back, because they stop at the first fault.
"""
import os
import os.path as osp
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from mmengine.dataset import BaseDataset
from mmseg.datasets import BaseSegDataset

from mmseg_dg.registry import DATASETS

from ..base import TrainIdDataset
from ..checks import files_beside, list_files
from ..folder import FolderDataset
from ..folder_scan import (
    BROKEN_LINK,
    HIDDEN,
    NAMED_LIKE_IMAGE,
    PICTURE_SUFFIXES,
    is_local,
    scan_folder,
)
from ..image_lists import read_lines, refuse_columns, stem_of
from ..synthcity_dataset import SynthCityDataset
from ..traits import traits
from ..unlabeled import UnlabeledImageDataset
from .faults import Finding
from .streams import Entry, image_loader, label_loader

#: Reasons for which files are left out, as kinds of faults; other endings are looked at more
#: closely.
_LEFT_OUT = {
    HIDDEN: 'hidden_image', BROKEN_LINK: 'broken_link', NAMED_LIKE_IMAGE: 'folder_like_image'
}


@dataclass(eq=False)
class Listing:
    """What one dataset consists of.

    Attributes:
        entry: Where it comes from.
        dataset: Initialized far enough to name its files; None when that failed.
        infos: One per sample whose files are there: ``img_path`` and, if labels are loaded,
            ``seg_map_path`` and how to read it.
        listed: Number of samples before missing ones were taken out.
        loader: The built label loading step, or None for an unlabeled stream.
        image_loader: The image loading step, see
            :func:`~mmseg_dg.datasets.doctor.streams.image_loader`.
        findings: What was found so far.
        smallest: Position in ``infos`` of the smallest image that is in order.
    """
    entry: Entry
    dataset: Any = None
    infos: list[dict] = field(default_factory=list)
    listed: int = 0
    loader: Any = None
    image_loader: Any = None
    findings: list[Finding] = field(default_factory=list)
    smallest: Optional[int] = None

    @property
    def stream(self) -> str:
        """Name of its stream, see :class:`Entry`."""
        return self.entry.stream

    @property
    def classes(self) -> tuple:
        """Names of the dataset's classes; empty where it names none."""
        return traits(self.dataset).classes

    @property
    def palette(self) -> Optional[list]:
        """RGB per class as lists, which compare equal to each other; None without a palette."""
        palette = traits(self.dataset).metainfo.get('palette')
        return None if palette is None else [list(color) for color in palette]

    def add(self, kind: str, path: str, detail: str = '', image: str = '') -> None:
        """Add a :class:`Finding` of this stream."""
        self.findings.append(
            Finding(kind=kind, stream=self.stream, path=str(path), detail=detail, image=image))


def list_entry(entry: Entry) -> Listing:
    """List the files of one dataset; never raises for bad data."""
    listing = Listing(entry)
    config = dict(entry.config)
    try:
        listing.loader, listing.image_loader = label_loader(config), image_loader(config)
        cls = DATASETS.get(config['type']) if isinstance(config.get('type'),
                                                         str) else config.get('type')
        if cls is None:
            listing.add('refused', entry.key, f'type={config.get("type")!r} is not registered')
            return listing
        if issubclass(cls, SynthCityDataset) and not _rendered(cls, config):
            listing.add('not_checked', entry.key, 'the pictures are not rendered yet; the first '
                        'run does that')
            return listing
        _list(listing, config, cls)
    except Exception as error:  # whatever a dataset class does with wrong folders
        # a missing folder or a wrong ending says more than the class' own message
        if not _explain(listing, config):
            listing.add('refused', entry.key, f'{type(error).__name__}: {error}')
    return listing


def _rendered(cls: type, config: dict) -> bool:
    """Whether the folder of a rendered dataset is there; otherwise listing its files would render
    them.
    """
    # only its arguments are looked at, which give it its folder (``data_root``)
    dataset = cls(**{k: v
                     for k, v in config.items()
                     if k not in ('type', '_scope_', 'pipeline')}, lazy_init=True)
    return osp.isdir(dataset.data_root)


def _list(listing: Listing, config: dict, cls: type) -> None:
    """Build the dataset and list its files; what is wrong with them becomes findings.

    Args:
        listing: Gets the dataset, the samples (``infos``) and the findings.
        config: A copy of the dataset's config; changed.
        cls: The class that the config's ``type`` means.
    """
    config.update(pipeline=[])  # files are listed, none is loaded
    if not (isinstance(cls, type) and issubclass(cls, BaseDataset)):
        listing.dataset = DATASETS.build(config)
        listing.add('not_checked', listing.entry.key, f'{cls.__name__} is no mmengine dataset')
        return
    names = _read_list(listing, config) if issubclass(cls, BaseSegDataset) else None
    if names is not None and not names:  # a missing or empty list, which is a finding already
        return
    dataset = listing.dataset = DATASETS.build(dict(config, lazy_init=True))
    if names is not None:
        _use_names(dataset, names)
    dataset.full_init()  # lists the files, unless ``_use_names`` has let it do so
    if len(dataset) == 0 and _explain(listing, config):
        return
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    listing.listed = len(infos)
    if infos and not infos[0].get('img_path'):
        listing.add('not_checked', listing.entry.key, f'{cls.__name__} does not say where its '
                    'images are')
        return
    if listing.loader is not None and infos and not infos[0].get('seg_map_path'):
        listing.add('refused', listing.entry.key, "the pipeline loads labels, but data_prefix has "
                    "no 'seg_map_path'")
        return
    _find_missing(listing, infos)
    if traits(dataset).pairs_files and not traits(dataset).ann_file and listing.infos:
        _find_unused(listing, infos)


def _read_list(listing: Listing, config: dict) -> Optional[list[str]]:
    """Distinct names of ``ann_file``; None when there is no list in mmseg's format, [] when the
    list is missing or names nothing. What is wrong with it becomes findings.
    """
    ann_file = config.get('ann_file')
    if not ann_file or ann_file.endswith('.mat'):  # GTA's split file: the dataset reads it
        return None
    path = ann_file if osp.isabs(ann_file) else osp.join(config.get('data_root') or '', ann_file)
    backend_args = config.get('backend_args')
    if is_local(path, backend_args) and not osp.isfile(path):
        listing.add('missing_list', path)
        return []
    lines = read_lines(path, str(config.get('type')), backend_args)
    counts = Counter(line for line in lines if line)
    if not counts:
        listing.add('empty_list', path)
        return []
    for name, count in counts.items():
        if count > 1:
            listing.add('duplicate_entry', name, f'{count} times in {path}')
    return list(counts)


def _use_names(dataset: Any, names: Sequence[str]) -> None:
    """Let the dataset list ``names`` whether their files are there or not: which are missing is the
    doctor's to find, while the dataset itself would stop at the first.
    """
    # ``_stems_in(folder)`` and ``_listed(files)`` are the methods by which these classes read
    # ``ann_file``, the names and the files to use: an attribute of the instance hides them
    if isinstance(dataset, TrainIdDataset):
        dataset.__dict__['_stems_in'] = lambda folder: dataset.stems_of(names, folder)
    elif isinstance(dataset, (FolderDataset, UnlabeledImageDataset)):

        def listed(files: list[str]) -> list[str]:
            """The file of each name, the name itself where there is none."""
            file_of = dataset._by_name(files)  # by name, with and without ending
            return [file_of.get(name, name) for name in names]

        dataset.__dict__['_listed'] = listed
    elif traits(dataset).pairs_files:  # mmseg's own: a cleaned copy of the list
        with tempfile.NamedTemporaryFile('w', suffix='.txt', delete=False,
                                         encoding='utf-8') as file:
            file.write('\n'.join(names))
        ann_file, dataset.ann_file = dataset.ann_file, file.name
        try:  # it reads the copy here, and no list when it is initialized again
            dataset.full_init()
        finally:
            dataset.ann_file = ann_file
            os.remove(file.name)


def _find_missing(listing: Listing, infos: list[dict]) -> None:
    """Put the infos whose files exist into ``listing.infos``; the others become findings."""
    backend_args = traits(listing.dataset).backend_args
    # paths that exist, found by listing each folder once
    images = files_beside([info['img_path'] for info in infos], backend_args)
    labels: set = set()
    if listing.loader is not None:
        wanted = [info['seg_map_path'] for info in infos]
        labels = files_beside(wanted, backend_args)
        # not one label is there: a wrong folder or ending is one finding instead of many
        if not labels and _explain(listing, listing.entry.config):
            return
    if _add_columns_fault(listing, infos, images):
        return
    for info in infos:
        image, label = info['img_path'], info.get('seg_map_path')
        if image not in images:
            listing.add('missing_image', image, 'named by the list', image=image)
        elif listing.loader is not None and label not in labels:
            listing.add('missing_label', image, f'no {label}', image=image)
        else:
            listing.infos.append(info)


def _add_columns_fault(listing: Listing, infos: list[dict], images: set) -> bool:
    """Add a finding for a list that names image and label in each line where one name is read;
    returns whether it is such a list. ``images`` are the paths that exist.
    """
    dataset, known = listing.dataset, traits(listing.dataset)
    folder = known.image_folder
    paths = [info['img_path'] for info in infos]
    suffix = known.img_suffix
    # the lines of the list, taken back from the paths that the dataset has made of them
    names = [stem_of(path[len(folder):].lstrip('/'), suffix) for path in paths]
    try:
        refuse_columns(names, [name for name, path in zip(names, paths) if path not in images],
                       known.ann_file,
                       type(dataset).__name__)
    except ValueError as error:
        listing.add('list_columns', dataset.ann_file, str(error))
        return True
    return False


def _find_unused(listing: Listing, infos: list[dict]) -> None:
    """Add findings for images that are not used (hidden, another ending, ...) and for labels
    without an image in the dataset's folders; ``infos`` are all its samples.
    """
    dataset = listing.dataset
    folder = dataset.data_prefix['img_path']
    left_out = scan_folder(folder, dataset.img_suffix, dataset.backend_args).left_out
    for reason, names in left_out.items():
        if reason in _LEFT_OUT:
            for name in names:
                listing.add(_LEFT_OUT[reason], osp.join(folder, name))
    pictures = list_files(folder, PICTURE_SUFFIXES, dataset.backend_args)
    # ``stem_of`` gives a name back unchanged where the ending is another one. What has the right
    # ending and is not used is left out on purpose (exclude, indices, conditions, ...)
    other_ending = [name for name in pictures if stem_of(name, dataset.img_suffix) == name]
    stems = {stem_of(name, dataset.img_suffix) for name in pictures}
    # only the subfolders that the dataset uses: ACDC has train and val in one tree
    subfolders = {osp.dirname(osp.relpath(info['img_path'], folder)) for info in infos}
    for name in other_ending:
        # one that is there with the right ending, too, is the same image
        if osp.dirname(name) in subfolders and stem_of(name, PICTURE_SUFFIXES) not in stems:
            listing.add('other_suffix', osp.join(folder, name), 'img_suffix is '
                        f'{dataset.img_suffix!r}')
    labels = dataset.data_prefix.get('seg_map_path')
    if listing.loader is None or not labels or not is_local(
            labels, dataset.backend_args) or not osp.isdir(labels):
        return
    for name in list_files(labels, dataset.seg_map_suffix, dataset.backend_args):
        stem = stem_of(name, dataset.seg_map_suffix)
        if stem not in stems and osp.dirname(name) in subfolders and not _extends_one(stem, stems):
            listing.add('orphan_label', osp.join(labels, name), f'no image {stem!r} in {folder}')


def _extends_one(stem: str, stems: set) -> bool:
    """Whether ``stem`` is a known one plus ``_something``: converted labels beside the published
    ones.
    """
    parts = stem.split('_')
    return any('_'.join(parts[:n]) in stems for n in range(1, len(parts)))


def _explain(listing: Listing, config: dict) -> bool:
    """Add findings for a folder that is not there or an ending no file has.

    Args:
        listing: Gets the findings; its dataset may be None.
        config: The dataset's config, for what the dataset does not tell.

    Returns:
        Whether there are such findings.
    """
    known = traits(listing.dataset)
    prefix = known.data_prefix
    root = config.get('data_root') or ''
    backend_args = config.get('backend_args')
    configured = config.get('data_prefix') or {}
    before = len(listing.findings)
    if root and is_local(root, backend_args) and not osp.isdir(root):
        listing.add('missing_folder', root, 'data_root')
        return True
    for key, suffix_key, needed in (('img_path', 'img_suffix', True),
                                    ('seg_map_path', 'seg_map_suffix', listing.loader is not None)):
        # the dataset's own folder, else what its config would make it
        folder = prefix.get(key) or (osp.join(root, configured[key]) if isinstance(
            configured.get(key), str) else None)
        if not needed or not folder or not is_local(folder, backend_args):
            continue
        suffix = known.suffix(suffix_key, config.get(suffix_key))
        if not osp.isdir(folder):
            listing.add('missing_folder', folder, key)
        # a list names its images itself: missing ones are found one by one
        elif suffix and not (key == 'img_path' and config.get('ann_file')) and not list_files(
                folder, suffix):
            endings = Counter(osp.splitext(name)[1]
                              for name in list_files(folder, None)).most_common(3)
            listing.add(
                'wrong_suffix', folder, f'{suffix_key}={suffix!r}, but it has ' +
                (', '.join(f'{count} *{ending}' for ending, count in endings) or 'no files'))
    return len(listing.findings) > before
