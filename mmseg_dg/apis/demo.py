"""The demo: one method on the built-in city, beside its controls, with a table and a page at the
end.

Every arm starts from the network that ships with the package (trained on the city by day) and
trains for the same number of iterations. Each arm is a run of its own, by the same command a user
would give.
"""
import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from mmseg_dg.utils.cores import available_cores
from mmseg_dg.weights.shipped import PREFIX

from .report import write_report_page

PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = f'{PREFIX}city_day_mobilenetv2'  # weights of the package that every arm starts from
DOMAINS = ('camera', 'night')  # test domains; the first is the one that is adapted to
MEAN = 'mean'  # row of an evaluation's table: mean of the domains
PIXELS = 'pixels'  # column of the demo's table: right pixels of the first domain, in percent
COLUMNS = (*DOMAINS, MEAN, PIXELS)


@dataclass(frozen=True)
class Arm:
    """One row of the demo's table.

    Attributes:
        name: Its folder.
        title: What the table calls it.
        config: File name in ``configs/demo``.
        kind: ``train``; ``test``: the shipped weights as they are; ``statistics``: the shipped
            weights with BatchNorm statistics of the target's images.
        role: ``control`` (what the method is compared with), ``method``, or ``bound`` (what target
            labels reach).
        pretraining: File name of a training that comes first and whose decoder this one begins
            with.
    """
    name: str
    title: str
    config: str
    kind: str = 'train'
    role: str = 'control'
    pretraining: Optional[str] = None


@dataclass(frozen=True)
class Demo:
    """The arms of one method and what a reader should know about the comparison."""
    arms: tuple[Arm, ...]
    note: str


_DAFORMER = 'daformer_synthcity_demo.py'
_NIGHT = 'Night is never adapted to: it shows what an adaptation costs elsewhere.'
_BEFORE = Arm('before', 'before: trained by day', _DAFORMER, kind='test')


def _few_labels(name: str, title: str) -> Demo:
    """The demo of a semi-supervised method, whose control trains on the same labeled images alone.

    Args:
        name: Of the method's arm, and beginning of its config's name.
        title: What the table calls the method.
    """
    return Demo((
        _BEFORE,
        Arm('few_labels', 'ten labeled images alone', 'few_labels_synthcity_demo.py'),
        Arm(name, f'{title}: ten labeled, 190 unlabeled images', f'{name}_synthcity_demo.py',
            role='method'),
    ), 'All images are the camera\'s; ten of them have labels. ' + _NIGHT)


DEMOS = dict(
    daformer=Demo((
        _BEFORE,
        Arm('source_only', 'day labels only, prolonged', 'source_only_synthcity_demo.py'),
        Arm('statistics', 'before, BatchNorm statistics of the camera', _DAFORMER,
            kind='statistics'),
        Arm('daformer', 'adapted to the camera (DAFormer)', _DAFORMER, role='method'),
        Arm('target_only', 'trained with labels of the camera', 'target_only_synthcity_demo.py',
            role='bound'),
    ), 'The camera is the target: its images are seen without labels. ' + _NIGHT),
    hrda=Demo((
        Arm('source_only', 'its network, day labels only', 'source_only_hrda_synthcity_demo.py'),
        Arm('daformer', 'DAFormer at half resolution', 'daformer_half_synthcity_demo.py'),
        Arm('hrda', 'adapted to the camera (HRDA)', 'hrda_synthcity_demo.py', role='method'),
    ), 'Images of twice the size. The camera is the target: its images are seen without '
              'labels. ' + _NIGHT),
    pixl=Demo((
        _BEFORE,
        Arm('daformer', 'adapted by DAFormer alone', _DAFORMER),
        Arm('pixl', 'adapted with PiXL\'s alignment', 'pixl_synthcity_demo.py', role='method'),
    ), 'The control is the same self-training without the alignment term. ' + _NIGHT),
    deft=Demo((
        _BEFORE,
        Arm('joint', 'encoder and decoder finetuned together', 'joint_synthcity_demo.py'),
        Arm('deft', 'finetuned apart (DeFT)', 'deft_synthcity_demo.py', role='method'),
    ), 'Trained by day alone: camera and night are both unseen, their mean counts.'),
    ddep=Demo((
        Arm('random', 'ten labeled images, random decoder', 'ddep_random_synthcity_demo.py'),
        Arm('ddep', 'ten labeled images, denoised decoder (DDeP)',
            'ddep_finetune_synthcity_demo.py', role='method',
            pretraining='ddep_pretrain_synthcity_demo.py'),
    ), 'The decoder learns to denoise 200 images of the camera without labels first; the control '
              'trains as long with labels instead. ' + _NIGHT),
    fixmatch=_few_labels('fixmatch', 'FixMatch'),
    unimatch=_few_labels('unimatch', 'UniMatch'),
    diffmatch=_few_labels('diffmatch', 'DiffMatch'),
)


