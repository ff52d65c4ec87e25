"""Which training images are labeled and which are not: drawing, importing, checking and writing
the two lists.

The lists live in ``<data_root>/splits/<protocol>/{labeled,unlabeled}.txt``, one image stem per line
(the path below the image folder without its ending), which is mmseg's own format.
``tools/make_split.py`` is the command line.
"""
import os.path as osp
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
from PIL import Image

from mmseg_dg.utils.console import Progress

from ..checks import check_files, check_folder, check_not_empty, list_files, missing_of
from ..conversion.files import write_list
from ..image_lists import read_list, stem_of
from ..label_tables import IGNORE, count_ids, ids_outside
from ..messages import missing_message
from .protocols import Protocol, Source

#: Everything before the trailing frame number: ``0006R0`` of ``0006R0_f00930``.
SEQUENCE = r'^(.*?)[_\-]?[a-zA-Z]?\d+$'
_OWNER = 'make_split'  # who speaks in messages
_MASK_HINT = ('Convert or add the masks, correct --masks or --mask-suffix, or pass --masked-only '
              'to divide the images that have one')


@dataclass
class Split:
    """A division of training images into labeled and unlabeled ones.

    Attributes:
        labeled: Stems of images whose masks are used.
        unlabeled: Stems of the others.
        unused: Stems in neither: the gap around labeled blocks of a video.
    """
    labeled: list[str]
    unlabeled: list[str]
    unused: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- drawing
def draw_split(stems: Sequence[str], count: int, seed: int = 0,
               choose_from: Optional[Sequence[str]] = None, prefer: Sequence[str] = ()) -> Split:
    """Draw labeled images uniformly, without replacement.

    The same seed gives nested subsets: the images of 1/16 are among those of 1/8.

    Args:
        stems: All training images.
        count: Number of labeled ones.
        seed: Of the draw.
        choose_from: Images among which they are drawn; None: all.
        prefer: Images that are drawn before any other.

    Raises:
        ValueError: More labeled images wanted than there are, or images to choose from that are no
            training images.
    """
    stems = sorted(stems)
    pool = sorted(stems if choose_from is None else choose_from)
    unknown = sorted(set(pool).union(prefer) - set(stems))
    if unknown:
        raise ValueError(f'{len(unknown)} images to choose from are not among the training images, '
                         f'for example {unknown[:3]}: the lists belong to different data')
    if not 0 < count <= len(pool):
        raise ValueError(f'{count} labeled images wanted, {len(pool)} to choose from: use another '
                         'protocol or fraction')
    order = np.random.RandomState(seed).permutation(len(pool))
    drawn = [pool[i] for i in order]
    # preferred ones first; both parts keep the drawn order
    preferred = set(prefer)
    drawn = [s for s in drawn if s in preferred] + [s for s in drawn if s not in preferred]
    chosen = set(drawn[:count])
    return Split([s for s in stems if s in chosen], [s for s in stems if s not in chosen])


