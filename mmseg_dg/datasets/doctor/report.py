"""What the doctor says: one table, the offenders, JSON, and cleaned lists."""
import os.path as osp
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import numpy as np

from ..checks import is_local
from ..conversion.files import write_list
from ..image_lists import stem_of
from ..traits import traits
from .faults import KINDS, Finding
from .listing import Listing

_NAMED = 8  # offenders listed per kind and stream


class StreamSummary(NamedTuple):
    """One line of the table.

    Attributes:
        stream: Name.
        key: Dotted key of its dataset in the config.
        type: Dataset class.
        images: Images it names.
        expected: Images of the whole split, if it is a known one.
        labeled: Whether labels are read.
        pixels: Labeled pixels of each class.
    """
    stream: str
    key: str
    type: str
    images: int
    expected: Optional[int]
    labeled: bool
    pixels: list[int]

    @classmethod
    def from_listing(cls, listing: Listing, expected: Optional[int],
                     totals: Optional[np.ndarray]) -> 'StreamSummary':
        """The line of a dataset; ``totals`` are the pixels of each id (256,), None without labels.
        """
        pixels = [] if totals is None else totals[:len(listing.classes)].tolist()
        return cls(listing.stream, listing.entry.key, str(listing.entry.config.get('type')),
                   listing.listed, expected, listing.loader is not None, pixels)


@dataclass(frozen=True)
class Report:
    """Everything that was found.

    Attributes:
        streams: One entry per dataset.
        findings: Sorted by kind.
        listings: Behind the summaries, for :func:`write_fixed_lists`.
    """
    streams: list[StreamSummary]
    findings: list[Finding]
    listings: list[Listing]

    @classmethod
    def from_findings(cls, streams: list[StreamSummary], findings: Sequence[Finding],
                      listings: list[Listing], ignore: Sequence[str] = ()) -> 'Report':
        """A report with the findings in the order of :data:`KINDS`, without the kinds to ignore;
        ValueError for a kind that does not exist.
        """
        unknown = sorted(set(ignore) - set(KINDS))
        if unknown:
            raise ValueError(f'no such kind of fault: {unknown}; there are {sorted(KINDS)}')
        order = {kind: i for i, kind in enumerate(KINDS)}
        kept = [finding for finding in findings if finding.kind not in ignore]
        return cls(streams, sorted(kept, key=lambda f: order[f.kind]), listings)

    @property
    def errors(self) -> list[Finding]:
        """Findings by which training fails or its result is wrong."""
        return [finding for finding in self.findings if finding.is_error]

    @property
    def warnings(self) -> list[Finding]:
        """Findings that may be meant so."""
        return [finding for finding in self.findings if not finding.is_error]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dict(
            ok=not self.errors, streams=[summary._asdict() for summary in self.streams], findings=[
                dict(finding._asdict(), severity=KINDS[finding.kind].severity)
                for finding in self.findings
            ])

    def text(self, named: Optional[int] = _NAMED) -> str:
        """The table of streams and the offenders of each kind.

        Args:
            named: Offenders listed per kind and stream; None: all.
        """
        shown = set(self.findings)
        lines = _table([('stream', 'dataset', 'images', 'expected', 'labels', 'errors', 'warnings'),
                        *(self._row(summary, shown) for summary in self.streams)])
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault((finding.kind, finding.stream), []).append(finding)
        for (key, stream), found in groups.items():
            kind = KINDS[key]
            lines += [
                '', f'{kind.severity.upper()} {key}, {stream or "config"}: {kind.title} '
                f'({len(found)}). {kind.advice[0].upper()}{kind.advice[1:]}'
            ]
            lines += [
                f'    {f.path}' + (f': {f.detail}' if f.detail else '') for f in found[:named]
            ]
            if named is not None and len(found) > named:
                lines.append(f'    ... and {len(found) - named} more')
        lines += ['', f'{len(self.errors)} errors, {len(self.warnings)} warnings']
        return '\n'.join(lines)

    def _row(self, summary: StreamSummary, shown: set[Finding]) -> tuple[str, ...]:
        """Cells of a dataset's line in the table: stream, type, images, images expected, labeled,
        errors, warnings.

        ``shown`` are the findings of this report; kinds that it was told to ignore are not counted.
        """
        # several datasets may be joined in one stream: the key tells whose findings these are
        listing = next(x for x in self.listings if x.entry.key == summary.key)
        # True -> number of errors, False -> number of warnings
        number = Counter(f.is_error for f in listing.findings if f in shown)
        return (summary.stream, summary.type, str(summary.images),
                '' if summary.expected is None else str(summary.expected),
                'yes' if summary.labeled else 'no', str(number[True]), str(number[False]))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns are aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]


