"""CPU-seconds per iteration on cached features against the same frozen encoder without them.

    python tools/analysis_tools/cached_features_cost.py CONFIG [--iters 12] [--skip 3] [--json
        out.json] [--cfg-options key=value ...]

CONFIG has ``train_cfg.cached_features``; it is trained as it is and with ``cached_features=None``,
one after the other in this process, without worker processes, validation and pictures. An iteration
is everything from one step's end to the next: loading, preprocessing, all passes, optimizer,
averages. The CPU time of the process is counted, so that other load on the machine does not enter;
the median after ``--skip`` iterations is reported, and what building the features took, per view.
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.config import Config
from mmengine.hooks import Hook

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.launch import ConfigOptions, build_runner
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.config_files import read_config_file


@HOOKS.register_module()
class CPUClockHook(Hook):
    """Notes the process's CPU time before training and at the end of every iteration.

    Attributes:
        marks: CPU seconds of the process: before the first iteration, then after each.
    """

    def __init__(self) -> None:
        self.marks: list[float] = []

    def before_train(self, runner) -> None:
        self.marks.append(time.process_time())

    def after_iteration(self, runner) -> None:
        self.marks.append(time.process_time())


def measure(config: Config, cached: bool, iterations: int, skip: int, work_dir: Path) -> dict:
    """Train a few iterations and take their time.

    Args:
        config: Not changed.
        cached: With ``cached_features`` as configured, or without.
        iterations: To train.
        skip: First iterations that are not counted.
        work_dir: Of the run.

    Returns:
        CPU ``seconds`` per iteration (median), CPU seconds to ``prepare`` before the first one
        (checks and encoding), number of ``views`` that were encoded (0 without cached features).
    """
    cfg = copy.deepcopy(config)
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations, preflight_samples=0)
    if not cached:
        cfg.train_cfg.cached_features = None
    for key in (
        'val_dataloader',
        'val_cfg',
        'val_evaluator',
        'test_dataloader',
        'test_cfg',
        'test_evaluator',
    ):
        cfg[key] = None
    for loader in cfg.train_dataloader.values():
        loader.update(num_workers=0, persistent_workers=False)
    hooks = [hook for hook in cfg.get('custom_hooks') or () if 'Pictures' not in hook['type']]
    cfg.custom_hooks = [*hooks, dict(type='CPUClockHook')]
    cfg.param_scheduler = []  # their lengths are those of the whole run
    cfg.log_level = 'WARNING'
    cfg.default_hooks.pop('report', None)
    cfg.default_hooks.checkpoint.interval = 10 * iterations  # none before the end
    cfg.experiment_name = f'{work_dir.name}_{time.time_ns()}'
    runner = build_runner(cfg)
    begin = time.process_time()
    runner.train()
    marks = next(h for h in runner.hooks if isinstance(h, CPUClockHook)).marks
    steps = [b - a for a, b in zip(marks, marks[1:])][skip:]
    # ``stored`` are the cached features of a stream's dataset: so many views of each image
    views = sum(
        len(loader.dataset) * (loader.dataset.stored.views if loader.dataset.stored else 0)
        for _, loader in runner.train_dataloader.items()
    )
    return dict(seconds=statistics.median(steps), prepare=marks[0] - begin, views=views)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file with train_cfg.cached_features')
    parser.add_argument('--iters', type=int, default=12, help='iterations of each run')
    parser.add_argument('--skip', type=int, default=3, help='first iterations that are not counted')
    parser.add_argument('--json', help='write the numbers to this file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parse_args(argv)
    cfg = read_config_file(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if not cfg.train_cfg.get('cached_features'):
        print(f'{args.config} has no train_cfg.cached_features to measure')
        return 2
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ('uncached', 'cached'):
            found[name] = measure(cfg, name == 'cached', args.iters, args.skip, Path(folder, name))
    ratio = found['cached']['seconds'] / found['uncached']['seconds']
    for name, values in found.items():
        print(
            f'{name:>8}: {values["seconds"]:.4f} CPU-s per iteration, {values["prepare"]:.2f} '
            f'CPU-s before the first ({values["views"]} views)'
        )
    print(f'cached / uncached = {ratio:.3f}')
    if args.json:
        Path(args.json).write_text(json.dumps(dict(found, ratio=ratio), indent=1), encoding='utf-8')
    return 0


if __name__ == '__main__':
    run_tool(main)