def draw_blocks(stems: Sequence[str], count: int, seed: int = 0, blocks: Optional[int] = None,
                gap: int = 2, sequence: str = SEQUENCE) -> Split:
    """Draw contiguous blocks of video frames, spread over the sequences; frames next to a block are
    used by neither.

    Neighboring frames show the same scene: drawn singly, every unlabeled frame would have a
    labeled twin. A sequence gets blocks in proportion to its length (each at least one, where
    there are enough blocks), is divided into as many equal parts, and the seed moves each block
    inside its part.

    Args:
        stems: All frames; their sorted order is the order of time within a sequence.
        count: Number of labeled frames.
        seed: Of the positions.
        blocks: Number of blocks; None: one per ten frames and at least one per sequence.
        gap: Unused frames on either side of a block.
        sequence: Regular expression whose group 1 names the sequence of a stem.

    Raises:
        ValueError: Blocks that do not fit, or stems the expression does not match.
    """
    sequences = group_by_sequence(stems, sequence)
    if blocks is None:
        blocks = max(len(sequences), round(count / 10))
    if not 0 < blocks <= count or gap < 0:
        raise ValueError(f'{blocks} blocks of {count} labeled frames with gap {gap}: there must '
                         'be at least one block, a frame for each, and no negative gap')
    # frames of each block (the first count % blocks have one more), and blocks of each sequence
    lengths = [count // blocks + (i < count % blocks) for i in range(blocks)]
    shares = _apportion([len(frames) for frames in sequences.values()], blocks)
    rng = np.random.RandomState(seed)
    # lengths are given out in the order of the sequences: the seed moves blocks, it does not
    # resize them
    labeled, unused, num_drawn = set(), set(), 0
    for (name, frames), share in zip(sequences.items(), shares):
        # where the equal parts of the sequence begin and end, one block in each
        edges = np.linspace(0, len(frames), share + 1).astype(int) if share else np.zeros(0, int)
        for start, stop in zip(edges[:-1], edges[1:]):
            length = lengths[num_drawn]
            num_drawn += 1
            room = stop - start - length - 2 * gap  # frames by which the block can be moved
            if room < 0:
                raise ValueError(f'sequence {name!r} ({len(frames)} frames) cannot hold {share} '
                                 f'blocks of {length} frames with {gap} unused ones on either '
                                 'side: use fewer blocks or a smaller gap')
            first = start + gap + int(rng.randint(0, room + 1))  # first frame of the block
            end = first + length
            labeled.update(frames[first:end])
            unused.update(frames[first - gap:first] + frames[end:end + gap])
    stems = sorted(stems)
    return Split([s for s in stems if s in labeled],
                 [s for s in stems if s not in labeled and s not in unused],
                 [s for s in stems if s in unused])


def draw_sequences(stems: Sequence[str], count: int, seed: int = 0,
                   sequence: str = SEQUENCE) -> Split:
    """Draw whole sequences until ``count`` frames are labeled; no sequence has frames on both
    sides.

    For data of many short recordings. They are taken in a drawn order; one that has more frames
    than are still wanted is passed over.

    Args:
        stems: All frames.
        count: Number of labeled frames.
        seed: Of the order.
        sequence: Regular expression whose group 1 names the sequence of a stem.

    Raises:
        ValueError: No whole sequences make up exactly ``count`` frames in this order, or stems the
            expression does not match.
    """
    sequences = group_by_sequence(stems, sequence)
    names = list(sequences)
    labeled: set[str] = set()
    for index in np.random.RandomState(seed).permutation(len(names)):
        frames = sequences[names[index]]
        if len(labeled) + len(frames) <= count:
            labeled.update(frames)
    if len(labeled) != count or not 0 < count < len(stems):
        raise ValueError(f'{count} labeled frames of {len(stems)} cannot be made of whole '
                         f'sequences drawn with seed {seed}, {len(labeled)} can: use that number, '
                         'another seed, or blocks')
    stems = sorted(stems)
    return Split([s for s in stems if s in labeled], [s for s in stems if s not in labeled])


def group_by_sequence(stems: Sequence[str], sequence: str = SEQUENCE) -> dict[str, list[str]]:
    """{name of a sequence: its frames}, both sorted by stem; group 1 of the regular expression
    ``sequence`` is the name.

    Raises:
        ValueError: A stem the regular expression does not match.
    """
    pattern = re.compile(sequence)
    sequences: dict[str, list[str]] = {}
    for stem in sorted(stems):
        match = pattern.match(stem)
        if match is None or not match.groups():
            raise ValueError(f'{stem!r} does not show its sequence by {sequence!r}: give '
                             '--sequence a regular expression whose first group is the name of '
                             'the sequence')
        sequences.setdefault(match.group(1), []).append(stem)
    return sequences


def _apportion(sizes: Sequence[int], total: int) -> list[int]:
    """``total`` divided in proportion to ``sizes``: one share for each, whole numbers of at least 1
    where that is possible, rounded down; the rest goes to the largest remainders.
    """
    least = 1 if total >= len(sizes) else 0
    exact = np.asarray(sizes, float) / sum(sizes) * total
    shares = np.maximum(np.floor(exact), least).astype(int)
    # raised to 1, they may be too many: the one furthest above its exact share gives one back
    while shares.sum() > total:
        shares[np.argmax(np.where(shares > least, shares - exact, -np.inf))] -= 1
    while shares.sum() < total:
        shares[np.argmax(exact - shares)] += 1
    return shares.tolist()


# ---------------------------------------------------------------- reading
def training_stems(root: str, source: Source) -> list[str]:
    """Stems of all training images: the dataset's list, or what lies in its folder.

    Args:
        root: Folder of the dataset.
        source: Where its images and list are below it.

    Raises:
        FileNotFoundError: The folder, the list, or listed images are missing.
        ValueError: Images that differ in their ending alone.
    """
    folder = osp.join(root, source.images)
    check_folder(folder, 'image', _OWNER, 'Give the folder of the dataset as it is described in '
                 'the docs')
    if source.list_file:
        path = osp.join(root, source.list_file)
        if source.list_from and not osp.isfile(path):
            raise FileNotFoundError(f'{_OWNER}: no list {path!r} of the training images: '
                                    f'{source.list_from} writes it')
        stems = read_list(path, _OWNER)
        assert isinstance(source.img_suffix, str)  # of a dataset with a list
        check_files([osp.join(folder, stem + source.img_suffix) for stem in stems], [], _OWNER)
        return stems
    files = list_files(folder, source.img_suffix)
    check_not_empty(files, folder, source.img_suffix, 'image', _OWNER)
    stems = [stem_of(name, source.img_suffix) for name in files]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f'{_OWNER}: {folder} has images that differ in their ending alone '
                         f'({twice[:5]}), so a mask would belong to both: rename one of each, or '
                         'give one ending (--img-suffix)')
    return stems


