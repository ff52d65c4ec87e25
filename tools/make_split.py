"""Divide training images into labeled and unlabeled ones: ``<data_root>/splits/<protocol>/{labeled,unlabeled}.txt``.

    python tools/make_split.py voc data/VOCdevkit/VOC2012 --protocol classic_1_8
    python tools/make_split.py cityscapes data/cityscapes --protocol all --seed 1      # splits/1_8_seed1, ...
    python tools/make_split.py voc data/VOCdevkit/VOC2012 --protocol classic_1_8 --import-from UniMatch/pascal/183
    python tools/make_split.py folder my_data --images img --masks mask --classes 7 --fraction 1/8
    python tools/make_split.py folder my_video --images img --masks mask --classes 7 --fraction 1/30 --mode blocks
    python tools/make_split.py folder my_drives --images img --masks mask --classes 7 --fraction 1/16 --mode sequences
    python tools/make_split.py folder my_data --images img --masks mask --val 1/5   # train.txt, val.txt

The drawn lists are ours: the same seed gives the same lists, but not those a paper used. Published lists (one stem per
line, or UniMatch's two columns) are imported with --import-from. Counts, disjointness, completeness, masks and their
ids are checked before anything is written. --show lists the protocols and their counts.
"""
import argparse
import math
import os.path as osp
import sys
from collections.abc import Sequence
from typing import Optional, Union

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.checks import missing_of
from mmseg_dg.datasets.folder_scan import left_out_text, scan_folder
from mmseg_dg.datasets.image_lists import IMAGE_SUFFIXES, read_list
from mmseg_dg.datasets.splits.drawing import (
    SEQUENCE,
    Split,
    check_masks,
    check_split,
    draw_blocks,
    draw_sequences,
    draw_split,
    import_split,
    training_stems,
    write_split,
)
from mmseg_dg.datasets.splits.protocols import PROTOCOLS, SOURCES, Protocol, Source, find_protocol, parse_fraction


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', choices=[*SOURCES, 'folder'], help="'folder': images and masks of your own")
    parser.add_argument('data_root', nargs='?', help='folder of the dataset')
    parser.add_argument('--show', action='store_true', help='print the protocols of the dataset and their counts')
    parser.add_argument('--protocol', nargs='+', default=[], help="published protocols, or 'all'")
    parser.add_argument('--fraction', type=share, help='labeled share: 1/8, 0.125 or 5%%; rounded up')
    parser.add_argument('--val', type=count_or_share, metavar='N',
                        help="hold images with masks out for validation: 10, 1/5 or 20%%; writes train.txt and "
                        "val.txt (dataset 'folder')")
    parser.add_argument('--name', help='folder below splits for --fraction (default: 1_8 for 1/8, ...)')
    parser.add_argument('--seed', type=int, default=0, help='of the draw; not 0: the name ends in _seedN')
    parser.add_argument('--import-from', metavar='FOLDER', help='take the lists labeled.txt, unlabeled.txt from here')
    parser.add_argument('--mode', choices=['random', 'blocks', 'sequences'], default='random',
                        help="'blocks': contiguous frames of videos, the frames next to them unused; 'sequences': "
                        'whole recordings, none with frames on both sides')
    parser.add_argument('--blocks', type=int, help='number of blocks (default: one per ten labeled frames)')
    parser.add_argument('--gap', type=int, default=2, help='unused frames on either side of a block')
    parser.add_argument('--sequence', default=SEQUENCE, help='regular expression; group 1 is the sequence of a stem')
    parser.add_argument('--out', metavar='DIR', help='write below this folder instead of <data_root>/splits')
    parser.add_argument('--overwrite', action='store_true', help='replace a list that differs')
    parser.add_argument('--allow-incomplete', action='store_true', help='accept other numbers than the published ones')
    parser.add_argument('--masked-only', action='store_true',
                        help='divide only the images that have a mask; the others are in no list')
    parser.add_argument('--no-masks', action='store_true', help='do not open the masks of the labeled images')
    own = parser.add_argument_group("dataset 'folder'")
    own.add_argument('--images', default='images', help='image folder below data_root')
    own.add_argument('--masks', default='masks', help='mask folder below data_root')
    own.add_argument('--img-suffix', help='default: PNG and JPEG')
    own.add_argument('--mask-suffix', default='.png')
    own.add_argument('--classes', type=int, default=255, help='number of ids a mask may have besides 255')
    return parser.parse_args(argv)


