"""What a training step costs, by part; one config, or two sides in turn.

    python tools/analysis_tools/benchmark.py CONFIG [--device cpu] [--iters 10] [--size 256 256] [--batch-size 2]
        [--cfg-options KEY=VALUE ...] [--json OUT.json] [--picture OUT.png]
        [--compare CONFIG2 | --compare-options KEY=VALUE ... | --compare-path OTHER_CHECKOUT]

A step on random images (no files are read): preprocessing ("data"), every pass forward and backward, teacher, feature
distance, mixing, draws, optimizer, EMA, hooks, other; the parts add up to the step. Medians and spread (25 to 75 %) of
CPU seconds and of the clock; peak memory; FLOPs of the step's products and their share of what a matrix product and a
convolution reach in the same process, precision and moment; the ten dearest operators by shape; inference of one
image. ``--cfg-options`` changes both sides, ``--compare-options`` the second one. Sides are processes of their own
that take turns step by step, the order alternating, and the ratio is the median of neighbors' CPU seconds: other load
hits both alike. ``--compare-path`` measures another checkout of this package (a git worktree) with the same config.
On a GPU the clock counts, with a wait at every boundary between parts.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.config import DictAction

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import run_tool

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
MIB, GIGA = 2**20, 1e9


class Worker:
    """A side in a process of its own; see ``_benchmark_worker.py``.

    Called with the name of a command (a method of ``Side`` there), it gives the answer.

    Args:
        checkout: Folder of a clone of this package, which the process imports.
        settings: ``config``, ``options``, ``size``, ``batch_size``, ``device`` and ``threads``.

    Attributes:
        info: What the process says of itself when it is ready (``Side.info``).
        log: Standard error of the process.

    Raises:
        ValueError: The side could not be built; the message is the worker's.
        RuntimeError: Its process ended.
    """

    def __init__(self, checkout: Path, settings: dict[str, Any]) -> None:
        if not (checkout / 'tools/analysis_tools/method_cost.py').is_file():
            raise ValueError(f'--compare-path {checkout} is no checkout of this package: it has no '
                             'tools/analysis_tools/method_cost.py')
        settings = dict(settings, checkout=str(checkout))
        self.log = tempfile.TemporaryFile('w+')
        env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(checkout), os.environ.get('PYTHONPATH', '')]))
        self.process = subprocess.Popen([sys.executable, str(HERE.with_name('_benchmark_worker.py')),
                                         json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env=env)
        self.info = self._answer()  # the first line comes without a command

    def __call__(self, command: str) -> Any:
        """Let the process carry out a command; what it answers."""
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        """The next answer, a line of JSON; errors as of the class."""
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f'a side of the benchmark failed:\n{self.log.read()[-3000:]}')
        answer = json.loads(line)
        if isinstance(answer, dict) and set(answer) == {'error'}:
            raise ValueError(answer['error'])
        return answer

    def close(self) -> None:
        """End the process: its input is closed, after which it expects no more commands."""
        self.process.communicate()
        self.log.close()


# ---------------------------------------------------------------------- measuring
def in_turn(workers: list[Worker], command: str, rounds: int, skip: int) -> list[list[Any]]:
    """Answers of each worker to a command that is given in rounds, each worker once a round.

    The order within a round changes from round to round, so that none always follows the other.

    Args:
        workers: One or two.
        command: See :class:`Worker`.
        rounds: Answers that are kept.
        skip: Rounds before those.
    """
    answers: list[list[Any]] = [[] for _ in workers]
    for i in range(rounds + skip):
        order = range(len(workers)) if i % 2 == 0 else reversed(range(len(workers)))
        for k in order:
            answer = workers[k](command)
            if i >= skip:
                answers[k].append(answer)
    return answers


def spread(values: list[float]) -> dict[str, float]:
    """``median`` and quartiles, ``low`` (25 %) and ``high`` (75 %)."""
    if len(values) < 2:  # quantiles() wants two values
        return dict(median=values[0], low=values[0], high=values[0])
    low, median, high = statistics.quantiles(values, n=4, method='inclusive')
    return dict(median=median, low=low, high=high)


def by_clock(times: list) -> dict[str, dict[str, float]]:
    """Spread of (seconds on the clock, CPU seconds) pairs, under ``wall`` and ``cpu``."""
    return {kind: spread([pair[k] for pair in times]) for k, kind in enumerate(('wall', 'cpu'))}


def summary(worker: Worker, steps: list[dict], inference: list[list[float]]) -> dict[str, Any]:
    """The figures of one side.

    Args:
        worker: The side, which is asked for operations, peak speed, operators and memory.
        steps: Its answers to ``step``; a part that did not run in a step took 0 seconds there.
        inference: Its answers to ``inference``, [seconds, CPU seconds] each.

    Returns:
        The worker's info with ``step``, ``parts`` (by name) and ``inference``, each
        ``{'wall': spread, 'cpu': spread}`` in seconds; ``flops`` of a step; ``peak_flops`` (per
        second, by kind of operation) and ``share_of_peak``; ``operators``; ``memory`` in bytes.
    """
    names = dict.fromkeys(name for step in steps for name in step['parts'])
    parts = {name: by_clock([step['parts'].get(name, (0., 0.)) for step in steps]) for name in names}
    whole = by_clock([step['step'] for step in steps])
    result = dict(worker.info, step=whole, parts=parts, inference=by_clock(inference))
    flops, peak = worker('flops'), worker('peak')
    # CPU seconds do not depend on other load, but only of one thread are they the time it takes
    seconds = whole['cpu' if worker.info['device'] == 'cpu' and worker.info['threads'] == 1 else 'wall']['median']
    result.update(flops=flops, peak_flops=peak, share_of_peak={k: flops / seconds / v for k, v in peak.items()},
                  operators=worker('operators'), memory=worker('memory'))
    return result


def benchmark(sides: list[tuple[Path, dict]], iters: int, skip: int, brief: bool = False) -> dict[str, Any]:
    """Measure one or two sides.

    Args:
        sides: (checkout, settings of the worker) each.
        iters, skip: Steps that count, and steps before them.
        brief: Times only: no FLOPs, operators and memory.

    Returns:
        ``sides`` (see :func:`summary`), ``steps`` (what each side answered, step by step),
        ``iterations``, ``machine``; of two sides the ratios second / first, too.
    """
    workers = [Worker(*side) for side in sides]
    try:
        steps = in_turn(workers, 'step', iters, skip)
        inference = in_turn(workers, 'inference', max(3, iters // 2), 1)
        if brief:
            found = [dict(worker.info, step=by_clock([step['step'] for step in own_steps]))
                     for worker, own_steps in zip(workers, steps)]
        else:
            found = [summary(*row) for row in zip(workers, steps, inference)]
    finally:
        for worker in workers:
            worker.close()
    result: dict[str, Any] = dict(sides=found, steps=steps, iterations=iters, machine=machine())
    if len(workers) == 2:
        kind = 1 if workers[0].info['device'] == 'cpu' else 0  # of (clock, CPU)
        ratios = [b['step'][kind] / a['step'][kind] for a, b in zip(*steps)]
        result['ratio'] = spread(ratios)
        result['inference_ratio'] = spread([b[kind] / a[kind] for a, b in zip(*inference)])
        if not brief:
            result['memory_ratio'] = found[1]['memory'] / found[0]['memory']
    return result


def machine() -> dict[str, Any]:
    """Processor, cores, and the commit of this checkout where git knows it."""
    name = platform.processor()
    if Path('/proc/cpuinfo').is_file():
        lines = [line for line in Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name')]
        name = lines[0].split(':')[1].strip() if lines else name
    done = subprocess.run(['git', '-C', str(ROOT), 'describe', '--always', '--dirty', '--exclude=*'],
                          capture_output=True, text=True)
    return dict(processor=name, cores=os.cpu_count(), load=list(os.getloadavg()), commit=done.stdout.strip() or None)


# ---------------------------------------------------------------------- telling
def lines_of(side: dict[str, Any]) -> list[str]:
    """What the terminal shows of one side."""
    step = side['step']
    text = [f'{side["name"]}: batch {side["batch_size"]} at {side["size"][0]}x{side["size"][1]}, {side["device"]}, '
            f'{side["threads"]} thread(s), {side["precision"]}',
            f'  step {1e3 * step["cpu"]["median"]:.0f} CPU ms ({1e3 * step["cpu"]["low"]:.0f} to '
            f'{1e3 * step["cpu"]["high"]:.0f}), {1e3 * step["wall"]["median"]:.0f} ms on the clock']
    for name, part in sorted(side.get('parts', {}).items(), key=lambda item: -item[1]['cpu']['median']):
        share = part['cpu']['median'] / step['cpu']['median']
        text.append(f'    {name:24s} {1e3 * part["cpu"]["median"]:8.1f} CPU ms {100 * share:5.1f} %')
    if 'flops' in side:
        peak = ', '.join(f'{100 * side["share_of_peak"][k]:.0f} % of a {k} ({v / GIGA:.0f} GFLOP/s)'
                         for k, v in side['peak_flops'].items())
        text += [f'  {side["flops"] / GIGA:.1f} GFLOP: {peak}',
                 f'  peak memory {side["memory"] / MIB:.0f} MiB; inference of one image '
                 f'{1e3 * side["inference"]["cpu"]["median"]:.0f} CPU ms', '  dearest operators:']
        text += [f'    {op["ms"]:8.1f} ms {100 * op["share"]:5.1f} % {op["operator"]} x{op["calls"]} {op["shapes"]}'
                 for op in side['operators']]
    return text


def picture(result: dict[str, Any], path: str) -> None:
    """A stacked bar per side: CPU milliseconds by part."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(9, 1.6 + 0.7 * len(result['sides'])), layout='constrained')
    axes = figure.subplots()
    names = list(dict.fromkeys(name for side in result['sides'] for name in side['parts']))
    labels = [f'{"AB"[k]}: {side["name"]}' for k, side in enumerate(result['sides'])]
    start = [0.] * len(labels)
    for n, name in enumerate(names):
        widths = [1e3 * side['parts'].get(name, {'cpu': {'median': 0.}})['cpu']['median'] for side in result['sides']]
        axes.barh(labels, widths, left=start, label=name, color=f'C{n % 10}', hatch='//' if n >= 10 else None)
        start = [a + b for a, b in zip(start, widths)]
    axes.invert_yaxis()
    axes.set_xlabel('CPU ms per training step')
    figure.legend(loc='outside lower center', ncols=4, fontsize='small')
    figure.savefig(path, dpi=120)


