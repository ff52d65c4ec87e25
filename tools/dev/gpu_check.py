"""What a GPU has to say about the speed of training, in at most eight minutes.

    python tools/dev/gpu_check.py [CONFIG] [--against OTHER_CHECKOUT] [--minutes 8] [--json OUT.json] [--only ROW ...]
    python tools/dev/gpu_check.py --device cpu --quick      # the logic of the script, not the speed of anything

Rows, each a process of its own with random images at the config's crop: float32, bfloat16, float16, bfloat16 with the
teachers in bfloat16, bfloat16 compiled, and float32 and bfloat16 of another checkout (a git worktree, 0dfdb23 say).
Each gives images per second (of all streams), milliseconds per step, peak memory, and the places at which the host
waited for the GPU in one step after warming up (torch's sync debug mode; those of copying the batch are the loader's).
float32 and bfloat16 run in turn with those of the other checkout. Rows that no time is left for are named. Exit code
0: all rows that had time ran; 1: one failed; 2: there is no GPU.
"""
import argparse
import json
import runpy
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Optional

import torch

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import run_tool

ROOT = Path(__file__).resolve().parents[2]
#: Its ``Worker`` is a process that trains.
BENCHMARK = ROOT / 'tools/analysis_tools/benchmark.py'
CONFIG = ROOT / 'configs/daformer/daformer_mitb5_gta2cityscapes.py'
AIM = 1.5  # times the images per second of the other checkout
#: Options of --quick.
SMALL = {'model.network.backbone.arch': 'b0', 'model.network.decode_head.in_channels': [32, 64, 160, 256]}
BF16 = {'optim_wrapper.type': 'BF16OptimWrapper'}
#: Row -> options on top of the config's.
ROWS: dict[str, dict[str, Any]] = dict(
    fp32={}, bf16=BF16, fp16={'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.loss_scale': 'dynamic'},
    teacher={**BF16, 'model.teacher_precision': 'bf16'}, compile={**BF16, 'train_cfg.compile': True})
#: Rows that are measured with the other checkout, too.
AGAINST = ('fp32', 'bf16')


class Row:
    """A process that trains on random images.

    Args:
        worker: Starts it, see ``Worker`` of benchmark.py.
        checkout: Whose package.
        options: Of the config.
        args: Of the command line.

    Attributes:
        seconds: Of the steps that count.
    """

    def __init__(self, worker: Any, checkout: Path, options: dict[str, Any], args: argparse.Namespace) -> None:
        # the checkout's own copy of the config, where it has one
        own = checkout / args.config.relative_to(ROOT) if args.config.is_relative_to(ROOT) else args.config
        settings = dict(config=str(own if own.is_file() else args.config), size=args.size, batch_size=args.batch_size,
                        device=args.device, threads=1 if args.device == 'cpu' else None,
                        options={**(SMALL if args.quick else {}), **options})
        self.worker, self.seconds = worker(checkout, settings), []
        for _ in range(args.skip):
            self.worker('plain')

    def step(self) -> None:
        """Train one step and keep its seconds."""
        self.seconds.append(self.worker('plain')[0])

    def result(self) -> dict[str, Any]:
        """Figures of the row: ``ms`` and ``images_per_second`` (median), ``memory`` (peak bytes),
        ``syncs`` (waits by place in one more step; None on a CPU) and ``precision``.
        """
        step, info = statistics.median(self.seconds), self.worker.info
        return dict(ms=1e3 * step, images_per_second=info['batch_size'] * info['streams'] / step,
                    memory=self.worker('allocated'), syncs=self.worker('syncs'), precision=info['precision'])


def run_rows(rows: dict[str, tuple[Path, dict]], args: argparse.Namespace, worker: Any) -> dict[str, Any]:
    """Results of rows that take turns step by step; a row that fails has an ``error``.

    Args:
        rows: Name -> (checkout, options of the config).
        args: Of the command line.
        worker: Starts a process, see :class:`Row`.

    Returns:
        Name -> :meth:`Row.result`, or ``dict(error=last line of the message)``.
    """
    found: dict[str, Any] = {}
    running: dict[str, Row] = {}
    try:
        for name, (checkout, options) in rows.items():
            try:
                running[name] = Row(worker, checkout, options, args)
            except (RuntimeError, ValueError) as error:
                found[name] = dict(error=str(error).strip().splitlines()[-1])
        for _ in range(args.iters):
            for name in list(running):
                try:
                    running[name].step()
                except (RuntimeError, ValueError) as error:
                    found[name] = dict(error=str(error).strip().splitlines()[-1])
                    running.pop(name).worker.close()
        for name, row in running.items():
            try:
                found[name] = row.result()
            except (RuntimeError, ValueError) as error:
                found[name] = dict(error=str(error).strip().splitlines()[-1])
    finally:
        for row in running.values():
            row.worker.close()
    return found