def write_fixed_lists(report: Report, folder: str) -> dict[str, str]:
    """Write a list (``ann_file``, one name per line) without the offenders for each dataset that
    has some.

    An image that training and validation share leaves the training list, one with and without label
    the unlabeled list. Faults of whole datasets (folders, classes, binary masks) cannot be cured
    so. The lists are called ``<stream>_cleaned.txt``, with a number where several datasets are one
    stream.

    Args:
        report: From :func:`examine`.
        folder: Where the lists go; made if missing.

    Returns:
        {dotted config key: value to set}, the path of the list for ``ann_file``; ``'None'`` for
        other choices of images (``split``, ``indices``), which the list replaces.

    Raises:
        ValueError: A list would replace one that the config reads; nothing is written then.
    """
    lists: dict[str, list[str]] = {}
    overrides = {}
    # list that the config reads -> key of the dataset that reads it
    own_lists = {
        osp.realpath(x.dataset.ann_file): x.entry.key
        for x in report.listings if traits(x.dataset).ann_file
    }
    for listing in report.listings:
        names = _names_kept(listing, report)
        if names is None:
            continue
        path = osp.abspath(osp.join(folder, _file_name(listing, report)))
        reader = own_lists.get(osp.realpath(path))
        if reader is not None:
            raise ValueError(f'the cleaned list {path} would replace the list (ann_file) that '
                             f'{reader} reads; write the cleaned lists to another folder')
        lists[path] = names
        overrides[f'{listing.entry.key}.ann_file'] = path
        # GTA's part of the split file, and positions that count differently in the list
        overrides.update({
            f'{listing.entry.key}.{key}': 'None'
            for key in ('split', 'indices') if listing.entry.config.get(key) is not None
        })
    for path, names in lists.items():
        write_list(path, names)
    return overrides


def _names_kept(listing: Listing, report: Report) -> Optional[list[str]]:
    """Names of the dataset's samples without the offenders, the lines of its cleaned list; None
    where no list is needed, or where such a dataset cannot read one.
    """
    if not traits(listing.dataset).pairs_files or not listing.infos:
        return None
    bad = {
        _place(finding.image)
        for finding in report.findings
        if finding.image and finding.stream == listing.stream and KINDS[finding.kind].per_sample
    }
    good = [info['img_path'] for info in listing.infos if _place(info['img_path']) not in bad]
    # ``listed`` counts the samples before missing ones were taken out, so that an equal number
    # means that none is bad. Names that the config's list has twice were one sample already then:
    # they need a new list although the numbers are equal
    doubled = any(finding.kind == 'duplicate_entry' for finding in listing.findings)
    if len(good) == listing.listed and not doubled:
        return None
    folder, suffix = listing.dataset.data_prefix['img_path'], listing.dataset.img_suffix
    return [stem_of(osp.relpath(path, folder), suffix) for path in good]


def _place(path: str) -> str:
    """A path by which the same local file is found again; remote ones are left as they are."""
    return osp.abspath(path) if '://' not in path and is_local(path, None) else path


def _file_name(listing: Listing, report: Report) -> str:
    """Name of a dataset's cleaned list: its stream, with a number if the stream joins several."""
    same = [x for x in report.listings if x.stream == listing.stream]
    number = f'_{same.index(listing) + 1}' if len(same) > 1 else ''
    return listing.stream.replace('/', '_') + number + '_cleaned.txt'
