"""Write README.md's table of gains from the committed rows.

    python tools/dev/status_table.py            # write it where it is stale
    python tools/dev/status_table.py --check    # say so and exit with 1 (`make lint`)

It stands between ``<!-- gains: ... -->`` and ``<!-- end -->``. Which arm is compared with which is in
docs/benchmarks/status.yml; a method without a row of both has "no run with a row".
"""
import argparse
import re
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
import _committed_rows as committed  # noqa: E402

PAGE = committed.ROOT / 'README.md'
METHODS = committed.ROOT / 'docs' / 'benchmarks' / 'status.yml'
BLOCK = re.compile(r'(<!-- gains: .*? -->\n).*?(<!-- end -->)', re.DOTALL)
#: What the leaderboard's verdicts are called in a sentence.
WORDS = {'gain': '**gain**', 'loss': '**loss**', 'level': 'level', 'one seed': 'undecided'}


def table(rows: dict, methods: list) -> str:
    """The table: one line for each method.

    Args:
        rows: All committed rows by name.
        methods: Content of status.yml: each with ``method``, ``page`` and ``compared``, a list of
            arguments of :func:`sentence`.
    """
    lines = ['| method | against its control, points |', '|---|---|']
    for entry in methods:
        cells = [cell for comparison in entry['compared'] if (cell := sentence(rows, **comparison))]
        lines.append(f'| [{entry["method"]}]({entry["page"]}) | {"; ".join(cells) or "no run with a row"} |')
    return '\n'.join(lines) + '\n'


def sentence(rows: dict, bench: str, ours: str, control: str, over: str = '') -> str:
    """What the rows say of an arm against its control; '' where they have no seed in common.

    Args:
        rows: All committed rows by name.
        bench: What was trained on, in words.
        ours: Selector of the arm.
        control: Selector of the control.
        over: The control in words; '': the arm's name in its selector.
    """
    found = committed.compare(rows, ours, control)
    if found.gain is None:
        return ''
    # files, not their folder: the documentation site has no page for it
    where = ' '.join(f'[{n}](docs/benchmarks/rows/{name})' for n, name in enumerate(found.rows, 1))
    gain = f'{WORDS[found.gain.verdict]} {committed.gain_text(found.gain)}'
    return f'{gain} over {over or control.split()[1]} ({bench}, rows {where})'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing')
    args = parser.parse_args()
    text = PAGE.read_text(encoding='utf-8')
    if not BLOCK.search(text):
        sys.stderr.write(f'{PAGE} has no place for the table: <!-- gains: ... --> and <!-- end -->\n')
        return 1
    lines = table(committed.read_rows(), yaml.safe_load(METHODS.read_text(encoding='utf-8')))
    new = BLOCK.sub(lambda match: f'{match.group(1)}{lines}{match.group(2)}', text)
    return committed.write_or_check(PAGE, new, args.check)


if __name__ == '__main__':
    sys.exit(main())