def new_folder(wanted: Path) -> Path:
    """``wanted``, or the first of ``wanted_2``, ``wanted_3``, ... that is not there: earlier demos
    are kept.
    """
    number, folder = 1, wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f'{wanted.name}_{number}')
    return folder


def commands(arm: Arm, folder: Path, seed: int = 0,
             options: Sequence[str] = ()) -> Iterator[list[str]]:
    """The command lines of one arm, without the Python interpreter, to be run one after the other.

    Each must have ended before the next is asked for: a later one names a file that an earlier one
    wrote.

    Args:
        arm: What to run.
        folder: Of the demo; the arm's work dir is below it.
        seed: Of the training.
        options: ``KEY=VALUE`` settings.
    """
    # an installed package has configs and tools in .mim
    root = PACKAGE / '.mim' if (PACKAGE / '.mim' / 'tools').is_dir() else PACKAGE.parent
    configs, tools, work = root / 'configs' / 'demo', root / 'tools', folder / arm.name
    config = str(configs / arm.config)
    settings = ['--cfg-options', f'randomness.seed={seed}', *options]
    if arm.kind == 'train':
        train = [str(tools / 'train.py'), config, '--work-dir', str(work), *settings]
        if arm.pretraining is not None:
            earlier = folder / f'{arm.name}_pretraining'
            yield [
                str(tools / 'train.py'),
                str(configs / arm.pretraining), '--work-dir',
                str(earlier), *settings
            ]
            # mmengine writes the newest checkpoint's name into ``last_checkpoint``
            last = earlier / (earlier / 'last_checkpoint').read_text(encoding='utf-8').strip()
            train.append(f'model.init_cfg.checkpoint={last}')  # one more of the --cfg-options
        yield train
        return
    checkpoint = SHIPPED
    if arm.kind == 'statistics':
        checkpoint = str(work / 'statistics.pth')
        yield [
            str(tools / 'analysis_tools' / 'reestimate_statistics.py'), config, SHIPPED, checkpoint,
            '--seed',
            str(seed)
        ]
    yield [str(tools / 'test.py'), config, checkpoint, '--work-dir', str(work), *settings]


