"""The demo: one method on the built-in city, beside its controls, with a table and a page at the end.

Every arm starts from the network that ships with the package (trained on the city by day) and trains for the same
number of iterations. Each arm is a run of its own, by the same command a user would give.
"""
import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mmseg_dg.weights.shipped import PREFIX

from .report import write_report_page

PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = f'{PREFIX}city_day_mobilenetv2'
DOMAINS = ('camera', 'night')
MEAN = 'mean'


@dataclass(frozen=True)
class Arm:
    """One row of the demo's table.

    Attributes:
        name: Its folder.
        title: What the table calls it.
        config: File name in ``configs/demo``.
        kind: ``train``; ``test``: the shipped weights as they are; ``statistics``: the shipped weights with BatchNorm
            statistics of the target's images.
        role: ``control`` (no target labels), ``method``, or ``bound`` (what target labels reach).
    """
    name: str
    title: str
    config: str
    kind: str = 'train'
    role: str = 'control'


@dataclass(frozen=True)
class Demo:
    """The arms of one method and what a reader should know about the comparison."""
    arms: tuple[Arm, ...]
    note: str


_DAFORMER = 'daformer_synthcity_demo.py'
DEMOS = dict(
    daformer=Demo((
        Arm('before', 'before: trained by day', _DAFORMER, kind='test'),
        Arm('source_only', 'day labels only, prolonged', 'source_only_synthcity_demo.py'),
        Arm('statistics', 'before, BatchNorm statistics of the camera', _DAFORMER, kind='statistics'),
        Arm('daformer', 'adapted to the camera (DAFormer)', _DAFORMER, role='method'),
        Arm('target_only', 'trained with labels of the camera', 'target_only_synthcity_demo.py', role='bound'),
    ), 'The camera is the target: its images are seen without labels. Night is never adapted to: it shows what an '
       'adaptation costs elsewhere.'),
)


def new_folder(wanted: Path) -> Path:
    """``wanted``, or the first of ``wanted_2``, ``wanted_3``, ... that is not there: earlier demos are kept."""
    number, folder = 1, wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f'{wanted.name}_{number}')
    return folder


def commands(arm: Arm, folder: Path, seed: int = 0, options: Sequence[str] = ()) -> list[list[str]]:
    """The command lines of one arm, to be run one after the other."""
    root = PACKAGE / '.mim' if (PACKAGE / '.mim' / 'tools').is_dir() else PACKAGE.parent
    config, tools, work = str(root / 'configs' / 'demo' / arm.config), root / 'tools', folder / arm.name
    settings = ['--cfg-options', f'randomness.seed={seed}', *options]
    if arm.kind == 'train':
        return [[str(tools / 'train.py'), config, '--work-dir', str(work), *settings]]
    checkpoint, first = SHIPPED, []
    if arm.kind == 'statistics':
        checkpoint = str(work / 'statistics.pth')
        first = [[str(tools / 'analysis_tools' / 'reestimate_statistics.py'), config, SHIPPED, checkpoint,
                  '--seed', str(seed)]]
    return [*first, [str(tools / 'test.py'), config, checkpoint, '--work-dir', str(work), *settings]]


