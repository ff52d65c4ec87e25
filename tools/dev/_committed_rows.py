"""The rows of docs/benchmarks/rows, and what they say of one arm against another.

A selector is ``SUITE ARM [KEY=VALUE ...] [!KEY=VALUE ...] [subset=PATTERN]``: rows below the folder SUITE with this
arm, these options, without those behind a ``!``, and lists of labels of this name (shell style). Gains are judged as
in the leaderboard: mmseg_dg/apis/leaderboard/judgment.py, and _committed_rules.py for the rest of its rules.
"""
import json
import re
import statistics
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).resolve().parent))
import _committed_rules as rules  # noqa: E402
from _committed_rules import ROOT, ROWS, judgment  # noqa: E402, F401

#: Of rows.SCHEMA in mmseg_dg/apis/leaderboard.
SCHEMA = 1
YES, NO, UNDECIDED = 'yes', 'no', 'undecided'
#: End of the leaderboard's verdict where the interval over drives is asked for and lacking.
ALONE = ' (seeds alone)'
#: Of rows without a suite: nothing says whether their benchmark can tell methods apart.
BY_HAND = 'by hand, no upper control'


class Verdict(NamedTuple):
    """What rows say.

    Attributes:
        answer: ``'yes'``, ``'no'`` or ``'undecided'``.
        text: The number, or why there is none.
        rows: Names of the rows it rests on, below ROWS.
    """
    answer: str
    text: str
    rows: list


def read_rows(folder: Path = ROWS) -> dict[str, dict]:
    """``{'SUITE/NAME.json': row}``; none where there is no folder.

    Raises:
        ValueError: A file is no row of this schema.
    """
    found = {}
    for path in sorted(folder.rglob('*.json')):
        row = json.loads(path.read_text(encoding='utf-8'))
        lacking = [key for key in ('arm', 'seed', 'score', 'last_three', 'metrics', 'budget')
                   if key not in row]
        if row.get('schema', SCHEMA) != SCHEMA or lacking:  # the first rows did not name it
            raise ValueError(f'{path}: no row of schema {SCHEMA}' + (f', it lacks {lacking}' if lacking else ''))
        found[path.relative_to(folder).as_posix()] = row
    return found


def select(rows: dict[str, dict], selector: str) -> dict[tuple, tuple[str, dict]]:
    """``{pair: (name, row)}`` of the rows a selector names; a pair is (seed, list of labels).

    Args:
        rows: All, as :func:`read_rows` gives them.
        selector: See the module's text.

    Raises:
        ValueError: A selector of fewer than two words, or two rows of one seed and list.
    """
    words = selector.split()
    if len(words) < 2:
        raise ValueError(f'{selector!r}: a selector is SUITE ARM [KEY=VALUE ...]')
    suite, arm, *options = words
    # patterns of the list's name, options a row must not have, options it must have
    lists = [word.partition('=')[2] for word in options if word.startswith('subset=')]
    without = {word[1:] for word in options if word.startswith('!')}
    options = {word for word in options if not word.startswith(('subset=', '!'))}
    found: dict[tuple, tuple[str, dict]] = {}
    for name, row in rows.items():
        own = set(row.get('options') or [])
        fits = name.split('/')[0] == suite and row['arm'] == arm and options <= own and not without & own
        if fits and all(fnmatchcase(row.get('subset') or '', pattern) for pattern in lists):
            pair = int(row['seed']), _list_of(row)
            if pair in found:
                raise ValueError(f'{selector!r} names two rows of seed {pair[0]}: {found[pair][0]} and {name}')
            found[pair] = name, row
    return found


def _list_of(row: dict) -> Optional[str]:
    """Which list of labels: what follows ``seed`` in the subset's name; None without one."""
    match = re.search(r'seed(\w+)$', row.get('subset') or '')
    return match.group(1) if match else None


def by_pair(chosen: dict[tuple, tuple[str, dict]], metric: Any, with_lists: bool) -> dict:
    """Values of selected rows (:func:`value_of`) by seed, or with ``with_lists`` by (seed, list).

    Without lists there must be one row of a seed: a later one would take its place.
    """
    return {pair if with_lists else pair[0]: value_of(*entry, metric) for pair, entry in chosen.items()}