def run_arm(arm: Arm, folder: Path, seed: int = 0, options: Sequence[str] = ()) -> float:
    """Run one arm; its output goes to ``<folder>/<arm>.log``.

    Returns:
        Seconds it took.

    Raises:
        ChildProcessError: A command failed; the message has the last lines of its output.
    """
    begin, log = time.time(), folder / f'{arm.name}.log'
    # several arms run at once: one thread each, unless the user says otherwise
    environment = dict(os.environ, OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', '1'))
    for command in commands(arm, folder, seed, options):
        with open(log, 'a', encoding='utf-8') as file:
            code = subprocess.call([sys.executable, *command], stdout=file,
                                   stderr=subprocess.STDOUT, env=environment,
                                   stdin=subprocess.DEVNULL)
        if code != 0:
            last = '\n'.join(log.read_text(encoding='utf-8', errors='replace').splitlines()[-15:])
            raise ChildProcessError(f'"{arm.title}" ended with status {code}: python '
                                    f'{" ".join(command)}\n{last}\n({log})')
    return time.time() - begin


def scores(folder: Path, column: str = 'mIoU') -> dict[str, float]:
    """A score in percent by domain, of the newest evaluation in a work dir.

    Args:
        folder: A work dir.
        column: Of the evaluation's table: ``mIoU``, or ``aAcc``, the share of pixels that are
            right.

    Raises:
        FileNotFoundError: No evaluation there.
    """
    files = sorted(folder.glob('*/evaluation_*.csv'), key=_age)
    if not files:
        raise FileNotFoundError(f'no evaluation in {folder}')
    with open(files[-1], encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    return {row['domain']: float(row[column]) for row in rows if row.get(column)}


def _age(path: Path) -> tuple:
    """Sort key of ``<timestamp>/evaluation_iter_<N>.csv``: later runs last, then later iterations;
    an evaluation without a number is one of a test, after training.
    """
    number = re.search(r'iter_(\d+)', path.stem)
    return path.parent.name, int(number.group(1)) if number else sys.maxsize


def chosen(method: str, arms: Optional[Sequence[str]] = None) -> Demo:
    """A demo, or some of its arms.

    Args:
        method: One of :data:`DEMOS`.
        arms: Names of arms, the method's among them; None: all.

    Raises:
        ValueError: Unknown method or arm, or no control or no method among them.
    """
    if method not in DEMOS:
        raise ValueError(f'METHOD={method!r}: the demo knows {", ".join(DEMOS)}')
    demo = DEMOS[method]
    names = [arm.name for arm in demo.arms]
    unknown = sorted(set(arms or ()) - set(names))
    if unknown:
        raise ValueError(f'arms {unknown} are none of {names} of METHOD={method}')
    demo = replace(demo, arms=tuple(arm for arm in demo.arms if not arms or arm.name in arms))
    if not {'control', 'method'} <= {arm.role for arm in demo.arms}:
        raise ValueError(f'arms={list(arms or ())}: a demo compares a method with a control, take '
                         f'both of {names}')
    return demo


def run(method: str = 'daformer', folder: str = 'work_dirs/demo', seed: int = 0,
        jobs: Optional[int] = None, options: Sequence[str] = (),
        arms: Optional[Sequence[str]] = None) -> Path:
    """Run every arm of a demo, print its table and write ``index.html`` and ``summary.json``.

    Args:
        method: One of :data:`DEMOS`.
        folder: Where everything goes; if it is there already, a new numbered folder is taken.
        seed: Of every arm.
        jobs: Arms at once, one thread each; None: as many as there are processors, at most two.
        options: ``KEY=VALUE`` settings for every arm.
        arms: Names of some arms, see :func:`chosen`; None: all.

    Returns:
        The page.

    Raises:
        ValueError: See :func:`chosen`.
        ChildProcessError: An arm failed.
    """
    demo, begin = chosen(method, arms), time.time()
    place = new_folder(Path(folder))
    place.mkdir(parents=True)
    jobs = jobs or min(2, available_cores())
    _say(f'{len(demo.arms)} arms on the built-in city, {jobs} at a time, seed {seed}, into {place}')
    # trainings before arms that only evaluate, and of each the long ones first; all share the
    # rendered pictures, which the first one draws while the others wait
    roles = ('method', 'bound', 'control')
    order = sorted(demo.arms, key=lambda arm: (arm.kind != 'train', roles.index(arm.role)))
    seconds: dict[str, float] = {}
    with ThreadPoolExecutor(jobs) as pool:
        running = {arm.name: pool.submit(run_arm, arm, place, seed, options) for arm in order}
        for arm in order:
            seconds[arm.name] = running[arm.name].result()
            _say(f'{arm.title}: {_phrase(scores(place / arm.name))} ({seconds[arm.name]:.0f} s)')
    return finish(demo, place, seed, seconds, time.time() - begin)


def finish(demo: Demo, folder: Path, seed: int, seconds: dict[str, float], total: float) -> Path:
    """Print the table, and write ``summary.json`` and the page, from the logs of all arms.

    Args:
        demo: With its arms.
        folder: Of the demo; each arm has a folder in it.
        seed: Of every arm.
        seconds: By arm.
        total: Seconds of all together.

    Returns:
        The page.
    """
    # arm -> column of the table -> percent
    found = {
        arm.name:
            {**scores(folder / arm.name), PIXELS: scores(folder / arm.name, 'aAcc')[DOMAINS[0]]}
        for arm in demo.arms
    }
    record = dict(
        seed=seed, seconds=total, note=demo.note, arms=[
            dict(name=arm.name, title=arm.title, role=arm.role, seconds=seconds[arm.name],
                 mIoU={name: found[arm.name][name]
                       for name in (*DOMAINS, MEAN)}, pixel_accuracy=found[arm.name][PIXELS])
            for arm in demo.arms
        ])
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
    """The lines of the table: mIoU by domain, their mean, and right pixels of the camera's images,
    in percent.

    The last line is what the method gains over the better control of each column.

    Args:
        demo: Its arms are the lines.
        found: Scores in percent by arm and column (:data:`COLUMNS`); a missing one shows as nan.
    """
    head = 'mIoU; right pixels of the camera (%)'
    width = max(len(text) for text in (head, *(arm.title for arm in demo.arms)))
    lines = [f'{head:<{width}}' + ''.join(f'{name:>9}' for name in COLUMNS)]
    for arm in demo.arms:
        values = (found[arm.name].get(name, float('nan')) for name in COLUMNS)
        lines.append(f'{arm.title:<{width}}' + ''.join(f'{value:9.1f}' for value in values))
    for arm in demo.arms:
        if arm.role == 'method':
            gains = (gain(demo, found, arm.name, name) for name in COLUMNS)
            lines.append(f'{"gain over the better control":<{width}}' + ''.join(f'{value:+9.1f}'
                                                                                for value in gains))
    return lines


def gain(demo: Demo, found: dict[str, dict[str, float]], method: str, column: str) -> float:
    """mIoU of an arm above the best control that sees no target labels, in points.

    Args:
        demo: Its arms.
        found: Scores by arm and column.
        method: Name of the arm.
        column: One of :data:`COLUMNS`; the better control of each column is its own.
    """
    return found[method][column] - max(found[arm.name][column]
                                       for arm in demo.arms if arm.role == 'control')


def _phrase(found: dict[str, float]) -> str:
    """Scores by domain in words, ``camera 41.0, night 30.2``."""
    return ', '.join(f'{domain} {found[domain]:.1f}' for domain in DOMAINS if domain in found)


def _say(text: str) -> None:
    """Print a line at once, also where the output is a pipe that would be buffered."""
    sys.stdout.write(text + '\n')
    sys.stdout.flush()
