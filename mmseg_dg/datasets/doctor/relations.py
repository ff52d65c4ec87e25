"""What only shows when a whole dataset, or several, are looked at together."""
import hashlib
import os
import os.path as osp
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

import mmengine.fileio as fileio
import numpy as np

from ..binary_masks import looks_binary, maps_255
from ..checks import is_local
from ..traits import traits
from .faults import Finding
from .known import expected_count
from .listing import Listing


def add_class_faults(listing: Listing, raw: np.ndarray, mapped: np.ndarray, labels: int,
                     complete: bool) -> None:
    """Add binary masks, and classes without a pixel, to the findings.

    Args:
        listing: The dataset; findings are added to it.
        raw: (256,) pixels per id in the files.
        mapped: (256,) pixels per id after mapping.
        labels: Labels counted.
        complete: Every label was counted; otherwise a missing class proves nothing.
    """
    if not labels or not listing.classes:
        return
    mapping = listing.infos[0].get('label_map') if listing.infos else None
    if looks_binary(raw) and not maps_255(mapping):
        listing.add(
            'binary_mask', listing.dataset.data_prefix.get('seg_map_path', ''),
            f'{labels} masks have no ids but 0 and 255; 255 means "ignore", so only '
            f'{listing.classes[0]!r} would be learned')
        return
    if complete:
        for index, name in enumerate(listing.classes):
            if not mapped[index]:
                listing.add('empty_class', f'{index} {name}', f'in none of {labels} labels')


def add_few_bits(listing: Listing, largest: int) -> None:
    """Add a finding if ``bit_depth`` of the loading step does not fit ``largest``, the largest
    value of all images of more than 8 bits (-1: none).
    """
    loader = listing.image_loader
    depth = None if loader is None else getattr(loader, 'bit_depth', None)  # mmcv's has none
    # one bit less may be chance: the data need not reach the top of its range
    if depth is not None and largest >= 0 and max(8, largest.bit_length()) < depth - 1:
        listing.add(
            'few_bits', listing.entry.key, f'bit_depth={depth}, but the largest value of '
            f'its images is {largest}: '
            f'{largest.bit_length()} bits, so the network '
            'would see dark images')


def add_wrong_count(listing: Listing) -> Optional[int]:
    """Add a finding if the dataset has not as many images as its public split is known to have.

    Returns:
        The known number of images; None for data of one's own.
    """
    known = traits(listing.dataset)
    expected = expected_count(listing.entry.config, known.image_folder)
    left_out = known.left_out  # images of the split that the dataset knows to be unusable
    if expected is not None and listing.dataset is not None and listing.listed and (
            listing.listed + left_out != expected):
        without = f' and {left_out} left out' if left_out else ''
        listing.add('count', listing.entry.key, f'{listing.listed} images{without}; the whole '
                    f'split has {expected}')
    return expected


def check_class_lists(listings: Sequence[Listing], cfg: Any) -> Iterator[Finding]:
    """Findings for streams with other classes or colors than the first, and for heads with another
    number of classes.
    """
    # an unlabeled stream may carry no classes, a classification folder has classes of its own
    known = [x for x in listings if x.classes and traits(x.dataset).pairs_files]
    for other in known[1:]:
        first = known[0]
        if other.classes != first.classes:
            yield Finding('class_lists', other.stream, other.entry.key, _difference(first, other))
        elif other.palette != first.palette:
            yield Finding('class_lists', other.stream, other.entry.key,
                          f'same classes as {first.stream}, but another palette')
    if known:
        for key, value in _head_sizes(cfg.get('model') or {}, 'model'):
            if value != len(known[0].classes):
                text = f'{value}, but the data has {len(known[0].classes)} classes'
                file = known[0].entry.config.get('classes')
                if isinstance(file, str):  # len(classes) of a config counts its letters
                    text += (f'; classes={file!r} names a file: write classes, palette = '
                             f'read_classes({file!r}) (from mmseg_dg.datasets.class_names), and '
                             'len(classes) is their number')
                yield Finding('head_classes', '', f'{key}.num_classes', text)


def _difference(first: Listing, other: Listing) -> str:
    """How the classes of ``other``, whose finding it is ("here"), differ from those of the first
    stream ("there"); for lists that do differ.
    """
    only_here = sorted(set(other.classes) - set(first.classes))
    only_there = sorted(set(first.classes) - set(other.classes))
    if not only_here and not only_there:
        return f'the classes of {first.stream} in another order'
    text = f'{len(other.classes)} classes, {first.stream} has {len(first.classes)}'
    if only_here:
        text += f'; only here: {", ".join(only_here[:5])}'
    if only_there:
        text += f'; only there: {", ".join(only_there[:5])}'
    return text