def value_of(name: str, row: dict, metric: Any) -> float:
    """Mean over the last three evaluations of a row's score, of one metric, or of several together.

    Args:
        name: Of the row, for the message.
        row: Its content.
        metric: None for the score; a key of the row's ``metrics``, or a list of keys.

    Raises:
        ValueError: The row has no such metric.
    """
    if metric is None:
        return row['last_three']
    values = []
    for key in [metric] if isinstance(metric, str) else metric:
        if row['metrics'].get(key) is None:
            raise ValueError(f'{name} has no {key!r}, only {sorted(row["metrics"])[:12]}')
        values.append(row['metrics'][key])
    return statistics.fmean(values)


class Compared(NamedTuple):
    """An arm and its control.

    Attributes:
        differences: Arm less control, in points, by seed or by (seed, list).
        gain: The leaderboard's; None where no pair has both.
        missing: Selectors without a row.
        rows: Names of the rows.
        refused: Why there must be no verdict (unpublished suite, unequal budgets); '' if there may.
        marks: What a reader of the verdict has to know.
    """
    differences: dict
    gain: Any
    missing: list
    rows: list
    refused: str = ''
    marks: Sequence[str] = ()


def compare(rows: dict[str, dict], ours: str, control: str, metric: Any = None) -> Compared:
    """The gain of an arm on its control by seed (by seed and list, where a seed has several lists).

    Args:
        rows: All.
        ours: Selector of the arm.
        control: Selector of its control.
        metric: See :func:`value_of`.
    """
    sides = [select(rows, selector) for selector in (ours, control)]
    missing = [selector for selector, side in zip((ours, control), sides) if not side]
    with_lists = any(len({pair[0] for pair in side}) < len(side) for side in sides)
    arm, base = (by_pair(side, metric, with_lists) for side in sides)
    # what remains to be asked is asked of pairs that both have
    entries = [{pair if with_lists else pair[0]: entry for pair, entry in side.items()} for side in sides]
    both = [(entries[0][pair], entries[1][pair]) for pair in entries[0] if pair in entries[1]]
    drives, lacking = rules.drives_interval(both, metric)
    gain = judgment.paired_gain(arm, base, drives, lacking)
    names = [name for side in sides for name, _ in side.values()]
    refused, controls = _unpublished(rows, (ours, control)) if gain else ('', [])
    budgets = rules.unequal_budgets([row for pair in both for _, row in pair])
    marks = [] if all(rules.is_suite(selector.split()[0]) for selector in (ours, control)) else [BY_HAND]
    for who, side in zip(('the method', 'the control'), sides):
        marks += rules.rising(who, [row for _, row in side.values()])
    return Compared(differences={pair: arm[pair] - base[pair] for pair in arm if pair in base}, gain=gain,
                    missing=missing, rows=list(dict.fromkeys(names + (controls if refused else []))),
                    refused=refused or budgets, marks=marks)


def _unpublished(rows: dict[str, dict], selectors: Sequence[str]) -> tuple[str, list]:
    """The first suite of several selectors that is not published: why, and its controls' rows; ``('', [])``."""
    for selector in selectors:
        suite, arm, *_ = selector.split()
        refused, controls = rules.unpublished(rows, suite, arm)
        if refused:
            return refused, controls
    return '', []


def gain_text(gain: Any) -> str:
    """A ``Gain`` of the leaderboard: ``+3.00 ± 2.48, 3 seeds, drives +0.10 to +5.20``; ``3 seeds alone`` without an
    interval over drives, no ± for one seed.
    """
    if gain.half is None:
        return f'{gain.mean:+.2f}, {gain.pairs} seed'
    drives = ' alone' if gain.drives is None else f', drives {gain.drives[0]:+.2f} to {gain.drives[1]:+.2f}'
    return f'{gain.mean:+.2f} ± {gain.half:.2f}, {gain.pairs} seeds{drives}'


