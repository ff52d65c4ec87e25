"""Converts many label files: in parallel, restartable, with a check of every file and a summary.

Shapes: H x W pixels.
"""
import os
import os.path as osp
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, NamedTuple, Optional

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from mmseg_dg.utils.atomic_files import remove_dead_parts

from ..image_size import image_size
from ..label_tables import IGNORE, count_ids, ids_outside
from ..parallel import chunks, run_ranges
from .files import write_label

_CHUNK = 8  # labels a process is given at a time
_NAMED = 5  # problems a summary names


class Job(NamedTuple):
    """One label to make.

    Attributes:
        name: Image stem as list files name it.
        source: The published file it is made from.
        target: File to write.
        image: Image whose size the label must have; None: not checked.
    """
    name: str
    source: str
    target: str
    image: Optional[str] = None


class SizeMismatch(ValueError):
    """Label and image differ in size."""


LabelMaker = Callable[[Job], np.ndarray]


@dataclass
class Report:
    """What became of the jobs.

    Attributes:
        written: Names of the labels written now.
        kept: Names of those that were there already.
        mismatched: {name: message} of labels whose size is not that of the image: left out.
        failed: {name: message} of everything else that went wrong: left out.
        pixel_counts: int64 (256,) of the labels that were read now.
        seconds: Wall clock time.
    """
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    mismatched: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    pixel_counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    seconds: float = 0.

    @property
    def usable(self) -> list[str]:
        """Names with a good label, sorted."""
        return sorted(self.written + self.kept)

    @property
    def left_out(self) -> list[str]:
        """Names without one, sorted."""
        return sorted([*self.mismatched, *self.failed])

    def summary(self, class_names: Sequence[str] = ()) -> str:
        """A few lines of text; with class names also the classes that occur nowhere (when every
        file was read).
        """
        lines = [
            f'{len(self.written)} labels written, {len(self.kept)} were there already, '
            f'{len(self.mismatched)} differ in size from their image, {len(self.failed)} '
            f'failed ({self.seconds:.1f} s)'
        ]
        for title, problems in (('size', self.mismatched), ('failed', self.failed)):
            lines += [f'  {title}: {message}' for message in list(problems.values())[:_NAMED]]
            if len(problems) > _NAMED:
                lines.append(f'  {title}: and {len(problems) - _NAMED} more')
        if class_names and not self.kept and self.written:
            absent = [name for i, name in enumerate(class_names) if not self.pixel_counts[i]]
            lines.append(f'  classes without a pixel: {", ".join(absent) or "none"}')
        return '\n'.join(lines)


def convert(jobs: Sequence[Job], make_label: LabelMaker, num_classes: int,
            num_workers: Optional[int] = None, overwrite: bool = False, verify: bool = False,
            title: str = 'labels') -> Report:
    """Make every label that is not there yet.

    A target that exists is kept: targets appear in one step, so what exists is whole, and a killed
    run continues where it was. Files that another tool wrote are kept too; of a kept file only the
    size is read and compared with the image's; ``verify`` compares the content.

    Args:
        jobs: What to make; targets must differ.
        make_label: Gives uint8 (H, W) ids; picklable; raises ValueError or OSError for a bad file.
        num_classes: Result ids must be in 0..num_classes-1 or 255.
        num_workers: Processes; None: all cores.
        overwrite: Make labels again that are there.
        verify: Make labels that are there again and compare; a difference is a failure.
        title: Word before the progress bar.

    Returns:
        What became of each job, and the pixels per id of the labels that were read.

    Raises:
        ValueError: Two jobs have one target or one name.
    """
    targets, names = [job.target for job in jobs], [job.name for job in jobs]
    for what, values in (('target', targets), ('name', names)):
        if len(set(values)) < len(jobs):
            twice = next(v for v in values if values.count(v) > 1)
            raise ValueError(f'two labels have the same {what} {twice!r}; the folders overlap')
    started, report = time.time(), Report()
    remove_dead_parts(osp.dirname(job.target) for job in jobs)
    work = partial(_convert_range, jobs, make_label, num_classes, overwrite, verify)
    workers = os.cpu_count() or 1 if num_workers is None else num_workers
    ranges = chunks(len(jobs), _CHUNK)
    sys.stderr.write(f'{title}: {len(jobs)} files\n')
    bar = ProgressBar(max(len(jobs), 1), file=sys.stderr)
    for (start, stop), (outcomes, counts) in zip(ranges, run_ranges(work, ranges, workers)):
        report.pixel_counts += counts
        for name, status, message in outcomes:
            entries = vars(report)[status]  # the field of the report that ``status`` names
            if isinstance(entries, list):  # written, kept
                entries.append(name)
            else:  # mismatched, failed: with reasons
                entries[name] = message
        bar.update(stop - start)
    sys.stderr.write('\n')
    report.seconds = time.time() - started
    return report


def _convert_range(jobs: Sequence[Job], make_label: LabelMaker, num_classes: int, overwrite: bool,
                   verify: bool,
                   bounds: tuple[int, int]) -> tuple[list[tuple[str, str, str]], np.ndarray]:
    """Convert the jobs ``bounds[0]`` to ``bounds[1]`` (exclusive) in one process; the other
    arguments are those of :func:`convert`.

    Returns:
        (name, field of the :class:`Report`, message) of each job, and the pixels per id of the
        labels that were read, int64 (256,).
    """
    outcomes, total = [], np.zeros(256, np.int64)
    for job in jobs[bounds[0]:bounds[1]]:
        try:
            up_to_date = not overwrite and osp.exists(job.target)
            if up_to_date and not verify:
                # the label may be another tool's, which did not compare it with the image
                if job.image is not None:
                    _check_size(job.image, image_size(job.target), job.target)
                outcomes.append((job.name, 'kept', ''))
                continue
            label, counts = checked_label(job, make_label, num_classes)
            if not up_to_date:  # else ``verify`` is asked: what is there must be the same
                write_label(job.target, label)
            elif not _same_label(job.target, label):
                raise ValueError(f'{job.target}: is not what {job.source} converts to; run again '
                                 'with --overwrite')
            total += counts
            outcomes.append((job.name, 'kept' if up_to_date else 'written', ''))
        except SizeMismatch as error:
            outcomes.append((job.name, 'mismatched', str(error)))
        except (ValueError, OSError) as error:
            outcomes.append((job.name, 'failed', str(error)))
    return outcomes, total


def checked_label(job: Job, make_label: LabelMaker,
                  num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the label of a job and check it.

    Returns:
        The label, uint8 (H, W), and its pixels per id, (256,).

    Raises:
        SizeMismatch: The label has not the size of the job's image.
        ValueError: It has ids outside 0..num_classes-1 that are not 255, or cannot be made.
    """
    label = make_label(job)
    counts = count_ids(label)
    wrong = ids_outside(counts, num_classes)
    if wrong:
        raise ValueError(f'{job.source}: gives ids {wrong[:10]}, outside 0..{num_classes - 1} and '
                         f'{IGNORE}')
    if job.image is not None:
        _check_size(job.image, label.shape, job.source)
    return label, counts


def _same_label(path: str, label: np.ndarray) -> bool:
    """Whether the file can be read and has exactly these ids."""
    kept = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    return kept is not None and np.array_equal(kept, label)


def _check_size(image: str, size: tuple[int, ...], path: str) -> None:
    """Refuse the label ``path`` of ``size`` (height, width) unless its image has that size, too."""
    expected = image_size(image)
    if size != expected:
        raise SizeMismatch(f'{path} has {size[1]}x{size[0]} pixels (width x height), '
                           f'{image} has {expected[1]}x{expected[0]}')