def _head_sizes(node: Any, key: str) -> Iterator[tuple[str, int]]:
    """``(dotted key, num_classes)`` of every head in a config below ``key``, lists included."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ('decode_head', 'auxiliary_head'):
                several = isinstance(value, (list, tuple))
                for i, head in enumerate(value if several else [value]):
                    if isinstance(head, dict) and isinstance(head.get('num_classes'), int):
                        place = f'.{i}' if several else ''
                        yield f'{key}.{name}{place}', head['num_classes']
            else:
                yield from _head_sizes(value, f'{key}.{name}')


# ---------------------------------------------------------------- the same picture twice
def same_content(listings: Sequence[Listing], run: Callable) -> list[list[tuple[Listing, str]]]:
    """Groups of images with the same content, each image with the dataset it is in.

    Only files of equal size are read: others cannot be equal.

    Args:
        listings: All datasets of the config.
        run: ``run(function, items)`` gives the results in order, possibly from several processes.

    Returns:
        Groups of at least two (dataset, path of its image). A file that several datasets list is in
        its group once for each of them.
    """
    places: dict[str, list[Listing]] = defaultdict(list)  # path: the datasets that have it
    local: dict[str, Any] = {}  # path: its backend_args
    for listing in listings:
        backend_args = traits(listing.dataset).backend_args
        for info in listing.infos:
            path = osp.abspath(info['img_path']) if is_local(
                info['img_path'], None) and '://' not in info['img_path'] else info['img_path']
            if listing not in places[path]:
                places[path].append(listing)
            local[path] = backend_args
    by_size: dict[int, list[str]] = defaultdict(list)
    for path, backend_args in local.items():
        by_size[_size(path, backend_args)].append(path)
    # files of equal size, grouped by a digest of their content (None: could not be read)
    doubtful = [path for paths in by_size.values() if len(paths) > 1 for path in paths]
    groups: dict[Any, list[str]] = defaultdict(list)  # by digest, below also by path
    for path, digest in zip(doubtful, run(_digest, [(path, local[path]) for path in doubtful])):
        groups[digest].append(path)
    # one file that several datasets list is a group too, whether other files equal it or not
    with_equals = {path for paths in groups.values() if len(paths) > 1 for path in paths}
    for path, datasets in places.items():
        if len(datasets) > 1 and path not in with_equals:
            groups[path] = [path]
    found = [[(listing, path) for path in paths for listing in places[path]]
             for key, paths in groups.items() if key is not None]
    return [group for group in found if len(group) > 1]


def _size(path: str, backend_args: Optional[dict]) -> int:
    """Bytes of a file; -1 where the file system cannot say."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1  # an object store: read all of them


def _digest(item: tuple[str, Optional[dict]]) -> Optional[bytes]:
    """Digest of the content of a file, ``(path, its backend_args)``; None if it cannot be read."""
    try:
        return hashlib.blake2b(fileio.get(item[0], backend_args=item[1]), digest_size=16).digest()
    except Exception:  # unreadable files are reported where they are decoded
        return None


def add_duplicates(groups: Sequence[Sequence[tuple[Listing, str]]]) -> None:
    """Add findings for images shared by training and validation, by labeled and unlabeled streams,
    or twice in one stream.

    Args:
        groups: As :func:`same_content` gives them.
    """
    for group in groups:
        train = [(x, path) for x, path in group if x.entry.trains]
        judged = [(x, path) for x, path in group if not x.entry.trains]
        labeled = [(x, path) for x, path in train if x.loader is not None]
        for listing, path in train:
            if judged:
                listing.add('train_val_duplicate', path, f'also in {judged[0][0].stream}: '
                            f'{judged[0][1]}', path)
            elif listing.loader is None and labeled:
                listing.add('labeled_unlabeled_duplicate', path, f'also in {labeled[0][0].stream}: '
                            f'{labeled[0][1]}', path)
        # each dataset of the group once (it has no hash): its first image stays, others repeat it
        for listing in {id(x): x for x, _ in group}.values():
            paths = [path for x, path in group if x is listing]
            for path in paths[1:]:
                listing.add('duplicate_image', path, f'same as {paths[0]}', path)