def of_gain(found: Compared) -> Verdict:
    """The verdict a gain stands for: a gain is yes, a loss is no; level, one seed, a suite's gain over
    seeds alone and what the leaderboard's rules refuse leave it open.
    """
    if found.missing:
        return Verdict(UNDECIDED, 'no run' if not found.rows else f'no run of {" and ".join(found.missing)}',
                       found.rows)
    if found.gain is None:
        return Verdict(UNDECIDED, 'no seed that both have', found.rows)
    if found.refused:
        return Verdict(UNDECIDED, found.refused, found.rows)
    answer = {'gain': YES, 'loss': NO}.get(found.gain.verdict, UNDECIDED)
    alone = found.gain.verdict.endswith(ALONE)
    why = '' if answer != UNDECIDED else f' ({found.gain.lacking if alone else found.gain.verdict})'
    return Verdict(answer, '; '.join([gain_text(found.gain) + why, *found.marks]), found.rows)


# ------------------------------------------------------------------ claims
def judge(rows: dict[str, dict], test: dict) -> Verdict:
    """The verdict of one test of claims.yml.

    Args:
        rows: All.
        test: One of ``gain: {ours, control, metric}``, ``more: {first, second}`` (the gain of the first above that of
            the second), ``fall: {rows, after}`` (the score at a share of the training, less that of its end),
            ``all: [tests]``.

    Raises:
        ValueError: Another kind.
    """
    (kind, what), = test.items()  # exactly one entry
    if kind == 'gain':
        return of_gain(compare(rows, **what))
    if kind == 'more':
        first, second = compare(rows, **what['first']), compare(rows, **what['second'])
        gain = judgment.paired_gain(first.differences, second.differences)  # of gains, seed by seed
        marks = [f'{mark} ({which})' for found, which in ((first, 'first'), (second, 'second')) for mark in found.marks
                 if mark != BY_HAND] + [BY_HAND] * (BY_HAND in [*first.marks, *second.marks])
        return of_gain(Compared({}, gain, first.missing + second.missing, first.rows + second.rows,
                                first.refused or second.refused, marks))
    if kind == 'fall':
        chosen = select(rows, what['rows'])
        early = {pair: _at(row, what['after']) for pair, (_, row) in chosen.items()}
        late = by_pair(chosen, None, True)
        refused, controls = _unpublished(rows, [what['rows']]) if chosen else ('', [])
        return of_gain(Compared({}, judgment.paired_gain(early, late), [] if chosen else [what['rows']],
                                [name for name, _ in chosen.values()] + (controls if refused else []), refused))
    if kind == 'all':
        parts = [judge(rows, part) for part in what]
        answers = {part.answer for part in parts}
        answer = YES if answers == {YES} else NO if NO in answers else UNDECIDED
        names = list(dict.fromkeys(name for part in parts for name in part.rows))
        return Verdict(answer, '; '.join(part.text for part in parts) if names else 'no run', names)
    raise ValueError(f'a test is gain, more, fall or all, not {kind!r}')


def _at(row: dict, share: float) -> float:
    """The score of a row at its last evaluation within a share, in [0, 1], of the training; ValueError
    where there was none by then.
    """
    steps = {int(n): score for n, score in row['curve'].items() if score is not None}
    early = [n for n in steps if n <= share * row['budget']['steps']]
    if not early:
        raise ValueError(f'{row["arm"]} seed {row["seed"]} has no evaluation in the first {share:.0%} of its training')
    return steps[max(early)]


def write_or_check(path: Path, text: str, check: bool) -> int:
    """Write a generated page that is stale, or with ``check`` only say so; the exit status."""
    if path.is_file() and path.read_text(encoding='utf-8') == text:
        return 0
    if check:
        sys.stderr.write(f'{path} is not what the rows say: run tools/dev/{Path(sys.argv[0]).name}\n')
        return 1
    path.write_text(text, encoding='utf-8')
    print(f'{path}: written')
    return 0


def links(names: list, prefix: str) -> str:
    """Markdown links to rows below the folder ``prefix``: ``[dacs_seed0](PREFIX/.../dacs_seed0.json), ...``."""
    return ', '.join(f'[{Path(name).stem}]({prefix}/{name})' for name in names)
