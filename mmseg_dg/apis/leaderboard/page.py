"""The page: one table of arms, one of classes, in Markdown and HTML, from the rows alone."""
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from mmseg_dg.evaluation.bias import GROUPS
from mmseg_dg.evaluation.score_direction import less_is_better
from mmseg_dg.utils.atomic_files import write_text

from .gains import Rows, gain_of
from .judgment import RISE, Gain, mean_and_spread
from .suite import Arm, Suite, budget_text

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1180px;padding:1rem;
color:#1a1a1a}
table{border-collapse:collapse;margin:.6rem 0;display:block;overflow-x:auto}
th,td{padding:.25rem .7rem;text-align:right;
border-bottom:1px solid #ddd;white-space:nowrap}th:first-child,td:first-child{text-align:left}
@media (prefers-color-scheme:dark){body{background:#16181c;color:#e6e6e6}th,td{border-color:#333}
a{color:#7ab8ff}}"""


class Block:
    """A paragraph or a table of the page.

    Args:
        text: A paragraph or, with ``level``, a heading.
        level: Of a heading; 0: a paragraph.
        table: Header and rows instead.
    """
    def __init__(self, text: str = '', level: int = 0, table: Sequence[Sequence[str]] = ()) -> None:
        self.text, self.level, self.table = text, level, table

    def markdown(self) -> str:
        """The block as Markdown; the columns of a table are numbers, but for the first one."""
        if not self.table:
            return f'{"#" * self.level} {self.text}' if self.level else self.text
        header, *rows = self.table
        lines = [header, ['---'] + ['---:'] * (len(header) - 1), *rows]
        return '\n'.join('| ' + ' | '.join(str(cell) for cell in line) + ' |' for line in lines)

    def html(self) -> str:
        """The block as HTML, its text escaped: nothing in it is taken for markup."""
        if not self.table:
            tag = f'h{self.level}' if self.level else 'p'
            return f'<{tag}>{html.escape(self.text)}</{tag}>'
        header, *rows = self.table
        lines = [('th', header), *(('td', row) for row in rows)]
        cells = [
            ''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in row)
            for tag, row in lines
        ]
        return f'<table>{"".join(f"<tr>{line}</tr>" for line in cells)}</table>'


def write_pages(suite: Suite, folder: Path, rows: Rows) -> tuple[Path, Path]:
    """Write ``leaderboard.md``, ``leaderboard.html`` and ``costs.md``.

    Args:
        suite: What is compared.
        folder: Of the leaderboard; counts by drive are read beside its rows.
        rows: Those there are.

    Returns:
        The first two files.
    """
    blocks = page_blocks(suite, folder, rows)
    folder.mkdir(parents=True, exist_ok=True)
    markdown, page = folder / 'leaderboard.md', folder / 'leaderboard.html'
    write_text(markdown, '\n\n'.join(block.markdown() for block in blocks) + '\n')
    write_text(
        page, '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{html.escape(suite.title)}</title>'
        f'<style>{_STYLE}</style></head>'
        f'<body>{"".join(block.html() for block in blocks)}</body></html>\n')
    write_text(folder / 'costs.md',
               '\n\n'.join(block.markdown() for block in cost_blocks(suite, rows)) + '\n')
    return markdown, page


def page_blocks(suite: Suite, folder: Path, rows: Rows) -> list[Block]:
    """The page as paragraphs and tables; the same rows give the same text. Without enough distance
    between the controls it says why there is no ranking, and has no tables.

    Args:
        suite: What is compared.
        folder: Of the leaderboard; counts by drive are read beside its rows.
        rows: Those there are.
    """
    done, total = sum(len(by_seed) for by_seed in rows.values()), len(suite.arms) * len(suite.seeds)
    blocks = [Block(suite.title, 1)] + ([Block(suite.about)] if suite.about else [])
    budget, less = budget_text(suite.arms), less_is_better(suite.score)
    processes = suite.arms[0].processes
    blocks.append(
        Block(f'{done} of {total} runs are finished. {"Ranked" if suite.ranked else "Judged"} by '
              f'{suite.score}, the mean of the last three evaluations, in percent'
              f'{"; less is better" if less else ""}. {budget[0].upper()}{budget[1:]} (optimizer '
              'steps x images of all streams'
              f'{f" x {processes} processes" if processes > 1 else ""}, pretraining of its own '
              'included). No checkpoint is chosen; the column "best on validation" shows what '
              'choosing by labels of the target would have claimed.'
              + ('' if suite.ranked else ' Nothing is ranked: compare an arm with its control, and '
                 'not down the table.')))
    refused = unpublished(suite, rows) if suite.ranked else ''
    if refused:
        return [*blocks, Block(refused)]
    arms = [arm for arm in suite.arms if rows.get(arm.name)]
    if suite.ranked:  # the best mean first
        arms.sort(key=lambda arm: _score(rows[arm.name])[0], reverse=not less)
    if arms:
        gains = {arm.name: gain_of(suite, folder, rows, arm) for arm in arms}
        lacking = [(arm.name, gain.lacking) for arm in arms
                   if (gain := gains[arm.name]) is not None and gain.lacking]
        blocks += [
            Block('Arms', 2),
            Block(table=arm_table(suite, rows, arms, gains)),
            *([Block(_NO_DRIVES + '; '.join(f'{name} ({why})'
                                            for name, why in lacking) + '.')] if lacking else []),
            Block(_LEGEND)
        ]
        blocks += [Block('Domains and classes', 2), Block(table=detail_table(suite, rows, arms))]
        blocks += [Block('Made with', 2), Block(_made_with(rows))]
    return blocks


_LEGEND = (
    'Gain: mean difference to the control by seed with its 95 % interval (Student); drives: 95 % '
    'interval over resampled drives. It is called a gain or a loss where every interval leaves '
    'out 0, else level; one seed says nothing. "rises" (or "falls", where less is better): better '
    f'by more than {RISE:g} point in the last quarter of the training on average, so that more '
    'steps would change the row. "encoder moved": '
    'length of the change of its parameters over the length of those it began with, in percent. '
    '"probe": mIoU of a linear classifier on its last map, learned and judged on a few images of '
    'the scored domain; it orders encoders and is no score.')

_NO_DRIVES = (
    'Without an interval over drives, which this suite asks for, nothing is called a gain or '
    'a loss; "(seeds alone)" is what the interval over seeds says by itself. It is '
    'missing for: ')


def unpublished(suite: Suite, rows: Rows) -> str:
    """Why there is no ranking yet, '' if there is one: for every encoder both controls of a ranked
    suite must have runs, and the upper be better by ``least_spread`` points.
    """
    for encoder in dict.fromkeys(arm.encoder for arm in suite.arms):
        lower, upper = suite.controls(encoder)
        missing = [name for name in (lower, upper) if not rows.get(name)]
        if missing:
            return f'Not published yet: there is no run of the control {" and ".join(missing)}.'
        gap = _score(rows[upper])[0] - _score(rows[lower])[0]
        gap = -gap if less_is_better(suite.score) else gap
        if not gap >= suite.least_spread:  # NaN as well
            return (f'Not published: the upper control {upper} is {gap:.2f} points better than the '
                    f'lower control {lower}, and {suite.least_spread:g} are needed for differences '
                    'between methods to mean anything.')
    return ''


def arm_table(suite: Suite, rows: Rows, arms: Sequence[Arm],
              gains: Mapping[str, Optional[Gain]]) -> list[list[str]]:
    """Header and one line of cells per arm.

    Args:
        suite: What is compared.
        rows: By arm and seed.
        arms: Those that have rows, in the order of the table.
        gains: By arm.
    """
    lines = [[
        'arm', 'encoder', 'score', 'by seed', 'control', 'gain', 'drives', 'verdict', 'rises',
        'best on validation', 'encoder moved', 'probe', 'probe of the start'
    ]]
    for arm in arms:
        by_seed = rows[arm.name]
        mean, spread = _score(by_seed)
        rises = _mean([row['rise_in_last_quarter'] for row in by_seed.values()])
        best = _mean([row['best_on_validation'] for row in by_seed.values()])
        control = next((other.method for other in suite.arms if other.name == arm.control), '-')
        lines.append([
            arm.method, arm.encoder or '-',
            _number(mean) + (f' ± {spread:.2f}' if spread is not None else ''),
            ', '.join(f'{seed}: {by_seed[seed]["last_three"]:.2f}' for seed in sorted(by_seed)),
            control, *_gain_cells(gains[arm.name]),
            _still_moving(rises, suite.score),
            _number(best), *encoder_cells(by_seed)
        ])
    return lines


def _still_moving(rises: float, score: str) -> str:
    """A cell for the points that a score rose in the last quarter of the training: empty unless it
    still became better by more than :data:`RISE`.
    """
    if less_is_better(score):
        return f'falls {rises:+.2f}' if -rises > RISE else ''
    return f'rises {rises:+.2f}' if rises > RISE else ''


def encoder_cells(own: Mapping[int, dict]) -> list[str]:
    """Means over the rows of one arm (seed -> row): how far its encoder moved in percent, its
    probe, and the probe of its start; '-' where no row has it."""
    means = [
        _mean([row.get(key) for row in own.values()])
        for key in ('encoder_distance', 'probe', 'probe_of_start')
    ]
    means[0] *= 100  # a share; the probes are percents already
    return [_number(mean) for mean in means]


def _gain_cells(gain: Optional[Gain]) -> list[str]:
    """Three cells: the mean gain with half its interval and, in parentheses, the number of seeds;
    the interval over drives, 'missing' where it is asked for and lacking; the verdict. Each is
    '-' without a gain.
    """
    if gain is None:
        return ['-', '-', '-']
    half = '' if gain.half is None else f' ± {gain.half:.2f}'
    drives = 'missing' if gain.lacking else '-'
    if gain.drives is not None:
        drives = f'{gain.drives[0]:+.2f} to {gain.drives[1]:+.2f}'
    return [f'{gain.mean:+.2f}{half} ({gain.pairs})', drives, gain.verdict]


def detail_table(suite: Suite, rows: Rows, arms: Sequence[Arm]) -> list[list[str]]:
    """Header and lines of the second table: domains, thirds of the classes (by frequency) and
    classes; a column per arm, means over seeds of the last three evaluations.
    """
    # '<domain>/<metric>' of all rows, each once
    keys = list(
        dict.fromkeys(key for arm in arms for row in rows[arm.name].values()
                      for key in row['metrics']))
    groups = [f'mIoU.{group}' for group in GROUPS]
    kept = [
        key for key in keys if key.endswith('/mIoU') or key.split('/', 1)[-1] in groups
        or key.split('/')[-1].startswith('IoU.') or key.endswith('/label_free')
    ]
    lines = [['%', *(f'{arm.method}{f" ({arm.encoder})" if arm.encoder else ""}' for arm in arms)]]
    for key in kept:
        lines.append([
            key, *(_number(_mean([row['metrics'].get(key) for row in rows[arm.name].values()]))
                   for arm in arms)
        ])
    return lines


def cost_blocks(suite: Suite, rows: Rows) -> list[Block]:
    """Heading and table of what each run has cost; they change with every run, and so have a file
    of their own.
    """
    table = [['arm', 'seed', 'CPU-seconds', 'complete']]
    for arm in suite.arms:
        for seed, row in sorted(rows.get(arm.name, {}).items()):
            seconds = row['cpu_seconds']
            table.append([
                arm.name,
                str(seed), '-' if seconds is None else f'{seconds:.0f}',
                'yes' if row['cpu_seconds_complete'] else 'no: a killed attempt is missing'
            ])
    return [Block(f'What {suite.title} has cost', 1), Block(table=table)]


def _made_with(rows: Rows) -> str:
    """A sentence with commits and versions of all rows; several where they differ."""
    all_rows = [row for by_seed in rows.values() for row in by_seed.values()]
    commits = sorted({row['commit'] or 'unknown (an installed package)' for row in all_rows})
    versions: dict[str, set] = {}  # name of a library -> versions
    for row in all_rows:
        for name, version in row['versions'].items():
            versions.setdefault(name, set()).add(version)
    text = ', '.join(f'{name} {" and ".join(sorted(different))}'
                     for name, different in sorted(versions.items()))
    return (f'Commit {", ".join(commits)}; {text}. Every row, with its command, is in rows/.' +
            (' The rows are of different commits.' if len(commits) > 1 else ''))


def _score(by_seed: Mapping[int, dict]) -> tuple[float, Optional[float]]:
    """Mean and standard deviation over seeds of an arm's score (seed -> row); None for one seed."""
    return mean_and_spread([by_seed[seed]['last_three'] for seed in sorted(by_seed)])


def _mean(values: Sequence[Optional[float]]) -> float:
    """Mean of those that are not None; nan without any."""
    kept = [value for value in values if value is not None]
    return sum(kept) / len(kept) if kept else math.nan


def _number(value: float) -> str:
    """A cell of a table; '-' for nan."""
    return '-' if math.isnan(value) else f'{value:.2f}'
