"""Counts by drive, so that a score's uncertainty can be told from how few recordings it rests on.

Frames of one drive show the same street: resampling frames would count each street many times.
Whole drives are resampled instead (cluster bootstrap; Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 8).

Shapes: S samples of the bootstrap, K classes, D drives.
"""
import os
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info, is_main_process

from mmseg_dg.registry import METRICS
from mmseg_dg.utils.atomic_files import written_whole
from mmseg_dg.utils.method import iteration_of
from mmseg_dg.utils.rounding import ceil_div

from .bias import ClassBiasMetric
from .confusion import map_classes


class Drives(NamedTuple):
    """Confusion matrices of one evaluation of one domain.

    Attributes:
        names: (D,) of the drives, sorted.
        matrices: int64 (D, K, K + 1).
        subset: Ids of the scored classes; None: all.
    """
    names: tuple[str, ...]
    matrices: np.ndarray
    subset: Optional[tuple[int, ...]] = None


@METRICS.register_module()
class DriveMetric(ClassBiasMetric):
    """:class:`ClassBiasMetric` that also leaves the confusion matrix of every drive beside the
    evaluation's table.

    Written: ``drives_<domain>_iter_<N>.npz`` in the run's log folder. Its matrices add up to
    ``confusion``.

    Args:
        drive: Regular expression on the image's path (with ``/``); what its first group matches
            names the drive.
            None: every image is a drive of its own, by its path below the folder that all images
            of the domain lie in.
        kwargs: Of :class:`ClassBiasMetric`.

    Raises:
        ValueError: The expression is invalid or has no group, or an image it does not match.
    """
    def __init__(self, drive: Optional[str] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        try:
            self.drive = None if drive is None else re.compile(drive)
        except re.error as error:
            raise ValueError(f'drive={drive!r} is no regular expression: {error}') from error
        if self.drive is not None and not self.drive.groups:
            raise ValueError(
                f'drive={drive!r} needs a group (...): what it matches names the drive')
        self.drives: Optional[Drives] = None  # of the last evaluation
        self._runner: Any = None  # given by ``use_run``; None: nothing is written
        self._domain = ''
        # drive and matrix (K, K + 1) of each image of this evaluation
        self._parts: list[tuple[str, np.ndarray]] = []

    def use_run(self, runner: Any, step: Any, domain: str) -> None:
        """Take the run into whose log folder the counts are written; the evaluation loops call it.

        Args:
            runner: The run.
            step: Predicts a batch; not used.
            domain: Name of the domain, for the file.
        """
        self._runner, self._domain = runner, domain

    def _score_image(self, sample: dict, matrix: np.ndarray, rows: list[int],
                     columns: list[int]) -> None:
        """Score one image, and keep its matrix (label classes x predicted ones) with its drive.

        ``rows`` and ``columns``: scored id of each label class and of each predicted class.
        """
        super()._score_image(sample, matrix, rows, columns)
        if self._count == 1:  # the first image of an evaluation
            self._parts = []
        drive = self.drive_of(str(sample.get('img_path') or ''))
        self._parts.append((drive, map_classes(matrix, rows, columns, len(self.scored_names))))

    def drive_of(self, path: str) -> str:
        """Name of the drive of an image: the first group of the expression, else the whole path;
        ValueError where the expression does not match.
        """
        path = path.replace(os.sep, '/')
        found = self.drive.search(path) if self.drive else None
        if self.drive and not found:
            raise ValueError(
                f'{path}: drive={self.drive.pattern!r} does not match, so it belongs to no drive')
        return found.group(1) if found else path

    def check_paths(self, paths: Iterable[str]) -> None:
        """Refuse (ValueError) a domain with an image of no drive; the evaluation loops call it
        before anything runs.
        """
        for path in paths:
            self.drive_of(path)

    def evaluate(self, size: int) -> dict[str, float]:
        """Score the images of all processes as the base class does, and write the drives' matrices.

        Args:
            size: Number of images of the dataset, without the sampler's padding.
        """
        rank, world_size = get_dist_info()
        share = max(0, ceil_div(size - rank, world_size))
        own_parts = self._parts[:share]  # a repeated last image is left out
        self._parts = []
        found = super().evaluate(size)
        parts = [part for gathered in all_gather_object(own_parts) for part in gathered]
        if parts and self.drive is None:
            # two machines have their data in different places, and call a drive alike
            names = _below_common_folder([name for name, _ in parts])
            parts = [(name, matrix) for name, (_, matrix) in zip(names, parts)]
        if parts:
            names = sorted({name for name, _ in parts})
            matrices = np.stack([sum(m for name, m in parts if name == drive) for drive in names])
            self.drives = Drives(tuple(names), matrices, self.subset())
            if self._runner is not None and is_main_process():
                self._write(self.drives)
        return found

    def _write(self, drives: Drives) -> None:
        """Write the confusion matrices of all drives of a domain into the run's folder."""
        path = os.path.join(self._runner.log_dir,
                            f'drives_{self._domain}_iter_{iteration_of(self._runner)}.npz')
        os.makedirs(self._runner.log_dir, exist_ok=True)
        with written_whole(path) as part, open(part, 'wb') as file:
            np.savez_compressed(file, **_arrays(drives))


def _below_common_folder(paths: Sequence[str]) -> list[str]:
    """Paths (with ``/``) below the innermost folder that holds them all."""
    folders = [posixpath.dirname(path) for path in paths]
    if len({folder.startswith('/') for folder in folders}) > 1:
        return list(paths)  # absolute and relative ones have no folder in common
    common = posixpath.commonpath(folders)
    return [path[len(common):].lstrip('/') for path in paths]


def read_drives(path: Any) -> Drives:
    """The counts in a file that :class:`DriveMetric` wrote (``path``: a path or an open file)."""
    with np.load(path, allow_pickle=False) as file:
        return _drives_in(file, '')


def _drives_in(file: Mapping[str, np.ndarray], prefix: str) -> Drives:
    """Counts whose arrays are called ``<prefix>names``, ``<prefix>matrices``,
    ``<prefix>subset``."""
    subset = tuple(int(i) for i in file[f'{prefix}subset'])
    return Drives(tuple(str(name) for name in file[f'{prefix}names']), file[f'{prefix}matrices'],
                  None if subset == (-1, ) else subset)


def write_counts(path: Any, counts: Mapping[str, Sequence[Drives]]) -> None:
    """Write several evaluations, ``{domain: [counts]}``, as one file, whole or not at all; the same
    counts give the same bytes.
    """
    arrays: dict[str, Any] = {
        f'{domain}/{i}/{key}': value
        for domain, evaluations in sorted(counts.items())
        for i, drives in enumerate(evaluations)
        for key, value in _arrays(drives).items()
    }
    with written_whole(path) as part, open(part, 'wb') as file:
        np.savez_compressed(file, **arrays)


def read_counts(path: Any) -> dict[str, list[Drives]]:
    """What :func:`write_counts` wrote; ``{}`` where there is no such file.

    Raises:
        ValueError: The file is damaged.
    """
    if not os.path.exists(path):
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            # '<domain>/<i>/names' -> '<domain>/<i>/'
            prefixes = [key[:-len('names')] for key in file if key.endswith('/names')]
            found: dict[str, list[Drives]] = {}
            for prefix in sorted(prefixes, key=_place):
                found.setdefault(_place(prefix)[0], []).append(_drives_in(file, prefix))
            return found
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        # of numpy's text the kind alone: it advises to unpickle files without a check
        raise ValueError(f'{path} is damaged ({type(error).__name__}): delete it, and its row, or '
                         'take both from where they were copied') from error


def _place(prefix: str) -> tuple[str, int]:
    """Domain and number of the evaluation in ``'<domain>/<i>/'``."""
    domain, _, number = prefix.rstrip('/').rpartition('/')
    return domain, int(number)


def _arrays(drives: Drives) -> dict[str, Any]:
    """Counts as arrays of a file; ``subset`` is [-1] for None."""
    return dict(names=np.array(drives.names), matrices=drives.matrices,
                subset=np.array([-1] if drives.subset is None else drives.subset))


def not_comparable(ours: Sequence[Mapping[str, Sequence[Drives]]],
                   theirs: Sequence[Mapping[str, Sequence[Drives]]]) -> str:
    """Why drives of two arms cannot be resampled together; '' where they can.

    Args:
        ours: Per seed ``{domain: [its last evaluations]}``.
        theirs: The control's, of the same seeds.
    """
    domains = list(ours[0]) if ours else []
    everything = [run for arm in (ours, theirs) for run in arm]
    if not domains or len(ours) != len(theirs) or any(
            list(run) != domains or not all(run.values()) for run in everything):
        return 'counts by drive are not there for every run and domain'
    for domain in domains:
        names = ours[0][domain][0].names
        # drives that one evaluation has and another has not
        odd = {
            name
            for run in everything
            for evaluation in run[domain]
            for name in {*evaluation.names} ^ {*names}
        }
        if odd:
            return f'runs differ in the drives of {domain}: {", ".join(sorted(odd)[:3])}'
        if len(names) < 2:
            return f'{domain} has a single drive'
    return ''


def bootstrap_difference(ours: Sequence[Mapping[str, Sequence[Drives]]],
                         theirs: Sequence[Mapping[str, Sequence[Drives]]], samples: int = 1000,
                         seed: int = 0) -> Optional[tuple[float, float]]:
    """95 % interval of the difference of two arms' mIoU over resampled drives.

    Each sample draws drives of every domain with replacement, the same ones for both arms, all
    seeds and evaluations, and takes the mean over seeds of the difference of scores; a score is the
    mean over evaluations and domains.

    Args:
        ours: Per seed ``{domain: [its last evaluations]}``.
        theirs: The control's, of the same seeds.
        samples: Number of samples.
        seed: Of the draws.

    Returns:
        2.5 and 97.5 percentiles in points of mIoU; None where :func:`not_comparable` says why not.
    """
    if not_comparable(ours, theirs):
        return None
    domains = list(ours[0])
    rng, total = np.random.default_rng(seed), np.zeros(samples)  # difference of each sample
    for domain in domains:
        names = ours[0][domain][0].names
        # how often each drive is drawn, in each sample
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)),
                                size=samples)  # (samples, D)
        # a difference of means over seeds, evaluations and domains, as a weighted sum
        for sign, arm in ((1, ours), (-1, theirs)):
            for run in arm:
                for evaluation in run[domain]:
                    weight = sign / (len(arm) * len(run[domain]) * len(domains))
                    total += weight * _resampled(evaluation, draws)
    return float(np.percentile(total, 2.5)), float(np.percentile(total, 97.5))


def _resampled(drives: Drives, draws: np.ndarray) -> np.ndarray:
    """mIoU in percent of each sample of the bootstrap, (S,), from how often it drew each drive,
    (S, D): what :func:`mmseg_dg.evaluation.confusion.scores` gives, for all samples at once.
    """
    sums = np.tensordot(draws, drives.matrices, 1).astype(np.float64)  # (S, K, K + 1)
    classes = sums.shape[1]
    chosen = list(range(classes) if drives.subset is None else drives.subset)
    hit = np.einsum('skk->sk', sums[:, :, :classes])  # the diagonal of each sample's matrix, (S, K)
    union = (sums.sum(2) + sums.sum(1)[:, :classes] - hit)[:, chosen]
    occurs = union > 0  # classes in neither labels nor predictions do not enter the mean
    iou = np.divide(100 * hit[:, chosen], union, out=np.zeros_like(union), where=occurs)
    return iou.sum(1) / np.maximum(occurs.sum(1), 1)