def source_of(args: argparse.Namespace) -> Source:
    """Where images, masks and lists of the dataset lie, and how many ids its masks have."""
    if args.dataset != 'folder':
        return SOURCES[args.dataset]
    return Source('folder', args.data_root, args.images, args.img_suffix or IMAGE_SUFFIXES, args.masks,
                  args.mask_suffix, args.classes)


def protocols_of(args: argparse.Namespace) -> list[Protocol]:
    """The divisions that --protocol or --fraction asks for.

    Raises:
        ValueError: Neither or both of --protocol and --fraction, or an unknown protocol.
    """
    if bool(args.protocol) == (args.fraction is not None):
        raise ValueError('give --protocol (a published division) or --fraction (your own); --show lists the protocols')
    if args.fraction is not None:
        one_in = 1 / args.fraction
        whole = abs(one_in - round(one_in)) < 1e-9  # 1/3 is no exact number
        name = args.name or (f'1_{one_in:.0f}' if whole else f'percent_{args.fraction * 100:g}')
        return [Protocol(name, fraction=args.fraction)]
    if args.dataset == 'folder':
        raise ValueError("your own data have no published protocol: give --fraction, such as 1/8")
    names = list(PROTOCOLS[args.dataset]) if args.protocol == ['all'] else args.protocol
    if args.import_from and len(names) > 1:
        raise ValueError('--import-from has the lists of one protocol: name that one')
    return [find_protocol(args.dataset, name) for name in names]


def make(args: argparse.Namespace, source: Source, protocol: Protocol, stems: Sequence[str]) -> Split:
    """Draw or import one split, and check it and its masks; nothing is written.

    Args:
        args: Of the command line.
        source: Where the data lie.
        protocol: The division that is wanted.
        stems: All training images.

    Raises:
        ValueError: The split or a mask is wrong.
        FileNotFoundError: A list or a mask is missing.
    """
    if args.import_from:
        split = import_split(args.import_from, source, stems)
    else:
        # less a rounding error: 0.07 * 100 is a little more than 7
        count = protocol.labeled or math.ceil(len(stems) * protocol.fraction - 1e-9)
        if protocol.fraction and count >= len(stems):
            raise ValueError(f'--fraction: {count} of {len(stems)} images would be labeled and none would be left '
                             'without: there are too few for this share')

        def listed(name: Optional[str]) -> Optional[list[str]]:
            """The stems in a list below the data root; None for no list."""
            return None if name is None else read_list(osp.join(args.data_root, name), 'make_split')

        if args.mode == 'blocks':
            split = draw_blocks(stems, count, args.seed, args.blocks, args.gap, args.sequence)
        elif args.mode == 'sequences':
            split = draw_sequences(stems, count, args.seed, args.sequence)
        else:
            split = draw_split(stems, count, args.seed, listed(protocol.choose_from), listed(protocol.prefer) or ())
    # the published counts do not hold for incomplete data, nor for frames left out beside blocks
    published = protocol if not args.allow_incomplete and args.mode == 'random' else None
    check_split(split, stems, published)
    if not args.no_masks:
        pixels = check_masks(args.data_root, source, split.labeled, protocol.masks)
        present = pixels > 0
        # of a folder whose number of classes was not given, absent ids mean nothing
        if args.dataset != 'folder' or args.classes < 255:
            absent = [i for i, has_pixels in enumerate(present) if not has_pixels]
            print(f'  {int(present.sum())} of {len(present)} ids in the labeled masks'
                  + (f'; none of {absent}' if absent else ''))
    return split


def share(text: str) -> float:
    """A share as :func:`parse_fraction` reads it; its message is the command's."""
    try:
        return parse_fraction(text)
    except ValueError as error:  # argparse would replace its words
        raise argparse.ArgumentTypeError(str(error)) from error


def count_or_share(text: str) -> Union[int, float]:
    """``'10'`` images, or a share as :func:`parse_fraction` reads it."""
    return int(text) if text.strip().isdigit() else share(text)


