"""The arguments that ``mmseg-dg adapt`` and ``mmseg-dg suggest`` share."""
import argparse
from typing import Any, Callable

from . import own_data


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the options for what there is to train on, and for the settings one may choose."""
    pair: dict[str, Any] = dict(nargs=2, metavar=('IMAGES', 'MASKS'))
    parser.add_argument('--source', **pair, help='labeled images of one domain')
    parser.add_argument('--target', metavar='IMAGES',
                        help='images of the domain that counts, without labels')
    parser.add_argument('--target-labeled', **pair,
                        help='a few labeled images of the target domain, beside --source, --target')
    parser.add_argument('--labeled', **pair, help='few labeled images, with --unlabeled')
    parser.add_argument('--unlabeled', metavar='IMAGES',
                        help='many images without labels, of the same domain')
    parser.add_argument('--data', **pair, help='labeled images, for ordinary training')
    parser.add_argument(
        '--classes', nargs='+', required=True, metavar='NAME',
        help='in the order of the ids in the masks; or one text file with a name per line')
    parser.add_argument('--binary', action='store_true',
                        help='masks of 0 and 255: 255 is the second class')
    parser.add_argument('--method', metavar='NAME',
                        help='daformer, mic, source_only, labeled_only, ...')
    parser.add_argument('--encoder', metavar='NAME',
                        help='mobilenetv2 (default; it ships), or mit_b0 to mit_b5')
    parser.add_argument('--iterations', type=int, metavar='N')
    parser.add_argument('--batch-size', type=int, metavar='N',
                        help='images of each stream per iteration')
    parser.add_argument('--crop-size', type=int, nargs='+', metavar='N',
                        help='HEIGHT WIDTH, or one number')
    parser.add_argument('--device', metavar='NAME', help='cpu: hide the GPUs')


def set_of(pair: list) -> dict[str, str]:
    """Two words of the command line, the folders IMAGES and MASKS, as ``mmseg_dg.adapt`` and its
    siblings take a set of images.
    """
    return dict(images=pair[0], masks=pair[1])


def images_of(args: argparse.Namespace) -> tuple[Callable[..., Any], dict[str, dict]]:
    """The function that the given sets of images ask for, and its first arguments.

    Args:
        args: Of a parser with the options of :func:`add_images`.

    Returns:
        ``mmseg_dg.adapt``, ``semi_adapt``, ``semi`` or ``train``, and ``{argument: dict(images=...,
        masks=...)}`` for it.

    Raises:
        ValueError: No set that belongs together.
    """
    options = {
        name
        for name in ('source', 'target', 'target_labeled', 'labeled', 'unlabeled', 'data')
        if vars(args)[name]
    }
    if options == {'source', 'target', 'target_labeled'}:
        return own_data.semi_adapt, dict(source=set_of(args.source),
                                         target=dict(images=args.target),
                                         target_labeled=set_of(args.target_labeled))
    if options == {'source', 'target'}:
        return own_data.adapt, dict(source=set_of(args.source), target=dict(images=args.target))
    if options == {'labeled', 'unlabeled'}:
        return own_data.semi, dict(labeled=set_of(args.labeled),
                                   unlabeled=dict(images=args.unlabeled))
    if options == {'data'}:
        return own_data.train, dict(data=set_of(args.data))
    got = ', '.join('--' + name.replace('_', '-') for name in sorted(options)) or 'none of them'
    raise ValueError('give --source and --target (and --target-labeled), or --labeled and '
                     f'--unlabeled, or --data; got {got}')


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line, as arguments of ``mmseg_dg.adapt``; what
    was not given is left out.
    """
    # one number for a square, or (height, width)
    crop = args.crop_size and (args.crop_size[0]
                               if len(args.crop_size) == 1 else tuple(args.crop_size))
    found = dict(method=args.method, encoder=args.encoder, iterations=args.iterations,
                 batch_size=args.batch_size, crop_size=crop,
                 label_map={255: 1} if args.binary else None)
    return {key: value for key, value in found.items() if value is not None}


def classes_of(args: argparse.Namespace) -> Any:
    """``--classes`` as the functions take it: several words are names, a single one is the path of
    a text file with the names.
    """
    return args.classes[0] if len(args.classes) == 1 else args.classes
