"""The command line that the converters share."""
import argparse
import os.path as osp
from collections.abc import Sequence
from typing import Callable, Optional

from .engine import Report, convert
from .files import write_list
from .recipes import Part, Recipe, find_jobs


def make_parser(doc: Optional[str],
                root_help: str = 'folder of the dataset as published') -> argparse.ArgumentParser:
    """Parser with the dataset's folder and the options every converter has."""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data_root', help=root_help)
    parser.add_argument('--out-root', help='write below this folder (default: beside the '
                        'published files)')
    parser.add_argument('--num-workers', type=int, help='processes (default: all cores)')
    parser.add_argument('--overwrite', action='store_true', help='make labels again that are there')
    parser.add_argument('--verify', action='store_true', help='compare labels that are there with '
                        'what they should be')
    return parser


def options_of(args: argparse.Namespace) -> dict:
    """Those of the common options that :func:`convert` takes."""
    return dict(num_workers=args.num_workers, overwrite=args.overwrite, verify=args.verify)


def expect(what: str, found: int, published: Optional[int]) -> str:
    """A line such as ``train: 2975 images (as published)``: ``what``, the number of images that
    were ``found``, and whether it is the ``published`` one (None: unknown, nothing is said).
    """
    if published is None:
        return f'{what}: {found} images'
    remark = 'as published' if found == published else f'published: {published}'
    return f'{what}: {found} images ({remark})'


# (parsed arguments, part, its report, stems that have only an image or only a label)
AfterPart = Callable[[argparse.Namespace, Part, Report, list[str]], None]


def run_recipe(recipe: Recipe, doc: Optional[str], argv: Optional[Sequence[str]] = None,
               extend: Optional[Callable[[argparse.ArgumentParser],
                                         None]] = None, after: Optional[AfterPart] = None) -> int:
    """Convert the parts of a dataset, print the summary.

    Args:
        recipe: The dataset.
        doc: Help text.
        argv: Arguments; None: of the process.
        extend: Adds options to the parser.
        after: Called after each part with the parsed arguments, the part, its report and the stems
            that have only an image or only a label.

    Returns:
        Exit code: 1 when a label failed, lacks an image, or an image lacks a label; labels whose
        size is not that of the image are reported and left out, but are no failure (GTA5 has some
        as published).
    """
    parser = make_parser(doc)
    names = [part.name for part in recipe.parts]
    if len(names) > 1:
        parser.add_argument(
            '--parts', nargs='+', choices=names, metavar='PART', help='some of '
            f'{", ".join(names)} '
            '(default: '
            f'{", ".join(p.name for p in recipe.parts if p.default)}, '
            'where they '
            'are there)')
    if extend:
        extend(parser)
    args = parser.parse_args(argv)
    chosen = vars(args).get('parts')  # no such option where there is one part
    bad = 0
    for part in _parts(recipe, chosen, args.data_root):
        jobs, unpaired = find_jobs(recipe, part, args.data_root, args.out_root)
        report = convert(jobs, recipe.labels, len(recipe.classes), title=f'{recipe.title} '
                         f'{part.name}', **options_of(args))
        print(expect(f'{recipe.title} {part.name}', len(jobs), part.count))
        print(report.summary(recipe.classes))
        if unpaired:
            print(f'  {len(unpaired)} images without label or labels without image, for example '
                  f'{unpaired[:3]}')
        if after:
            after(args, part, report, unpaired)
        bad += len(report.failed) + len(unpaired)
    return 1 if bad else 0


def _parts(recipe: Recipe, chosen: Optional[list[str]], root: str) -> list[Part]:
    """The chosen parts of a dataset; without a choice those whose labels are there."""
    if chosen:
        return [part for part in recipe.parts if part.name in chosen]
    default = [part for part in recipe.parts if part.default]
    existing = [part for part in default if osp.isdir(osp.join(root, part.labels))]
    return existing or default[:1]  # the first one gives the message about the missing folder


def write_lists(root: str, lists: dict[str, Sequence[str]]) -> None:
    """Write list files (name below ``root`` -> stems) and say so."""
    for name, stems in lists.items():
        path = osp.join(root, name)
        print(f'{write_list(path, stems)} names in {path}')