def stems_of(args: argparse.Namespace, source: Source) -> list[str]:
    """The images to be divided: all of the dataset, or with ``--masked-only`` those that have a mask. What else lies
    in a folder of your own is said on stderr.

    Raises:
        FileNotFoundError: No images, or none with a mask.
    """
    stems = training_stems(args.data_root, source)
    if args.dataset == 'folder':
        folder = osp.join(args.data_root, source.images)
        others = left_out_text(scan_folder(folder, source.img_suffix).left_out)
        if others:
            sys.stderr.write(f'make_split: {folder} also holds {others}, in no list; --img-suffix says which ending '
                             'counts\n')
    if not args.masked_only:
        return stems
    folder = osp.join(args.data_root, source.masks)
    paths = {osp.join(folder, stem + source.mask_suffix): stem for stem in stems}
    missing = missing_of(list(paths))
    masked = [stem for path, stem in paths.items() if path not in missing]
    if not masked:
        raise FileNotFoundError(f'none of {len(stems)} images has a mask in {folder!r}, such as {min(missing)!r}: '
                                'correct --masks or --mask-suffix')
    if missing:
        named = ', '.join(sorted(paths[path] for path in missing)[:5])
        sys.stderr.write(f'make_split: {len(missing)} of {len(stems)} images have no mask and are in no list '
                         f'({named})\n')
    return masked


def hold_out(args: argparse.Namespace, source: Source, stems: Sequence[str]) -> Split:
    """Images for training (``labeled`` of the split) and, drawn at random or in blocks, for
    validation (``unlabeled``); all have masks.

    Raises:
        ValueError: Nothing would be left on one side, or options of another division.
    """
    if args.dataset != 'folder' or args.protocol or args.fraction is not None or args.import_from:
        raise ValueError("--val divides your own images (dataset 'folder') and goes without --protocol, --fraction "
                         'and --import-from')
    count = args.val if isinstance(args.val, int) else math.ceil(len(stems) * args.val - 1e-9)
    if not 0 < count < len(stems):
        raise ValueError(f'--val {count}: of {len(stems)} images at least one must be left on each side')
    if args.mode == 'blocks':
        drawn = draw_blocks(stems, count, args.seed, args.blocks, args.gap, args.sequence)
    elif args.mode == 'sequences':
        drawn = draw_sequences(stems, count, args.seed, args.sequence)
    else:
        drawn = draw_split(stems, count, args.seed)
    # those that were drawn are for validation: the second list
    split = Split(drawn.unlabeled, drawn.labeled, drawn.unused)
    check_split(split, stems)
    if not args.no_masks:
        check_masks(args.data_root, source, [*split.labeled, *split.unlabeled])
    return split


def write_held_out(args: argparse.Namespace, source: Source, home: str) -> None:
    """Draw the images held out for validation, write ``train.txt`` and ``val.txt`` into a folder
    below ``home``, and print what was written.
    """
    split = hold_out(args, source, stems_of(args, source))
    folder = osp.join(home, (args.name or 'train_val') + (f'_seed{args.seed}' if args.seed else ''))
    paths = write_split(folder, split, args.overwrite, ('train', 'val'))
    unused = f', {len(split.unused)} unused' if split.unused else ''
    print(f'{len(split.labeled)} for training, {len(split.unlabeled)} for validation{unused}: {", ".join(paths)}')


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make and write the divisions that are asked for.

    Raises:
        ValueError: A division that is refused, or options that do not go together.
        FileNotFoundError: Images, masks or lists that are missing.
        FileExistsError: Another list is there already.
    """
    args = parse_args(argv)
    if args.show:
        for protocol in PROTOCOLS.get(args.dataset, {}).values():
            print(f'{protocol.name}: {protocol.labeled} labeled, {protocol.unlabeled} unlabeled')
        return 0
    if args.data_root is None:
        raise ValueError('give the folder of the dataset')
    if args.val is not None:
        write_held_out(args, source_of(args), args.out or osp.join(args.data_root, 'splits'))
        return 0
    source, protocols = source_of(args), protocols_of(args)
    stems = stems_of(args, source)
    if source.total is not None and source.total != len(stems) and not args.allow_incomplete:
        raise ValueError(f'{source.name} has {source.total} training images, here are {len(stems)}: complete the '
                         'data, or pass --allow-incomplete for a part of them on purpose')
    home = args.out or osp.join(args.data_root, 'splits')
    for protocol in protocols:
        folder = osp.join(home, protocol.name + (f'_seed{args.seed}' if args.seed else ''))
        split = make(args, source, protocol, stems)
        paths = write_split(folder, split, args.overwrite)
        unused = f', {len(split.unused)} unused' if split.unused else ''
        print(f'{len(split.labeled)} labeled, {len(split.unlabeled)} unlabeled{unused}: {", ".join(paths)}')
    return 0


if __name__ == '__main__':
    run_tool(main)