def import_list(path: str, source: Source) -> list[str]:
    """Stems of a published list: one column of stems, or UniMatch's ``image_path mask_path``.

    Paths may be relative to ``data_root`` (``JPEGImages/a.jpg``), to the image folder, or bare
    names; the mask column is not needed, because masks are found by name.

    Raises:
        FileNotFoundError: No such list.
        ValueError: An empty list, or images named twice.
    """
    stems = []
    for line in read_list(path, _OWNER):
        name = line.split()[0].replace('\\', '/')  # first column, as on Linux
        prefix = source.images.rstrip('/') + '/'
        name = name[len(prefix):] if name.startswith(prefix) else name
        stems.append(stem_of(name, source.img_suffix))
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f'{_OWNER}: {path} names images twice: {twice[:5]}')
    return stems


def import_split(folder: str, source: Source, stems: Sequence[str]) -> Split:
    """The split of ``folder/labeled.txt`` and ``folder/unlabeled.txt``; without the second file:
    all other images.
    """
    labeled = import_list(osp.join(folder, 'labeled.txt'), source)
    path = osp.join(folder, 'unlabeled.txt')
    chosen = set(labeled)
    return Split(
        labeled,
        import_list(path, source) if osp.isfile(path) else [s for s in stems if s not in chosen])


# ---------------------------------------------------------------- checking
def check_split(split: Split, stems: Sequence[str], protocol: Optional[Protocol] = None) -> None:
    """Refuse a split that is not disjoint and complete, names unknown images, or has other sizes
    than were published.

    Args:
        split: Any split.
        stems: All training images.
        protocol: Its published counts, if it has any.

    Raises:
        ValueError: What is wrong, with the images or numbers.
    """
    parts = dict(labeled=split.labeled, unlabeled=split.unlabeled, unused=split.unused)
    for a, b in (('labeled', 'unlabeled'), ('labeled', 'unused'), ('unlabeled', 'unused')):
        both = sorted(set(parts[a]) & set(parts[b]))
        if both:
            raise ValueError(f'{len(both)} images are in the {a} and in the {b} list, for example '
                             f'{both[:5]}: an image belongs to one of them')
    training, listed = set(stems), set().union(*parts.values())
    if listed - training:
        raise ValueError(f'{len(listed - training)} listed images are not among the training '
                         f'images, for example {sorted(listed - training)[:5]}: the list is of '
                         'another dataset, or data are missing')
    if training - listed:
        raise ValueError(f'{len(training - listed)} training images are in no list, for example '
                         f'{sorted(training - listed)[:5]}: the two lists together must be the '
                         'training set')
    if protocol is None:
        return
    for name, expected in (('labeled', protocol.labeled), ('unlabeled', protocol.unlabeled)):
        if expected is not None and expected != len(parts[name]):
            raise ValueError(f'the {name} list of {protocol.name} has {len(parts[name])} images, '
                             f'the published one {expected}: the data are incomplete, or the list '
                             'is of another protocol')


