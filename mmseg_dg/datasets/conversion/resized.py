"""Writes images and labels of a dataset at the size training resizes them to; see
``mmseg_dg/datasets/resized_copies.py``.

Shapes: H x W pixels.
"""
import json
import os
import os.path as osp
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Optional

import cv2
import numpy as np
from mmcv.transforms import Resize
from mmengine.utils import ProgressBar

from mmseg_dg.ops.pairs import pair
from mmseg_dg.utils.atomic_files import remove_dead_parts

from ..parallel import chunks, run_ranges
from ..resized_copies import COUNTS, copies_folder
from ..transforms.load_image import LoadImageFromFile
from .engine import Job, LabelMaker, Report, SizeMismatch, checked_label
from .files import write_bytes, write_label
from .recipes import Part, Recipe, find_jobs

_CHUNK = 4  # images a process is given at a time


def resize_dataset(recipe: Recipe, part: Part, root: str, scale: Sequence[int],
                   out_root: Optional[str] = None, num_workers: Optional[int] = None,
                   overwrite: bool = False) -> tuple[Report, list[str]]:
    """Make the copies that are not there yet, and the counts of the original labels.

    Images and labels go through the transforms of training (``LoadImageFromFile``, the recipe's
    label loader, ``Resize(scale, keep_ratio=True)``: bilinear and nearest) and into PNG files,
    which lose nothing: a pipeline that begins so gives the same pixels from a copy. A label that
    cannot be used has no copy, its image has one.

    Args:
        recipe: The dataset.
        part: Its folder pair.
        root: Folder of the dataset as published.
        scale: (width, height) as ``Resize`` has it.
        out_root: Below it lies the folder of the copies; None: ``root``.
        num_workers: Processes; None: all cores.
        overwrite: Make copies again that are there.

    Returns:
        What became of the labels, and stems that have an image or a label only.
    """
    started, report = time.time(), Report()
    out = osp.join(out_root or root, copies_folder(scale))
    jobs, unpaired = find_jobs(recipe, part, root, out)
    images = {job.name: osp.join(out, part.images, job.name + '.png') for job in jobs}
    remove_dead_parts({osp.dirname(p) for job in jobs for p in (job.target, images[job.name])})
    # label file -> class -> pixels of the original label: what an earlier run counted, and all
    counted_before = {} if overwrite else _read_counts(osp.join(out, COUNTS))
    class_counts: dict[str, dict[str, int]] = {}
    work = partial(_resize_range, jobs, images, recipe.labels, len(recipe.classes), pair(scale),
                   overwrite, frozenset(counted_before))
    ranges = chunks(len(jobs), _CHUNK)
    sys.stderr.write(f'{recipe.title} at {scale[0]}x{scale[1]}: {len(jobs)} images\n')
    bar = ProgressBar(max(len(jobs), 1), file=sys.stderr)
    workers = os.cpu_count() or 1 if num_workers is None else num_workers
    for (start, stop), outcomes in zip(ranges, run_ranges(work, ranges, workers)):
        for job, (status, message, counts) in zip(jobs[start:stop], outcomes):
            entries = getattr(report, status)  # the field of the report that ``status`` names
            if not isinstance(entries, list):  # mismatched, failed: with reasons, without a copy
                entries[job.name] = message
                continue
            entries.append(job.name)  # written, kept
            key = osp.basename(job.target)
            class_counts[key] = counted_before[key] if counts is None else {
                str(i): int(n)
                for i, n in enumerate(counts[:len(recipe.classes)]) if n
            }
            report.pixel_counts += 0 if counts is None else counts
        bar.update(stop - start)
    sys.stderr.write('\n')
    write_bytes(osp.join(out, COUNTS), json.dumps(class_counts).encode())
    return replace(report, seconds=time.time() - started), unpaired


def _read_counts(path: str) -> dict[str, dict[str, int]]:
    """Counts that an earlier run wrote, label file -> class -> pixels; empty where there is no
    readable file (they are counted again).
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _resize_range(jobs: Sequence[Job], images: dict[str, str], make_label: LabelMaker,
                  num_classes: int, scale: tuple[int, int], overwrite: bool, known: frozenset[str],
                  bounds: tuple[int, int]) -> list[tuple[str, str, Optional[np.ndarray]]]:
    """Make the copies of the jobs ``bounds[0]`` to ``bounds[1]`` (exclusive) in one process.

    Args:
        jobs: All labels to make.
        images: Job's name -> path of the image's copy.
        make_label: Makes a job's label at its original size.
        num_classes: Of the labels.
        scale: (width, height).
        overwrite: Make copies again that are there.
        known: Names of label files whose pixels an earlier run counted.
        bounds: Range of ``jobs``.

    Returns:
        For each job (field of the report, message, pixels per id of the original label); None
        instead of pixels that are known already, or of a label that cannot be used.
    """
    resize, load = Resize(scale=scale, keep_ratio=True), LoadImageFromFile()
    outcomes: list[tuple[str, str, Optional[np.ndarray]]] = []
    for job in jobs[bounds[0]:bounds[1]]:
        try:
            if overwrite or not osp.exists(images[job.name]):
                _write_image(images[job.name], resize(load(dict(img_path=job.image)))['img'])
            keep = not overwrite and osp.exists(job.target)
            if keep and osp.basename(job.target) in known:
                outcomes.append(('kept', '', None))
                continue
            # a label that is kept but was never counted is read as well
            label, counts = checked_label(job, make_label, num_classes)
            if not keep:
                write_label(job.target, resize(dict(gt_seg_map=label))['gt_seg_map'])
            outcomes.append(('kept' if keep else 'written', '', counts))
        except SizeMismatch as error:
            outcomes.append(('mismatched', str(error), None))
        except (ValueError, OSError) as error:
            outcomes.append(('failed', str(error), None))
    return outcomes


def _write_image(path: str, image: Any) -> None:
    """Write an image, uint8 (H, W, 3) BGR, as PNG in one step."""
    done, content = cv2.imencode('.png', image)
    if not done:
        raise OSError(f'{path}: OpenCV cannot encode an image of shape {image.shape}')
    write_bytes(path, content.tobytes())
