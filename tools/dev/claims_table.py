"""Write docs/benchmarks/claims.md: what the systems claim, and what the committed rows say.

    python tools/dev/claims_table.py            # write what is stale
    python tools/dev/claims_table.py --check    # say so and exit with 1 (`make lint`)

Claims and the rows they are judged by are in docs/benchmarks/claims.yml.
"""
import argparse
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
import _committed_rows as committed  # noqa: E402

PAGE = committed.ROOT / 'docs' / 'benchmarks' / 'claims.md'
CLAIMS = committed.ROOT / 'docs' / 'benchmarks' / 'claims.yml'
HEAD = '''# What the systems claim

<!-- written by tools/dev/claims_table.py from claims.yml and rows/; do not edit -->

Each claim is judged by the [leaderboard's rule](../leaderboard.md#rules) on the committed
[rows](../leaderboard.md#rows), scores as the mean of the last three evaluations: *yes* where every 95 % interval lies
above 0, *no* where every one lies below, else *undecided*, with the reason. A suite whose controls are too close is
not published, and arms of unequal budgets are not compared. *Rises*: the arm's score rose by more than a point in the
last quarter, so that more steps would change the answer. Intervals over drives are of a suite's mIoU; its gains on
thirds of the classes are over *seeds alone*, and undecided. Differences of gains, falls and runs by hand have seeds
alone to be judged by. Runs *by hand* have no upper control either: nothing says whether their benchmark can tell
methods apart. Runs without a committed row do not count. All of it is at small scale: an answer holds for the
benchmark named, and nothing here speaks about the papers' own.
'''


def page(rows: dict, claims: list) -> str:
    """The whole page.

    Args:
        rows: All committed rows by name.
        claims: Content of claims.yml: each with ``claim``, ``page``, ``measure`` and ``judged``, a
            list of tests (``bench`` in words, ``by`` as ``judge`` takes it).
    """
    lines = ['| claim | judged on | answer | points | rows |', '|---|---|---|---|---|']
    for claim in claims:
        for number, test in enumerate(claim['judged']):
            verdict = committed.judge(rows, test['by'])
            system = Path(claim['page']).stem
            # the claim stands in the line of its first test only
            first = '' if number else f'{claim["claim"]} ([{system}](../{claim["page"]}))'
            answer = verdict.answer if verdict.answer == committed.UNDECIDED else f'**{verdict.answer}**'
            shown = committed.links(verdict.rows, 'rows') or '–'
            lines.append(f'| {first} | {test["bench"]} | {answer} | {verdict.text} | {shown} |')
    answers = [committed.judge(rows, test['by']).answer for claim in claims for test in claim['judged']]
    counts = ', '.join(f'{answers.count(a)} {a}' for a in (committed.YES, committed.NO, committed.UNDECIDED))
    how = ['How the points are measured:', '', *(f'- {claim["claim"]}: {claim["measure"]}' for claim in claims)]
    return '\n'.join([HEAD, f'Of {len(answers)} judgements: {counts}.', '', *lines, '', *how, ''])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing')
    args = parser.parse_args()
    text = page(committed.read_rows(), yaml.safe_load(CLAIMS.read_text(encoding='utf-8')))
    return committed.write_or_check(PAGE, text, args.check)


if __name__ == '__main__':
    sys.exit(main())
