"""Write what README.md says of gains from the committed rows.

    python tools/dev/status_table.py            # write it where it is stale
    python tools/dev/status_table.py --check    # say so and exit with 1 (`make lint`)

The table stands between ``<!-- gains: ... -->`` and ``<!-- end -->``; what it says of one method, without links to
rows, between ``<!-- worth: METHOD -->`` and ``<!-- end -->``, as often as the page has that. Which arm is compared
with which is in docs/benchmarks/status.yml; a method without a row of both has "no run with a row".
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
WORTH = re.compile(r'(<!-- worth: (.*?) -->).*?(<!-- end -->)')
NOTHING = 'no run with a row'


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
        lines.append(f'| [{entry["method"]}]({entry["page"]}) | {"; ".join(cells) or NOTHING} |')
    return '\n'.join(lines) + '\n'


def worth(rows: dict, methods: list, name: str) -> str:
    """What the table says of one method, without links.

    Args:
        rows, methods: As for :func:`table`.
        name: ``method`` of an entry.

    Raises:
        ValueError: There is no such entry.
    """
    entry = next((entry for entry in methods if entry['method'] == name), None)
    if entry is None:
        raise ValueError(f'{PAGE}: worth: {name!r} is no method of {METHODS}: {[e["method"] for e in methods]}')
    cells = [cell for each in entry['compared'] if (cell := sentence(rows, **each, linked=False))]
    return '; '.join(cells) or NOTHING


def sentence(rows: dict, bench: str, ours: str, control: str, over: str = '', linked: bool = True) -> str:
    """What the rows say of an arm against its control, bold where intervals over seeds and drives agree; '' where they
    have no seed in common.

    Args:
        rows: All committed rows by name.
        bench: What was trained on, in words.
        ours: Selector of the arm.
        control: Selector of the control.
        over: The control in words; '': the arm's name in its selector.
        linked: Whether the rows are linked.
    """
    found = committed.compare(rows, ours, control)
    if found.gain is None:
        return ''
    # files, not their folder: the documentation site has no page for it
    where = ' '.join(f'[{n}](docs/benchmarks/rows/{name})' for n, name in enumerate(found.rows, 1))
    notes = [bench, *([] if found.refused else found.marks), *([f'rows {where}'] if linked else [])]
    verdict = found.refused
    if not verdict:
        word = found.gain.verdict.removesuffix(committed.ALONE).replace('one seed', 'undecided')
        if found.gain.drives and word in ('gain', 'loss'):  # over seeds and drives
            word = f'**{word}**'
        verdict = f'{word} {committed.gain_text(found.gain)}, over {over or control.split()[1]}'
    return f'{verdict} ({"; ".join(notes)})'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing')
    args = parser.parse_args()
    text = PAGE.read_text(encoding='utf-8')
    if not BLOCK.search(text):
        sys.stderr.write(f'{PAGE} has no place for the table: <!-- gains: ... --> and <!-- end -->\n')
        return 1
    rows, methods = committed.read_rows(), yaml.safe_load(METHODS.read_text(encoding='utf-8'))
    lines = table(rows, methods)
    new = BLOCK.sub(lambda match: f'{match.group(1)}{lines}{match.group(2)}', text)
    new = WORTH.sub(lambda match: match.group(1) + worth(rows, methods, match.group(2)) + match.group(3), new)
    return committed.write_or_check(PAGE, new, args.check)


if __name__ == '__main__':
    sys.exit(main())
