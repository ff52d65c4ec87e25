"""List the rows of a config: variants that ``--row NAME`` of train, test, study and the doctor takes.

Examples::

    python tools/rows.py daformer_mitb5_gta2cityscapes
    python tools/rows.py configs/daformer/daformer_mitb5_gta2cityscapes.py --row nowarmup     # what it changes
    python tools/rows.py                                                                      # every config with rows

mim run: `mim run mmseg_dg rows CONFIG`.
"""
import argparse
import sys

import yaml

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.config_rows import ROWS_FILE, Row, find_config, find_row, package_configs, read_rows, rows_of
from mmseg_dg.apis.entry import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', help='config file, or name of one of the package')
    parser.add_argument('--row', metavar='NAME', help='show this one with everything it changes')
    return parser.parse_args()


def lines_of(row: Row) -> list[str]:
    """A row as a person reads it: what differs, the paper's score, our status; then its subsets.

    The row without a name is the config itself, of which only the subsets are listed.
    """
    lines = []
    if row.name:
        lines = [f'  {row.name:<24} {row.what}', f'  {"":<24} paper: {row.paper}; its score: {row.score}',
                 f'  {"":<24} here: {row.status}']
    if row.subsets:
        lines.append(f'  {row.name:<24} --subset ' + ', '.join(row.subsets))
    return lines


def details(row: Row) -> str:
    """Everything a row says and changes, as YAML with the keys of ``ablations.yml``; empty ones
    are left out.
    """
    fields = dict(what=row.what, paper=row.paper, score=row.score, status=row.status, resources=row.resources,
                  note=row.note, parts=row.parts, drop=list(row.drop), overrides=row.overrides,
                  subsets={name: subset.score for name, subset in row.subsets.items()})
    fields['with'] = list(row.base_rows)
    return yaml.dump({key: value for key, value in fields.items() if value}, sort_keys=False, width=110,
                     default_flow_style=None)


def main() -> None:
    """Print all configs that have rows, the rows of one config, or one row with what it changes."""
    args = parse_args()
    if args.config is None:
        folders = sorted({path.parent for path in package_configs().values()})
        for folder in (f for f in folders if (f / ROWS_FILE).is_file()):
            for config, rows in read_rows(folder / ROWS_FILE).items():
                # the config itself is in ``rows`` without a name
                sys.stdout.write(f'{folder.name}/{config}: {", ".join(name for name in rows if name) or "subsets"}\n')
        return
    path = find_config(args.config)
    if args.row:
        sys.stdout.write(details(find_row(path, args.row)))
        return
    lines = [line for row in rows_of(path).values() for line in lines_of(row)]
    sys.stdout.write(f'{path}\n' + ('\n'.join(lines) or '  no rows') + '\n')


if __name__ == '__main__':
    run_tool(main)
