"""Running a suite: cheapest arms first, restartable, a row per run, the page after each."""
import json
import logging
import resource
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from mmengine.logging import print_log

from mmseg_dg.apis.study import FINISHED, Run, Study, check_folder, read_record
from mmseg_dg.evaluation.drives import Drives, read_counts, write_counts
from mmseg_dg.utils.atomic_files import write_text

from .earlier import Asked, Earlier, Key, changes, read_earlier
from .fairness import check_budgets
from .page import write_pages
from .rows import (
    COST,
    ROWS,
    NoScore,
    counts_file,
    drives_of,
    encoder_fields,
    make_row,
    read_row,
    row_file,
    score_fields,
    write_row,
)
from .scores import scored_domains
from .suite import Arm, Suite, budget_text

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
    run, with its counts by drive beside it; ``leaderboard.md`` and ``leaderboard.html`` hold
    nothing that depends on when or how often a run was interrupted, ``costs.md`` does. A run whose
    row is there counts as finished: its work dir may be gone.

    Args:
        suite: What is compared.
        folder: Made where it is missing.
        train_script: The program that trains (``tools/train.py``).
        gpus: As :class:`Study`; 0: CPU. Of several processes each reads a batch: they count into
            the budget, and their runs and rows are not mixed with those of other numbers.
        earlier: Folder of rows from another machine, such as ``docs/benchmarks/rows/SUITE``. Those
            of this suite's runs, with its settings and score, are taken over and not trained again.

    Raises:
        FileNotFoundError: There is no folder ``earlier``.
        ValueError: With so many processes the budgets differ (``images_before`` is read once).
    """
    def __init__(self, suite: Suite, folder: Path, train_script: Path, gpus: Optional[int] = None,
                 earlier: Optional[Path] = None) -> None:
        processes = max(1, gpus or 0)
        suite = replace(suite, arms=[replace(arm, processes=processes) for arm in suite.arms])
        check_budgets(suite.arms, suite.name)
        self.suite, self.folder, self.earlier = suite, Path(folder), earlier
        if earlier is not None and not Path(earlier).is_dir():
            raise FileNotFoundError(f'--rows {earlier}: there is no such folder')
        self.studies = {
            arm.name: Study(str(arm.config), arm.runs(self.folder), suite.seeds,
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
            ValueError: A folder holds a run with other settings, or a row of such a run.
        """
        rows, planned = self._all_rows(), []
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
                ended = read_record(run.folder / FINISHED) or run.seed in rows.get(arm.name, {})
                if not ended:
                    planned.append(
                        Planned(arm=arm, study=study, run=run, seconds=float(seconds),
                                measured=measured is not None))
        return sorted(planned, key=lambda p: (p.seconds, self.suite.seeds.index(p.run.seed)))

    @property
    def rows(self) -> Path:
        """Folder of the rows."""
        return self.folder / ROWS

    def _asked(self) -> dict[Key, Asked]:
        """What a row must say to be of a run of this suite."""
        return {(arm.name, run.seed): dict(fingerprint=self.studies[arm.name].fingerprint_of(run),
                                           options=arm.options, score=self.suite.score,
                                           processes=arm.processes)
                for arm in self.suite.arms
                for run in self.studies[arm.name].runs()}

    def _earlier(self) -> Earlier:
        """The rows of another machine, nothing without them."""
        if self.earlier is None:
            return Earlier({}, [])
        return read_earlier(self.earlier, self._asked())

    def _ended(self) -> set[Key]:
        """Runs whose work dir says that they have ended."""
        return {(arm.name, run.seed)
                for arm in self.suite.arms
                for run in self.studies[arm.name].runs() if read_record(run.folder / FINISHED)}

    def _all_rows(self) -> dict[str, dict[int, dict]]:
        """``{arm: {seed: row}}`` of this suite: its own, and earlier ones that fit.

        Raises:
            ValueError: An own row is wrong or has other settings, and no work dir from which it is
                made anew.
        """
        earlier, ended = self._earlier().fitting, self._ended()
        found: dict[str, dict[int, dict]] = {}
        for (arm, seed), asked in self._asked().items():
            path = row_file(self.rows, arm, seed)
            row, wrong = read_row(path)
            changed = changes(row, asked) if row and not wrong else ''
            if (wrong or changed) and (arm, seed) not in ended:
                if changed:
                    raise ValueError(f'{path} is of a run with other settings ({changed}). Use '
                                     f'another --out, or delete that file and '
                                     f'{counts_file(path).name}')
                raise ValueError(f'{path} cannot be used ({wrong}): take it again from where it '
                                 f'was copied, or delete it and {counts_file(path).name}')
            if wrong or changed:
                row = {}  # it is made anew
            if not row and (arm, seed) not in ended and (arm, seed) in earlier:
                row = earlier[arm, seed][1]
            if row:
                found.setdefault(arm, {})[seed] = row
        return found

    def _take_over(self) -> None:
        """Copy earlier rows that fit, with their counts by drive, to the own ones; not of runs that
        have ended here.
        """
        ended = self._ended()
        for (arm, seed), (source, row) in self._earlier().fitting.items():
            own = row_file(self.rows, arm, seed)
            if (arm, seed) not in ended and not read_record(own, needs='last_three'):
                # counts first: a row says that all is there
                self._keep_counts(own, read_counts(counts_file(source)))
                write_row(own, row)

    def plan_text(self) -> str:
        """What is left to do and what it is expected to cost, for people."""
        planned = self.plan()
        total = len(self.suite.arms) * len(self.suite.seeds)
        lines = [
            f'{self.suite.title}: {total - len(planned)} of {total} runs are finished; '
            f'{budget_text(self.suite.arms)}{self._processes_text()}'
        ]
        for name in dict.fromkeys(p.arm.name for p in planned):
            of_arm = [p for p in planned if p.arm.name == name]
            hours = of_arm[0].seconds / _HOUR  # of one run; the same for all of an arm
            how = 'measured' if of_arm[0].measured else 'estimated from its images'
            lines.append(f'  {name}: {len(of_arm)} runs of {hours:.3f} CPU-hours ({how})')
        lines += self._earlier().left_out
        lines.append(f'planned: {sum(p.seconds for p in planned) / _HOUR:.2f} CPU-hours')
        return '\n'.join(lines)

    def _processes_text(self) -> str:
        """`` (4 processes)`` where a run has several."""
        processes = self.suite.arms[0].processes
        return f' ({processes} processes)' if processes > 1 else ''

    # ------------------------------------------------------------------ run
    def execute(self) -> list[Run]:
        """Train what is not finished, write a row and the pages after each run.

        Returns:
            Runs that failed, or have no score; the others went on.

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
            self.write()  # which writes the run's row
            if not (good and row_file(self.rows, planned.arm.name, planned.run.seed).exists()):
                failed.append(planned.run)
        return failed

    def _note(self, arm: Arm, study: Study, run: Run) -> None:
        """Write the row of a finished run; NoScore where it gives none."""
        row = make_row(arm, run.seed, run.folder, self._command(study, run),
                       study.fingerprint_of(run), self.suite.score)
        path = row_file(self.rows, arm.name, run.seed)
        self._write_counts(arm, run, path)
        write_row(path, row)

    def _write_counts(self, arm: Arm, run: Run, path: Path) -> None:
        """Leave a run's counts by drive, of the domains that are scored, beside its row."""
        found = drives_of(run.folder)
        self._keep_counts(
            path, {
                domain: found[domain]
                for domain in scored_domains(arm.cfg, self.suite.score) if domain in found
            })

    def _keep_counts(self, row: Path, counts: Mapping[str, Sequence[Drives]]) -> None:
        """Write counts by drive beside a row, or remove those that lie there, if there are none."""
        if counts:
            row.parent.mkdir(parents=True, exist_ok=True)
            write_counts(counts_file(row), counts)
        else:
            counts_file(row).unlink(missing_ok=True)

    def _command(self, study: Study, run: Run) -> str:
        """The command that trains a run, as anybody can type it: no paths of this machine."""
        variant = [
            word for key in ('row', 'subset') if key in run.settings
            for word in (f'--{key}', run.settings[key])
        ]
        device = ['--device', 'cpu'] if study.gpus == 0 else []
        # as Study starts several processes
        several = (study.gpus or 0) > 1
        start = ['-m', 'torch.distributed.run', f'--nproc_per_node={study.gpus}'] if several else []
        config = Path(study.config)
        name = config.name
        if 'configs' in config.parts:
            name = '/'.join(config.parts[config.parts.index('configs'):])
        return shlex.join([
            'python', *start, 'tools/train.py', name, '--work-dir',
            str(run.folder.relative_to(self.folder)), *variant, *device, '--cfg-options',
            *run.options, *(['--launcher', 'pytorch'] if several else [])
        ])

    def write(self) -> tuple[Path, Path]:
        """Write the rows of finished runs that have none, what earlier versions left out of rows,
        and the pages.

        Returns:
            The Markdown and the HTML file.

        Raises:
            ValueError: As :meth:`plan`.
        """
        asked = self._asked()
        for arm in self.suite.arms:
            study = self.studies[arm.name]
            for run in study.runs():
                check_folder(run, study.fingerprint_of(run))
                if read_record(run.folder / FINISHED):
                    try:
                        self._renew(arm, study, run, asked[arm.name, run.seed])
                    except NoScore as error:  # the other runs have pages nevertheless
                        print_log(f'{arm.name} seed {run.seed} has no row: {error}',
                                  logger='current', level=logging.ERROR)
        self._take_over()
        return write_pages(self.suite, self.folder, self._all_rows())

    def _renew(self, arm: Arm, study: Study, run: Run, asked: Asked) -> None:
        """Write the row of a run that has ended where it is missing, damaged, of another score, or
        lacks what earlier versions did not write."""
        path = row_file(self.rows, arm.name, run.seed)
        row, wrong = read_row(path)
        if not row or wrong or changes(row, dict(asked, score=row['score'])):
            self._note(arm, study, run)
            return
        missing = {}
        if 'encoder_note' not in row or row['score'] != asked['score']:
            missing.update(encoder_fields(arm, run.folder, self.suite.score))
        if 'evaluations' not in row or row['score'] != asked['score']:
            domains = scored_domains(arm.cfg, self.suite.score)
            missing.update(score_fields(run.folder, self.suite.score, arm.steps, domains))
        if missing or not counts_file(path).exists():
            self._write_counts(arm, run, path)
        if missing:
            write_row(path, dict(row, **missing))


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