def check(args: argparse.Namespace, worker: Any, now=time.monotonic) -> dict[str, Any]:
    """Results of all rows, with ``skipped`` for those that no time is left for.

    A row and the same row of the other checkout are a group, run in turn; the dearest group so far
    is what the next one is assumed to take.

    Args:
        args: Of the command line.
        worker: Starts a process, see :class:`Row`.
        now: The clock, in seconds.
    """
    begun, longest, results = now(), 0., {}
    for name in args.only or ROWS:
        start = now()
        if results and start - begun + longest > 60 * args.minutes:
            results[name] = dict(skipped=f'no time left of {args.minutes:g} minutes')
            continue
        group = {name: (ROOT, ROWS[name])}
        if args.against and name in AGAINST:
            group[f'{name}, {args.against.name}'] = (args.against, ROWS[name])
        results.update(run_rows(group, args, worker))
        longest = max(longest, now() - start)
    return results


def lines_of(results: dict[str, Any], against: Optional[Path]) -> list[str]:
    """The table, the places at which the host waited, and the ratios to the other checkout.

    Args:
        results: Of :func:`check`.
        against: The other checkout; None without one.
    """
    lines = ['| row | images per second | ms per step | peak MiB | waits of the host |', '|---|---|---|---|---|']
    for name, row in results.items():
        if 'ms' not in row:
            lines.append(f'| {name} | {row.get("skipped") or "failed: " + row["error"]} | | | |')
            continue
        waits = 'not counted' if row['syncs'] is None else str(sum(row['syncs'].values()))
        lines.append(f'| {name} | {row["images_per_second"]:.2f} | {row["ms"]:.1f} | '
                     f'{row["memory"] / 2**20:.0f} | {waits} |')
    for name, row in results.items():
        lines += [f'{name}: waits {count}x at {place}' for place, count in (row.get('syncs') or {}).items()]
    for name in AGAINST if against else ():
        ours, theirs = results.get(name, {}), results.get(f'{name}, {against.name}', {})
        if 'ms' in ours and 'ms' in theirs:
            gain = ours['images_per_second'] / theirs['images_per_second']
            lines.append(f'{name}: {gain:.2f} times the images of {against.name} (aim {AIM}: '
                         f'{"reached" if gain >= AIM else "not reached"}), '
                         f'{ours["memory"] / max(theirs["memory"], 1):.2f} of its memory')
    return lines


def parse_args(argv: Optional[list[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', type=Path, default=CONFIG)
    parser.add_argument('--against', type=Path, metavar='CHECKOUT', help='another checkout of this package')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument('--quick', action='store_true', help='MiT-B0, 160x160 pixels, one image, one step')
    parser.add_argument('--only', nargs='+', choices=sorted(ROWS), metavar='ROW')
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--iters', type=int, default=15)
    parser.add_argument('--skip', type=int, default=4, help='steps of each row before those')
    parser.add_argument('--minutes', type=float, default=8.)
    parser.add_argument('--json')
    args = parser.parse_args(argv)
    args.config = args.config.resolve()
    args.against = args.against.resolve() if args.against else None
    if args.quick:
        args.size, args.batch_size, args.iters, args.skip = args.size or [160, 160], args.batch_size or 1, 1, 1
    if not args.config.is_file():
        parser.error(f'no config {args.config}')
    if args.iters < 1 or args.skip < 0 or args.minutes <= 0:
        parser.error('--iters and --minutes must be positive, --skip not negative')
    return args


def main(argv: Optional[list[str]] = None) -> int:
    """Measure and print; the exit code of the module's text."""
    args = parse_args(argv)
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('gpu_check: torch sees no GPU here, so nothing is measured (--device cpu --quick tries the script '
              'itself)', file=sys.stderr)
        return 2
    results = check(args, runpy.run_path(str(BENCHMARK))['Worker'])
    device = torch.cuda.get_device_name() if args.device == 'cuda' else 'CPU: these are no measurements of speed'
    print(f'{args.config.stem}, torch {torch.__version__}, {device}\n')
    print('\n'.join(lines_of(results, args.against)))
    if args.json:
        Path(args.json).write_text(json.dumps(dict(device=device, torch=torch.__version__, rows=results), indent=2),
                                   encoding='utf-8')
    return 1 if any('error' in row for row in results.values()) else 0


if __name__ == '__main__':
    run_tool(main)
