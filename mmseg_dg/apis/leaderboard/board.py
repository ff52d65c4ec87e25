"""Running a suite: cheapest arms first, restartable, a row per run, the page after each."""
import json
import resource
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mmengine.logging import print_log

from mmseg_dg.apis.study import FINISHED, Run, Study, check_folder, read_record
from mmseg_dg.utils.atomic_files import write_text

from .page import write_pages
from .rows import COST, encoder_fields, make_row, read_rows, write_row
from .suite import Arm, Suite

_HOUR = 3600


@dataclass
class Planned:
    """One run to be done.

    Attributes:
        arm: Of the suite.
        study: The study of the arm, with all its seeds.
        run: One of them.
        seconds: CPU-seconds it is expected to take.
        measured: Whether that is from a finished run or the suite's file, not from its number of
            images.
    """
    arm: Arm
    study: Study
    run: Run
    seconds: float
    measured: bool


class Leaderboard:
    """A suite and the folder its runs, rows and pages lie in.

    ``runs/<arm>/seed<N>`` are work dirs, ``rows/<arm>_seed<N>.json`` what is known of a finished
    run; ``leaderboard.md`` and ``leaderboard.html`` hold nothing that depends on when or how often
    a run was interrupted, ``costs.md`` does.

    Args:
        suite: What is compared.
        folder: Made where it is missing.
        train_script: The program that trains (``tools/train.py``).
        gpus: As :class:`Study`; 0: CPU.
    """
    def __init__(self, suite: Suite, folder: Path, train_script: Path,
                 gpus: Optional[int] = None) -> None:
        self.suite, self.folder = suite, Path(folder)
        self.studies = {
            arm.name: Study(str(arm.config), self.folder / 'runs' / arm.name, suite.seeds,
                            rows=[arm.row] if arm.row else (),
                            subsets=[arm.subset] if arm.subset else (), options=arm.options,
                            train_script=Path(train_script), gpus=gpus)
            for arm in suite.arms
        }

    # ------------------------------------------------------------------ plan
    def plan(self) -> list[Planned]:
        """Runs that are not finished, cheapest first; equally cheap ones by seed, then in the
        suite's order.

        Raises:
            ValueError: A folder holds a run with other settings.
        """
        rows, planned = read_rows(self.rows), []
        for arm in self.suite.arms:
            study = self.studies[arm.name]
            # CPU-seconds of the arm's finished runs, without those of which an attempt is missing
            costs = [
                row['cpu_seconds'] for row in rows.get(arm.name, {}).values()
                if row['cpu_seconds'] and row['cpu_seconds_complete']
            ]
            measured = sum(costs) / len(costs) if costs else arm.cpu_seconds
            # where none was measured: from the images that a run reads (without its pretraining)
            seconds = measured or self.suite.seconds_per_image * (arm.budget - arm.images_before)
            for run in study.runs():
                check_folder(run, study.fingerprint_of(run))
                if not read_record(run.folder / FINISHED):
                    planned.append(
                        Planned(arm=arm, study=study, run=run, seconds=float(seconds),
                                measured=measured is not None))
        return sorted(planned, key=lambda p: (p.seconds, self.suite.seeds.index(p.run.seed)))

    @property
    def rows(self) -> Path:
        """Folder of the rows."""
        return self.folder / 'rows'

    def plan_text(self) -> str:
        """What is left to do and what it is expected to cost, for people."""
        planned = self.plan()
        total = len(self.suite.arms) * len(self.suite.seeds)
        lines = [
            f'{self.suite.title}: {total - len(planned)} of {total} runs are finished; each arm '
            f'reads {self.suite.arms[0].budget} images'
        ]
        for name in dict.fromkeys(p.arm.name for p in planned):
            of_arm = [p for p in planned if p.arm.name == name]
            hours = of_arm[0].seconds / _HOUR  # of one run; the same for all of an arm
            how = 'measured' if of_arm[0].measured else 'estimated from its images'
            lines.append(f'  {name}: {len(of_arm)} runs of {hours:.3f} CPU-hours ({how})')
        lines.append(f'planned: {sum(p.seconds for p in planned) / _HOUR:.2f} CPU-hours')
        return '\n'.join(lines)

    # ------------------------------------------------------------------ run
    def execute(self) -> list[Run]:
        """Train what is not finished, write a row and the pages after each run.

        Returns:
            Runs that failed; the others went on.

        Raises:
            SystemExit: The suite was asked to stop; the same command goes on.
        """
        sys.stdout.write(self.plan_text() + '\n')
        sys.stdout.flush()
        self.write()  # rows of runs that ended after the program that started them
        failed = []
        for number, planned in enumerate(planned_runs := self.plan(), 1):
            print_log(
                f'{planned.arm.name} seed {planned.run.seed}, {number} of {len(planned_runs)}',
                logger='current')
            with measured_cost(planned.run.folder / COST):
                good = planned.study.train(planned.run)
            if good:
                self._note(planned.arm, planned.study, planned.run)
            else:
                failed.append(planned.run)
            self.write()
        return failed

    def _note(self, arm: Arm, study: Study, run: Run) -> None:
        """Write the row of a finished run."""
        row = make_row(arm, run.seed, run.folder, self._command(study, run),
                       study.fingerprint_of(run), self.suite.score)
        write_row(self.rows / f'{arm.name}_seed{run.seed}.json', row)

    def _command(self, study: Study, run: Run) -> str:
        """The command that trains a run, as anybody can type it: no paths of this machine."""
        variant = [
            word for key in ('row', 'subset') if key in run.settings
            for word in (f'--{key}', run.settings[key])
        ]
        device = ['--device', 'cpu'] if study.gpus == 0 else []
        config = Path(study.config)
        name = config.name
        if 'configs' in config.parts:
            name = '/'.join(config.parts[config.parts.index('configs'):])
        return shlex.join([
            'python', 'tools/train.py', name, '--work-dir',
            str(run.folder.relative_to(self.folder)), *variant, *device, '--cfg-options',
            *run.options
        ])

    def write(self) -> tuple[Path, Path]:
        """Write the rows of finished runs that have none, what earlier versions left out of rows,
        and the pages.

        Returns:
            The Markdown and the HTML file.
        """
        for arm in self.suite.arms:
            study = self.studies[arm.name]
            for run in study.runs():
                path = self.rows / f'{arm.name}_seed{run.seed}.json'
                if not read_record(run.folder / FINISHED):
                    continue
                # a row without its score (the mean of the last three evaluations) is damaged
                row = read_record(path, needs='last_three')
                if not row:
                    self._note(arm, study, run)
                elif 'encoder_note' not in row:  # of a version that knew nothing of the encoder
                    found = encoder_fields(arm, run.folder, self.suite.score)
                    write_row(path, dict(row, **found))
        return write_pages(self.suite, self.folder, read_rows(self.rows))


class measured_cost:
    """Adds the CPU-seconds of the processes started (and ended) inside to a file.

    An attempt that is killed together with this process leaves ``started`` above ``measured``: the
    sum is then known to be too small.

    Args:
        path: A JSON file with ``seconds`` (of the CPU), ``wall_seconds``, and the numbers of
            attempts that were ``started`` and ``measured``; made where it is missing.
    """
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        """Count the attempt as started, so that one that is killed shows as not measured."""
        earlier = read_record(self.path, needs='seconds')
        self.record = dict(dict(seconds=0., started=0, measured=0, wall_seconds=0.), **earlier)
        self.record['started'] += 1
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.record))
        # __exit__ takes the differences to these
        self.before, self.began = _seconds_of_children(), time.monotonic()

    def __exit__(self, *_: object) -> None:
        """Add the seconds since :meth:`__enter__`, also after an error."""
        self.record['seconds'] += _seconds_of_children() - self.before
        self.record['wall_seconds'] += time.monotonic() - self.began
        self.record['measured'] += 1
        write_text(self.path, json.dumps(self.record))


def _seconds_of_children() -> float:
    """CPU-seconds of all processes that this one started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