def check_masks(root: str, source: Source, stems: Sequence[str],
                masks: Optional[str] = None) -> np.ndarray:
    """Refuse labeled images without a mask, or with ids outside the classes; counts the pixels.

    Args:
        root: Folder of the dataset.
        source: Where its masks are.
        stems: Labeled images.
        masks: Folder of the masks, where it is not the dataset's.

    Returns:
        int64 (num_ids,): pixels per id.

    Raises:
        FileNotFoundError: Missing masks.
        ValueError: An id outside the classes; names the file and the id.
    """
    folder = osp.join(root, masks or source.masks)
    check_folder(folder, 'mask', _OWNER, 'Convert the labels first (tools/dataset_converters), or '
                 'correct --masks')
    paths = [osp.join(folder, stem + source.mask_suffix) for stem in stems]
    missing = sorted(missing_of(paths))
    if missing:
        raise FileNotFoundError(
            missing_message(_OWNER, 'images have no mask; masks', missing, len(paths), _MASK_HINT))
    total = np.zeros(256, np.int64)  # pixels of each id, over all masks
    progress = Progress('reading masks', len(paths))
    for path in paths:
        progress.update()
        with Image.open(path) as picture:
            label = np.asarray(picture)
        if label.ndim != 2:
            raise ValueError(f'{path}: a mask has one id per pixel, this one has the shape '
                             f'{label.shape}')
        if label.size and not 0 <= label.min() <= label.max() <= 255:
            raise ValueError(f'{path}: ids {label.min()}..{label.max()} do not fit 8 bits: convert '
                             'the labels first')
        counts = count_ids(label.astype(np.uint8))
        bad = ids_outside(counts, source.num_ids)
        if bad:
            raise ValueError(f'{path}: ids {bad[:10]} are neither classes '
                             f'(0..{source.num_ids - 1}) nor {IGNORE}: convert the labels, or give '
                             'the right number of classes')
        total += counts
    return total[:source.num_ids]


# ---------------------------------------------------------------- writing
def write_split(
    folder: str, split: Split, overwrite: bool = False,
    names: tuple[str, str] = ('labeled', 'unlabeled')) -> list[str]:
    """Write ``labeled.txt``, ``unlabeled.txt`` and, where frames are left out, ``unused.txt``.

    Args:
        folder: Where they go; made if missing.
        split: Names of the labeled, unlabeled and unused images.
        overwrite: Replace lists that differ.
        names: Of the two lists, ``('train', 'val')`` for images that are held out.

    Returns:
        The paths written.

    Raises:
        FileExistsError: A different list is there and ``overwrite`` is False: a run may be using
            it.
    """
    parts = {names[0]: split.labeled, names[1]: split.unlabeled, 'unused': split.unused}
    # an empty list is written too, but for unused.txt
    paths = {
        osp.join(folder, f'{name}.txt'): stems
        for name, stems in parts.items() if stems or name != 'unused'
    }
    for path, stems in paths.items():  # all are looked at before any is written
        if not overwrite and osp.isfile(path) and read_list(path, _OWNER,
                                                            allow_empty=True) != list(stems):
            raise FileExistsError(f'{path} holds another list: pass --overwrite to replace it, or '
                                  '--out another folder')
    for path, stems in paths.items():
        write_list(path, stems)
    return list(paths)
