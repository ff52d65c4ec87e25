"""Options of the command line, and warnings about settings that no config has."""
import argparse
import ast
import difflib
import inspect
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional

import torch
from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner


class ConfigOptions(DictAction):
    """``KEY=VALUE`` pairs; unlike mmengine's action it also takes Python literals such as
    ``"[{'type': 'A'}]"``.
    """
    @staticmethod
    def _parse_iterable(val: str) -> Any:
        """The value of a setting: a list, tuple or dict as Python reads it, else as mmengine does
        (numbers, booleans, text).
        """
        if val.strip()[:1] in ('[', '(', '{'):
            try:
                return ast.literal_eval(val.strip())
            except (ValueError, SyntaxError):
                pass  # words without quotes, as in [a,b]: mmengine's own reading
        return DictAction._parse_iterable(val)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Optional[Sequence[str]], option_string: Optional[str] = None) -> None:
        """argparse's interface: refuse pairs that mmengine would misread, then read them as it."""
        for pair in values or ():
            if '=' not in pair:
                parser.error(f'{option_string}: {pair!r} is not of the form key=value')
            # "x=dict(...)": mmengine would store the text, or recurse without end
            if re.search(r'[=\[(,\s]dict\(', pair):
                parser.error(f'{option_string}: write dicts as Python literals, '
                             'e.g. key="[{\'type\': \'A\', \'x\': 1}]", not as dict(type=...)')
        super().__call__(parser, namespace, values, option_string)


def add_common_args(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``tools/train.py`` and ``tools/test.py`` share."""
    parser.add_argument(
        '--work-dir', help='where logs and checkpoints go (default: '
        'work_dirs/<config>[_<row>][_<subset>])')
    add_row_args(parser)
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='override settings of the config, e.g. train_cfg.max_iters=100')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how several processes were started')
    parser.add_argument(
        '--gpus', type=int, default=None,
        help='for "mim train": 0 means CPU; several processes need --launcher '
        'pytorch')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default=None, help='"cpu" hides the '
                        'GPUs')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_row_args(parser: argparse.ArgumentParser) -> None:
    """Add ``--row`` and ``--subset``: which variant of the config is meant."""
    parser.add_argument(
        '--row', metavar='NAME', help='variant of the config, from the '
        'ablations.yml beside it (tools/rows.py '
        'CONFIG lists them)')
    parser.add_argument('--subset', metavar='NAME', help='labeled subset: the lists in '
                        '<data_root>/splits/NAME')


def add_run_args(parser: argparse.ArgumentParser) -> None:
    """Add the options of training: what becomes of a run that the work dir already holds."""
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='FILE',
        help='go on from the newest readable checkpoint of the work dir, or from '
        'FILE')
    parser.add_argument(
        '--resume-weights-only', action='store_true',
        help='with --resume: take weights and iteration, begin with a new '
        'optimizer')
    parser.add_argument(
        '--overwrite', action='store_true',
        help='remove the checkpoints of an earlier run in the work dir and begin '
        'again')


def finish_args(args: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Check what argparse cannot and set the environment variables that follow from the options;
    returns ``args``.
    """
    if args.launcher == 'none' and (args.gpus or 0) > 1:
        parser.error('--gpus > 1 needs --launcher pytorch (or slurm); or use tools/dist_train.sh')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch sees no GPU (torch.cuda.is_available() is False)')
    if (args.device == 'cpu' or args.gpus == 0) and torch.cuda.is_available():
        # the tools hide the GPUs before mmengine looks for them, which it does once, when it is
        # imported
        parser.error('a GPU is still visible; set CUDA_VISIBLE_DEVICES=-1 to run on the CPU')
    # launchers give the process's number on this machine as an option or in this variable, which is
    # where mmengine reads it
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def _dotted_keys(node: Any, prefix: str = '') -> Iterator[str]:
    """Every dotted key of a nested config, of dicts and lists as well as of what is in them:
    ``a``, ``a.0``, ``a.0.b``; list positions are numbers. ``prefix`` goes in front of each.
    """
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    for key, value in items:
        yield f'{prefix}{key}'
        yield from _dotted_keys(value, f'{prefix}{key}.')


def warn_unknown_options(cfg: Config, options: dict) -> list:
    """Warn about overrides of keys that the config does not have: usually a typing error, which
    mmengine accepts.

    Keys that ``Runner`` knows but a config may leave out (``load_from``, ``randomness.seed``, ...)
    are fine.

    Returns:
        The unknown keys.
    """
    # what the config has, and what Runner, its randomness and the training loop take
    known = set(_dotted_keys(cfg._cfg_dict.to_dict()))
    known |= set(inspect.signature(
        Runner.__init__).parameters) | {'runner_type', 'model_wrapper_cfg', 'compile'}
    known |= {f'randomness.{name}' for name in inspect.signature(Runner.set_randomness).parameters}
    if any(key.startswith('train_cfg.') for key in options):
        # here, because the tools that train nothing need no loops
        from mmseg_dg.engine.loops import MultiStreamTrainLoop
        known |= {
            f'train_cfg.{name}'
            for name in inspect.signature(MultiStreamTrainLoop.__init__).parameters
        }
    unknown = [key for key in options if key not in known and not key.endswith('_delete_')]
    for key in unknown:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)  # 0: however far it is
        print_log(
            f'--cfg-options: the config has no key "{key}"; it is added. Did you mean '
            f'"{close[0]}"?', logger='current', level=logging.WARNING)
    return unknown
