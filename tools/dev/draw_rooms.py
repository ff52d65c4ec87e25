"""Draws the rooms of mmseg_dg and which imports which, from the table of check_imports.py.

    python tools/dev/draw_rooms.py [--out docs/images/rooms.svg] [--check]

A room stands above those that it may import. An arrow that follows from others (engine -> ops, since
engine -> methods -> ops) is left out. ``--check`` writes nothing and ends with status 1 where the
file is not what would be written.
"""
import argparse
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from check_imports import ALLOWED, PACKAGE, ROOT

OUT = ROOT / 'docs' / 'images' / 'rooms.svg'
#: Width and height of a box, and the space between boxes beside and above each other, in pixels.
BOX, SPACE = (104, 30), (22, 50)
#: Named in a line below the drawing: leaves that nearly every room imports, and single files at its edge.
LEAVES = ('utils', 'registry', 'version')
BESIDE = ('compat', 'mmpretrain', 'cli')

Table = Mapping[str, Sequence[str]]


def direct(allowed: Table) -> dict[str, list[str]]:
    """The arrows of the drawing: room -> rooms it may import and does not reach through another.

    Args:
        allowed: ``ALLOWED`` of check_imports.py: room -> rooms it may import. Rooms of ``LEAVES``
            and ``BESIDE`` are not drawn.
    """
    def reached(room: str) -> set[str]:
        """Rooms that a room may import, or what it imports may, and so on."""
        found = set(allowed[room])
        return found.union(*(reached(other) for other in found)) if found else found

    drawn = [room for room in allowed if room not in LEAVES + BESIDE]
    arrows = {}
    for room in drawn:
        others = [other for other in allowed[room] if other in drawn]
        arrows[room] = [one for one in others
                        if not any(one in reached(other) for other in others if other != one)]
    return arrows


def levels(arrows: Table) -> list[list[str]]:
    """Rooms from the lowest row up; a room stands one row above the highest that it imports.

    Args:
        arrows: Of :func:`direct`.
    """
    def height(room: str) -> int:
        """Number of the row; 0 for a room that imports none of the others."""
        return 1 + max((height(other) for other in arrows[room]), default=-1)

    rows: list[list[str]] = [[] for _ in range(1 + max(map(height, arrows)))]
    for room in arrows:
        rows[height(room)].append(room)
    return rows


def places(rows: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Room -> (x, y) of the middle of its box in pixels; the highest row is at the top, every row
    centered.

    Args:
        rows: Of :func:`levels`, the lowest first.
    """
    widest = max(map(len, rows))
    step = BOX[0] + SPACE[0]
    found = {}
    for number, row in enumerate(reversed(rows)):
        for column, room in enumerate(row):
            found[room] = ((column + (widest - len(row)) / 2) * step + step / 2,
                           number * (BOX[1] + SPACE[1]) + BOX[1])
    return found


def drawing(allowed: Table = ALLOWED) -> str:
    """The drawing as the text of an SVG file.

    Args:
        allowed: Room -> rooms it may import.
    """
    arrows = direct(allowed)
    rows = levels(arrows)
    middles = places(rows)
    width = max(map(len, rows)) * (BOX[0] + SPACE[0])
    height = len(rows) * (BOX[1] + SPACE[1]) + 24  # and the line of text below
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#556"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for room, others in arrows.items():
        for other in others:
            (x1, y1), (x2, y2) = middles[room], middles[other]
            parts.append(f'<line x1="{x1:g}" y1="{y1 + BOX[1] / 2:g}" x2="{x2:g}" '
                         f'y2="{y2 - BOX[1] / 2:g}" stroke="#556" marker-end="url(#tip)"/>')
    for room, (x, y) in middles.items():
        name = f'import {PACKAGE}' if room == PACKAGE else room
        parts.append(f'<rect x="{x - BOX[0] / 2:g}" y="{y - BOX[1] / 2:g}" width="{BOX[0]}" '
                     f'height="{BOX[1]}" rx="5" fill="#eef2f7" stroke="#556"/>'
                     f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle">{escape(name)}</text>')
    parts.append(f'<text x="10" y="{height - 10}" fill="#556">'
                 f'below all: {", ".join(LEAVES)}; beside them: {", ".join(BESIDE)}</text></svg>')
    return '\n'.join(parts) + '\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=OUT, help='default: docs/images/rooms.svg')
    parser.add_argument('--check', action='store_true', help='write nothing, compare')
    args = parser.parse_args()
    if args.check:
        stale = not args.out.is_file() or args.out.read_text(encoding='utf-8') != drawing()
        print(f'{args.out} is not up to date: run python tools/dev/draw_rooms.py' if stale
              else f'{args.out} is up to date')
        return int(stale)
    args.out.write_text(drawing(), encoding='utf-8')
    print(args.out)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
