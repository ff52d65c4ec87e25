"""What a set of images looks like, from headers and a sample of masks: sizes, classes,
imbalance."""
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import torch
from PIL import Image

from mmseg_dg.datasets.folder_scan import PICTURE_SUFFIXES, scan_folder
from mmseg_dg.datasets.image_header import read_header
from mmseg_dg.datasets.image_lists import listed, names_of

#: Headers and masks that are read of one set, spread evenly.
HEADERS, MASKS = 400, 60
GIB = 2**30


class Fingerprint(NamedTuple):
    """One set of images.

    Attributes:
        count: Number of images.
        height, width: Medians, in pixels.
        smallest: Least (height, width), each by itself.
        largest: Most pixels of one image.
        shares: Class -> share of the labeled pixels of the masks that were read, 0..1; {} without
            masks.
        pixels: Class -> median number of its pixels in the masks that show it.
        masks: Masks that were read.
    """
    # hides tuple.count, which nobody calls
    count: int  # type: ignore[assignment]
    height: int
    width: int
    smallest: tuple[int, int]
    largest: int
    shares: dict[int, float]
    pixels: dict[int, float]
    masks: int

    @property
    def longer(self) -> int:
        """The longer side of the median image, in pixels."""
        return max(self.height, self.width)

    @property
    def shorter(self) -> int:
        """The shorter side of the median image, in pixels."""
        return min(self.height, self.width)


def fingerprint(folders: Mapping, classes: int,
                label_map: Optional[Mapping[int, int]] = None) -> Fingerprint:
    """Look at a set.

    Args:
        folders: ``dict(images=FOLDER)``, perhaps with ``masks=FOLDER``, and with ``list=FILE``, a
            text file of the names that are used.
        classes: How many there are; ids beyond them and 255 are not counted.
        label_map: Id in the mask files -> id of the class it means; other ids mean themselves.

    Returns:
        Number of images, sizes in pixels (median, smallest, largest), and of the masks the share of
        each class and its usual number of pixels where it occurs.

    Raises:
        FileNotFoundError: A folder without images.
    """
    folder = str(folders['images'])
    names = scan_folder(folder, PICTURE_SUFFIXES).files
    if folders.get('list'):
        names = listed(names_of(names, PICTURE_SUFFIXES), folders['list'], PICTURE_SUFFIXES,
                       'suggest')
    if not names:
        # every second suffix: each is there in small and in capital letters
        raise FileNotFoundError(
            f'no images in {folder}: they end with {", ".join(PICTURE_SUFFIXES[::2])}')
    headers = [read_header(os.path.join(folder, name)) for name in spread(names, HEADERS)]
    sizes = np.array([(header.height, header.width) for header in headers])  # (images, 2)
    counts = np.zeros((0, classes))  # pixels of each class, (masks, classes)
    if folders.get('masks'):
        counts = _masks(Path(folders['masks']), names, classes, label_map or {})
    total = counts.sum()
    shares = {c: float(counts[:, c].sum() / total) for c in range(classes)} if total else {}
    # median number of pixels in the masks that show the class
    pixels = {
        c: float(np.median(counts[counts[:, c] > 0, c]))
        for c, share in shares.items() if share
    }
    heights, widths = sizes.T
    smallest = (int(heights.min()), int(widths.min()))
    return Fingerprint(count=len(names), height=int(np.median(heights)),
                       width=int(np.median(widths)), smallest=smallest,
                       largest=int(sizes.prod(1).max()), shares=shares, pixels=pixels,
                       masks=len(counts))


def spread(names: Sequence[str], most: int) -> list[str]:
    """At most ``most`` of the names, taken at even distances, in their order."""
    places = np.linspace(0, len(names) - 1, min(most, len(names))).astype(int)
    return [names[i] for i in np.unique(places)]


def _masks(folder: Path, names: Sequence[str], classes: int, label_map: Mapping[int,
                                                                                int]) -> np.ndarray:
    """Pixels of each class in a sample of the masks, (masks, classes).

    Args:
        folder: Of the masks; the mask of an image has its name and the ending ``.png``.
        names: Of the images; those without a mask are left out.
        classes: See :func:`fingerprint`.
        label_map: See :func:`fingerprint`; ``{}`` changes nothing.
    """
    rows = []
    # ids of an 8-bit mask, and whatever the map names or the classes need
    named = [int(number) for change in label_map.items() for number in change]
    length = max(256, classes, *(number + 1 for number in named))
    for name in spread(names, MASKS):
        path = (folder / name).with_suffix('.png')
        if not path.is_file():
            continue
        with Image.open(path) as image:  # indices of a palette, not its colors
            # pixels of each id, (length,), or more where the mask has larger ids
            ids = np.bincount(np.asarray(image).reshape(-1).astype(np.int64), minlength=length)
        # read from ids and written to moved: with a map a -> b, b -> c no pixel moves twice
        moved = ids.copy()
        for old, new in label_map.items():
            moved[int(old)] -= ids[int(old)]
            moved[int(new)] += ids[int(old)]
        rows.append(moved[:classes])
    return np.array(rows) if rows else np.zeros((0, classes))


def free_memory() -> tuple[str, Optional[int]]:
    """Where training would run (``cuda`` or ``cpu``), and bytes that are free there (None: not
    known)."""
    if torch.cuda.is_available():
        return 'cuda', int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path('/proc/meminfo').read_text(encoding='ascii').splitlines()
    except OSError:
        return 'cpu', None
    known = dict(line.split(':', 1) for line in lines if ':' in line)
    return 'cpu', int(known['MemAvailable'].split()[0]) * 1024 if 'MemAvailable' in known else None
