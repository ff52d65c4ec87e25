"""Examine the data of a config before training: ``python tools/doctor.py CONFIG``.

Checks paths, pairs, sizes, label ids, damaged files, images shared between streams, classes, known sizes of public
datasets, pretrained weights. Prints one table and the offenders; the exit status is 1 for errors. Of cached features
(train_cfg.cached_features) it says where they are, or what disk they will take.
"""
import argparse
import contextlib
import json
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Optional

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import DEBUG, USER_ERRORS, message_of, run_tool
from mmseg_dg.apis.launch import ConfigOptions, add_row_args
from mmseg_dg.apis.row_configs import load_config
from mmseg_dg.datasets.doctor import KINDS, Finding, examine, write_fixed_lists
from mmseg_dg.engine.feature_doctor import feature_lines
from mmseg_dg.utils.console import Progress
from mmseg_dg.weights.files import missing_weights


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog='kinds of faults: ' + ', '.join(KINDS))
    parser.add_argument('config', help='config file')
    add_row_args(parser)
    parser.add_argument('--stream', nargs='+', metavar='NAME',
                        help='only these, e.g. source, val/cityscapes, train (default: all)')
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument('--full', action='store_true', help='decode every file (default)')
    depth.add_argument('--quick', action='store_true', help='decode 200 labels per stream, no image completely')
    parser.add_argument('--fix-list', metavar='DIR', help='write lists (ann_file) without the offenders')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON instead')
    parser.add_argument('--all', action='store_true', help='name every offender, not the first of each kind')
    parser.add_argument('--strict', action='store_true', help='exit status 1 for warnings too')
    parser.add_argument('--ignore', nargs='+', default=[], metavar='KIND', help='leave kinds of faults out')
    parser.add_argument('--num-workers', type=int, help='processes (default: all cores)')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='override settings of the config')
    return parser.parse_args(argv)


class Bars:
    """``progress(what, done, total)`` of :func:`examine` on stderr: how far each stream is, and the time left.

    Attributes:
        bars: Stage (``what``) -> its line on the terminal.
    """

    def __init__(self) -> None:
        self.bars: dict[str, Progress] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.bars:
            self.bars[what] = Progress(what, total)
        self.bars[what].update(done - self.bars[what].done)  # it counts steps that are new


def option(key: str, value: str) -> str:
    """``key=value`` quoted so that a shell and ``--cfg-options`` read back the same value."""
    if re.search(r'''[\s,'"()\[\]\\]''', value):  # mmengine would drop blanks and split at commas
        value = f'({value!r})'
    return shlex.quote(f'{key}={value}')


def load(args: argparse.Namespace) -> Config:
    """The config, with the packages it needs imported."""
    cfg = load_config(args.config, args.row, args.subset)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg['custom_imports'])
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    return cfg


def main(argv: Optional[Sequence[str]] = None, debug: bool = False) -> int:
    """Examine the config's data, print the findings, write cleaned lists where asked.

    Args:
        argv: Of the command line, without ``--debug``; None: of this process.
        debug: Whether to print where an error was found, before its message.

    Returns:
        Exit status: 1 for faults that training would stop at (with --strict warnings as well), 2
        where the config cannot be examined or the lists cannot be written.
    """
    args = parse_args(argv)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # mmengine logs to stdout, which is for the result
            cfg = load(args)
            weights = [Finding('weights', '', key, str(error)) for key, error in missing_weights(cfg)]
            report = examine(cfg, args.stream, args.quick, args.num_workers, args.ignore,
                             None if args.json else Bars(), config_findings=weights)
            features = feature_lines(cfg)  # of cached features; lines with ERROR are faults
    except USER_ERRORS as error:
        if debug:
            traceback.print_exc()
        text = message_of(error)
        print(text if args.config in text else f'{text} (in {args.config})', file=sys.stderr)
        return 2
    # a refusal to write lists is told after the report, which is worth having all the same
    lists, refusal = {}, ''
    try:
        lists = write_fixed_lists(report, args.fix_list) if args.fix_list else {}
    except (ValueError, OSError) as error:
        if debug:
            traceback.print_exc()
        refusal = f'{args.config}: --fix-list: {error}'
    if args.json:
        print(json.dumps(dict(report.as_dict(), lists=lists, cached_features=features), indent=1))
    else:
        print(report.text(None if args.all else 8))
        for line in features:
            print(f'cached features: {line}')
        if lists:
            print('cleaned lists: --cfg-options ' + ' '.join(option(*item) for item in lists.items()))
        elif args.fix_list and not refusal:
            print('no list written: nothing can be cured by leaving images out')
    if refusal:
        print(refusal, file=sys.stderr)
        return 2
    broken = any('ERROR' in line for line in features)
    return 1 if report.errors or broken or args.strict and report.warnings else 0


if __name__ == '__main__':
    run_tool(partial(main, debug=DEBUG in sys.argv[1:]))  # looked for before run_tool takes it out