def run_arm(arm: Arm, folder: Path, seed: int = 0, options: Sequence[str] = ()) -> float:
    """Run one arm; its output goes to ``<folder>/<arm>.log``.

    Returns:
        Seconds it took.

    Raises:
        ChildProcessError: A command failed; the message has the last lines of its output.
    """
    begin, log = time.time(), folder / f'{arm.name}.log'
    environment = dict(os.environ, OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', '1'))
    for command in commands(arm, folder, seed, options):
        with open(log, 'a', encoding='utf-8') as file:
            code = subprocess.call([sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, env=environment,
                                   stdin=subprocess.DEVNULL)
        if code != 0:
            last = '\n'.join(log.read_text(encoding='utf-8', errors='replace').splitlines()[-15:])
            raise ChildProcessError(f'"{arm.title}" ended with status {code}: python {" ".join(command)}\n{last}\n'
                                    f'({log})')
    return time.time() - begin


def scores(folder: Path) -> dict[str, float]:
    """mIoU in percent by domain of the newest evaluation in a work dir.

    Raises:
        FileNotFoundError: No evaluation there.
    """
    files = sorted(folder.glob('*/evaluation_*.csv'), key=_age)
    if not files:
        raise FileNotFoundError(f'no evaluation in {folder}')
    with open(files[-1], encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    return {row['domain']: float(row['mIoU']) for row in rows if row.get('mIoU')}


def _age(path: Path) -> tuple:
    """Later runs last, then later iterations."""
    number = re.search(r'iter_(\d+)', path.stem)
    return path.parent.name, int(number.group(1)) if number else sys.maxsize


def run(method: str = 'daformer', folder: str = 'work_dirs/demo', seed: int = 0, jobs: Optional[int] = None,
        options: Sequence[str] = ()) -> Path:
    """Run every arm of a demo, print its table and write ``index.html`` and ``summary.json``.

    Args:
        method: One of :data:`DEMOS`.
        folder: Where everything goes; if it is there already, a new numbered folder is taken.
        seed: Of every arm.
        jobs: Arms at once, one thread each; None: as many as there are processors, at most two.
        options: ``KEY=VALUE`` settings for every arm.

    Returns:
        The page.

    Raises:
        ValueError: Unknown method.
        ChildProcessError: An arm failed.
    """
    if method not in DEMOS:
        raise ValueError(f'METHOD={method!r}: the demo knows {", ".join(DEMOS)}')
    demo, begin = DEMOS[method], time.time()
    place = new_folder(Path(folder))
    place.mkdir(parents=True)
    jobs = jobs or min(2, _processors())
    _say(f'{len(demo.arms)} arms on the built-in city, {jobs} at a time, seed {seed}, into {place}')
    # the long ones first; they share the rendered pictures, which the first one draws while the others wait
    roles = ('method', 'bound', 'control')
    order = sorted(demo.arms, key=lambda arm: roles.index(arm.role) + 3 * (arm.kind != 'train'))
    seconds: dict[str, float] = {}
    with ThreadPoolExecutor(jobs) as pool:
        running = {arm.name: pool.submit(run_arm, arm, place, seed, options) for arm in order}
        for arm in order:
            seconds[arm.name] = running[arm.name].result()
            _say(f'{arm.title}: {_phrase(scores(place / arm.name))} ({seconds[arm.name]:.0f} s)')
    return finish(demo, place, seed, seconds, time.time() - begin)


def finish(demo: Demo, folder: Path, seed: int, seconds: dict[str, float], total: float) -> Path:
    """Table on the terminal, ``summary.json`` and the page; see :func:`run`."""
    found = {arm.name: scores(folder / arm.name) for arm in demo.arms}
    record = dict(seed=seed, seconds=total, note=demo.note, arms=[
        dict(name=arm.name, title=arm.title, role=arm.role, seconds=seconds[arm.name], mIoU=found[arm.name])
        for arm in demo.arms])
    (folder / 'summary.json').write_text(json.dumps(record, indent=1), encoding='utf-8')
    _say('')
    for line in table(demo, found):
        _say(line)
    _say(demo.note + f' One run with seed {seed}.')
    page = write_report_page([folder / arm.name for arm in demo.arms], folder / 'index.html',
                             titles=[arm.title for arm in demo.arms], intro=demo.note)
    _say(f'{total:.0f} s. Look at {page}')
    return page


def table(demo: Demo, found: dict[str, dict[str, float]]) -> list[str]:
    """The lines of the table: mIoU by domain and their mean, and what the method gains over its better control."""
    width = max(len(arm.title) for arm in demo.arms)
    columns = (*DOMAINS, MEAN)
    lines = [f'{"mIoU (%)":<{width}}' + ''.join(f'{name:>9}' for name in columns)]
    for arm in demo.arms:
        values = (found[arm.name].get(name, float('nan')) for name in columns)
        lines.append(f'{arm.title:<{width}}' + ''.join(f'{value:9.1f}' for value in values))
    for arm in demo.arms:
        if arm.role == 'method':
            gains = (gain(demo, found, arm.name, name) for name in columns)
            lines.append(f'{"gain over the better control":<{width}}' + ''.join(f'{value:+9.1f}' for value in gains))
    return lines


def gain(demo: Demo, found: dict[str, dict[str, float]], method: str, column: str) -> float:
    """mIoU of an arm above the best control that sees no target labels, in points.

    Args:
        demo: Its arms.
        found: mIoU by arm and domain (or ``mean``).
        method: Name of the arm.
        column: A domain, or ``mean``; the better control of each column is its own.
    """
    return found[method][column] - max(found[arm.name][column] for arm in demo.arms if arm.role == 'control')


def _phrase(found: dict[str, float]) -> str:
    return ', '.join(f'{domain} {found[domain]:.1f}' for domain in DOMAINS if domain in found)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _say(text: str) -> None:
    sys.stdout.write(text + '\n')
    sys.stdout.flush()
