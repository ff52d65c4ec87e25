"""Which files of a dataset's folder are used, which are not, and why: for the log."""
import os.path as osp
from typing import Any, NamedTuple

from .folder_scan import (
    OTHER_ENDING,
    PICTURE_SUFFIXES,
    endings,
    is_local,
    left_out_text,
    scan_folder,
)
from .traits import traits

NOT_LISTED = 'not in the list'
NOT_CHOSEN = 'not chosen by the dataset'


class Usage(NamedTuple):
    """What one dataset (no wrapper) uses of its image folder.

    Attributes:
        owner: Name of the dataset's class.
        folder: Its image folder; '' where it does not say.
        used: Paths of its images, relative to the folder.
        left_out: {reason: paths relative to the folder}.
    """
    owner: str
    folder: str
    used: list[str]
    left_out: dict[str, list[str]]

    @property
    def text(self) -> str:
        """The usage in words: ``FolderDataset uses 1 image (1 *.png) of data/images; left out: 5
        with another ending (5 *.tif)``.
        """
        plural = '' if len(self.used) == 1 else 's'
        kinds = f' ({endings(self.used)})' if self.used else ''
        place = f' of {self.folder}' if self.folder else ''
        left_out = left_out_text(self.left_out)
        return (f'{self.owner} uses {len(self.used)} image{plural}{kinds}{place}' +
                (f'; left out: {left_out}' if left_out else ''))

    @property
    def is_doubtful(self) -> bool:
        """Whether something that looks like an image is left out for another reason than the user's
        own choice.
        """
        # of the files with another ending only pictures count; a list or a choice is the user's own
        others = [
            name for name in self.left_out.get(OTHER_ENDING, ()) if name.endswith(PICTURE_SUFFIXES)
        ]
        return bool(others) or any(reason not in (OTHER_ENDING, NOT_LISTED, NOT_CHOSEN)
                                   for reason in self.left_out)


def usage_of(dataset: Any) -> Usage:
    """What a dataset uses of its image folder, and what it leaves out.

    A dataset that does not say where its images are has no names to compare: its number of images
    is kept (``used`` holds empty texts then), and nothing counts as left out. Nor does anything
    where the folder cannot be listed (a remote one).

    Args:
        dataset: Initialized; no wrapper.
    """
    owner, count = type(dataset).__name__, len(dataset)
    described = traits(dataset)
    folder = described.image_folder
    infos = [dataset.get_data_info(i) for i in range(count)] if described.describes_samples else []
    paths = [str(info['img_path']) for info in infos if info.get('img_path')]
    if len(paths) < count or not folder:  # some samples have no path, or it is relative to nothing
        return Usage(owner, '', paths or [''] * count, {})
    used = [
        osp.relpath(path, folder) if is_local(path) else path[len(folder):].lstrip('/')
        for path in paths
    ]
    suffix = described.img_suffix
    if not is_local(folder, described.backend_args) or not osp.isdir(folder) or not suffix:
        return Usage(owner, folder, used, {})
    scan = scan_folder(folder, suffix)
    left_out = dict(scan.left_out)
    unused = sorted(set(scan.files) - set(used))  # images with the right suffix all the same
    if unused:
        left_out[NOT_LISTED if described.ann_file else NOT_CHOSEN] = unused
    # the other way round: a dataset may use files that the scan, which goes by the suffix, counts
    # as left out
    really_used = {osp.normpath(name) for name in used}
    left_out = {
        reason: still_out
        for reason, names in left_out.items()
        if (still_out := [name for name in names if name not in really_used])
    }
    return Usage(owner, folder, used, left_out)