# ---------------------------------------------------------------------- command
def parse_args(argv: Optional[list[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', metavar='CONFIG')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--iters', type=int, default=10, help='steps that count')
    parser.add_argument('--skip', type=int, default=2, help='steps before those')
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='of all sides')
    other = parser.add_mutually_exclusive_group()
    other.add_argument('--compare', metavar='CONFIG2')
    other.add_argument('--compare-options', nargs='+', action=DictAction)
    other.add_argument('--compare-path', metavar='OTHER_CHECKOUT')
    parser.add_argument('--brief', action='store_true', help='times only: no FLOPs, operators and memory')
    parser.add_argument('--json', metavar='OUT', help='write the numbers here as well')
    parser.add_argument('--picture', metavar='OUT', help='a stacked bar of the parts')
    args = parser.parse_args(argv)
    if args.iters < 1 or args.skip < 0:
        parser.error(f'--iters {args.iters} must be positive and --skip {args.skip} not negative')
    if args.brief and args.picture:
        parser.error('--picture shows the parts, which --brief leaves out')
    return args


def sides_of(args: argparse.Namespace) -> list[tuple[Path, dict]]:
    """Checkout and settings of the sides that the command line asks for.

    Raises:
        FileNotFoundError: A config is not there.
    """
    for config in filter(None, (args.config, args.compare)):
        if not Path(config).is_file():
            raise FileNotFoundError(f'no config {config}: give the path of a file')
    common = dict(size=args.size, batch_size=args.batch_size, device=args.device, threads=args.threads)
    first = dict(common, config=str(Path(args.config).resolve()), options=dict(args.cfg_options))
    sides = [(ROOT, first)]
    if args.compare:
        sides.append((ROOT, dict(first, config=str(Path(args.compare).resolve()))))
    elif args.compare_options:
        sides.append((ROOT, dict(first, options={**args.cfg_options, **args.compare_options})))
    elif args.compare_path:
        checkout = Path(args.compare_path).resolve()
        config = Path(args.config).resolve()
        # the checkout's own copy of the config, where it has one
        own = checkout / config.relative_to(ROOT) if config.is_relative_to(ROOT) else config
        sides.append((checkout, dict(first, config=str(own if own.is_file() else config))))
    return sides


def main(argv: Optional[list[str]] = None) -> dict[str, Any]:
    """Measure, print, write files where asked; what :func:`benchmark` returns."""
    args = parse_args(argv)
    result = benchmark(sides_of(args), args.iters, args.skip, args.brief)
    for side in result['sides']:
        print('\n'.join(lines_of(side)))
    if 'ratio' in result:
        ratio = result['ratio']
        memory = f', memory x{result["memory_ratio"]:.3f}' if 'memory_ratio' in result else ''
        print(f'second / first, median of neighbors: step x{ratio["median"]:.3f} ({ratio["low"]:.3f} to '
              f'{ratio["high"]:.3f}), inference x{result["inference_ratio"]["median"]:.3f}{memory}')
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2), encoding='utf-8')
    if args.picture:
        picture(result, args.picture)
    return result


if __name__ == '__main__':
    run_tool(main)
