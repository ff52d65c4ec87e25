"""The segmentation score: one confusion matrix per process, summed over processes at the end.

Shapes: C classes, H x W pixels.
"""
import logging
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor

from mmseg_dg.registry import METRICS
from mmseg_dg.utils.rounding import ceil_div

from .class_maps import ClassSubset, LabelMap, resolve_label_map, resolve_subset
from .confusion import confusion_matrix, map_classes, named_scores, scores


class ImageScore(NamedTuple):
    """Scores of one image, in percent.

    Attributes:
        path: Image file, '' where the sample does not say.
        miou: Mean IoU over the scored classes that occur in the image's label or prediction; nan
            without any.
        accuracy: Share of correct pixels; nan without labeled pixels.
    """
    path: str
    miou: float
    accuracy: float


@METRICS.register_module()
class ConfusionMatrixMetric(BaseMetric):
    """mIoU, accuracy and per-class IoU of the whole dataset, in percent and unrounded.

    ``evaluate`` returns python floats under ``mIoU``, ``mAcc``, ``aAcc``, ``IoU.<class>`` and
    ``Acc.<class>``. A class in neither ground truth nor predictions has IoU nan and does not enter
    the mean; one that is only predicted has 0.

    Memory does not grow with the dataset: a process holds the sum of its images and the matrix of
    its last image. ``DefaultSampler`` repeats images so that every process gets equally many, at
    most one per process and always the last; ``evaluate(size)`` knows from the dataset's size which
    processes hold a repeated one and subtracts it.

    Args:
        classes_subset: Score only these classes: names or ids, or ``'synthia16'`` /
            ``'synthia13'``. All predictions stay in the matrix, only the means run over fewer
            classes.
        label_map: Scored id of each class of the dataset: a list, or a dict from class name;
            ``ignore_index`` means not scored. The argmax is taken over all classes of the network
            and then mapped.
        scored_classes: Names of the scored classes; needed with ``label_map``.
        map_labels: Map the labels as well. False when the labels on disk already are ids of
            ``scored_classes`` while the network predicts ``len(label_map)`` classes.
        ignore_index: Label id of pixels that do not count.
        output_dir: Folder to which predicted ids are saved as PNG, named after the image: in an
            evaluation loop of this package by its path below the image folder. 8 bits, or 16 where
            an id is above 255.
        output_ids: Id written for each predicted class, e.g. the official label ids a test server
            expects; the network's own ids by default.
        name_depth: Instead: how many trailing parts of the image path make the PNG's name; 2 keeps
            the folder (city, sequence) where file names alone are not unique.
        format_only: Only save predictions; labels are not needed and no score is returned.
        note: A sentence about the protocol for the written report, e.g. which data chose the
            checkpoint.
        prefix: Put before every key, to tell two metrics of one domain apart (``'synthia13'``).
        collect_device: Kept for mmengine's interface; the all-reduce runs on the process group's
            own device.

    Attributes:
        image_scores: One :class:`ImageScore` per image this process has judged in order; kept after
            ``evaluate`` until the next evaluation begins.
        confusion: int64 (C, C + 1) of the last ``evaluate`` over scored classes, all processes; the
            last column counts predictions of no scored class. For what else can be derived from it
            (groups of classes, say).
    """
    def __init__(self, classes_subset: Optional[ClassSubset] = None,
                 label_map: Optional[LabelMap] = None,
                 scored_classes: Optional[Sequence[str]] = None, map_labels: bool = True,
                 ignore_index: int = 255, output_dir: Optional[str] = None,
                 output_ids: Optional[Sequence[int]] = None, name_depth: Optional[int] = None,
                 format_only: bool = False, note: str = '', prefix: Optional[str] = None,
                 collect_device: str = 'cpu') -> None:
        # None makes mmengine warn
        super().__init__(collect_device=collect_device, prefix=prefix or 'unset')
        self.prefix = prefix
        if (label_map is None) != (scored_classes is None):
            raise ValueError('label_map and scored_classes belong together: give the scored id of '
                             'each class and the names of the scored classes, or neither')
        if format_only and output_dir is None:
            raise ValueError('format_only=True saves predictions and scores nothing: it needs '
                             'output_dir')
        if output_ids is not None and not 0 <= min(output_ids) <= max(output_ids) <= 65535:
            raise ValueError(f'output_ids run from {min(output_ids)} to {max(output_ids)}: a PNG '
                             'holds ids 0..65535')
        self.classes_subset, self.label_map, self.map_labels = classes_subset, label_map, map_labels
        self.scored_classes = None if scored_classes is None else tuple(scored_classes)
        self.ignore_index, self.format_only, self.note = ignore_index, format_only, note
        self.output_dir, self.output_ids, self.name_depth = output_dir, output_ids, name_depth
        # of the last evaluation, for reports and pictures
        self.confusion: Optional[np.ndarray] = None
        self.image_scores: list[ImageScore] = []
        # image path -> name of its PNG without ending; the evaluation loops set it
        self.image_names: dict[str, str] = {}
        self._reset()

    def _reset(self) -> None:
        """Forget the images of this evaluation."""
        self._sum: Optional[np.ndarray] = None  # confusion matrix of the images so far
        self._last: Optional[np.ndarray] = None  # that of the last image alone
        self._count = 0  # images so far
        self._saved: dict[str, str] = {}  # name of each PNG -> path of its image

    @property
    def dataset_meta(self) -> Optional[dict]:
        """Meta information of the dataset; its ``classes`` name the label ids."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: Optional[dict]) -> None:
        self._dataset_meta = dataset_meta
        if dataset_meta is not None and dataset_meta.get('classes'):
            self._maps()  # a wrong label map or subset is an error before the first image
            self.subset()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the dataset's classes."""
        classes = (self._dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError('the dataset names no classes: give it metainfo=dict(classes=..., '
                             'palette=...) so that its predictions can be scored')
        return tuple(classes)

    @property
    def scored_names(self) -> tuple[str, ...]:
        """Names of the classes that are scored, before ``classes_subset``."""
        return self.scored_classes or self.classes

    @property
    def num_predicted(self) -> int:
        """Number of classes the network must predict: those of the dataset, or with
        ``map_labels=False`` those that ``label_map`` maps.
        """
        return len(self.classes if self.label_map is None or self.map_labels else self.label_map)

    def subset(self) -> Optional[tuple[int, ...]]:
        """Ids (in ``scored_names``) the means run over; None for all."""
        return resolve_subset(self.classes_subset, self.scored_names)

    def _maps(self) -> tuple[list[int], list[int]]:
        """Scored id of each label class and of each predicted class (lists); the same where both
        are mapped, or none is.
        """
        scored = len(self.scored_names)
        if self.label_map is None:
            return list(range(scored)), list(range(scored))
        if self.map_labels:
            table = resolve_label_map(self.label_map, self.classes, scored, self.ignore_index)
            return table, table
        if len(self.classes) != scored:
            raise ValueError('map_labels=False means that the labels are ids of scored_classes '
                             f'({scored}), but the dataset has {len(self.classes)} classes: '
                             f'{list(self.classes)}')
        # the dataset does not know the names of the classes the network predicts
        predicted = [str(i) for i in range(len(self.label_map))]
        return list(range(scored)), resolve_label_map(self.label_map, predicted, scored,
                                                      self.ignore_index)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch, and save its predictions if asked to.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``pred_sem_seg.data`` (1, H, W), ``gt_sem_seg.data`` (1, H, W)
                unless ``format_only``, and ``img_path``.

        Raises:
            ValueError: Shapes or ids do not fit, or the label is missing; the message names the
                file.
        """
        for sample in data_samples:
            prediction = _plane(sample['pred_sem_seg'])
            if self._count == 0:  # a new evaluation begins
                self.image_scores = []
            self._count += 1
            if self.output_dir is not None:
                self._save(prediction, sample.get('img_path'))
            if self.format_only:
                continue
            if 'gt_sem_seg' not in sample:
                raise ValueError(f'{_where(sample)} has no label to score against: load '
                                 'annotations in the test pipeline, or set format_only=True and '
                                 'output_dir')
            # scored id of each class of labels (rows of the matrix) and of predictions (columns)
            rows, columns = self._maps()
            try:
                matrix = confusion_matrix(prediction, _plane(sample['gt_sem_seg']), len(rows),
                                          len(columns), self.ignore_index)
            except ValueError as error:
                raise ValueError(f'{_where(sample)}: {error}') from error
            self._sum = matrix.copy() if self._sum is None else self._sum + matrix
            self._last = matrix  # taken off again if the sampler gave this image twice
            self._score_image(sample, matrix, rows, columns)

    def _score_image(self, sample: dict, matrix: np.ndarray, rows: list[int],
                     columns: list[int]) -> None:
        """Keep the score of one image; ``matrix``: its pixels, label classes x predicted ones;
        ``rows`` and ``columns``: the scored id of each of them.
        """
        found = scores(map_classes(matrix, rows, columns, len(self.scored_names)), self.subset())
        self.image_scores.append(
            ImageScore(str(sample.get('img_path') or ''), found.miou, found.aacc))

    def evaluate(self, size: int) -> dict[str, float]:
        """Sum the matrices of all processes and score them; every process gets the same result.

        Args:
            size: Number of images of the dataset, without the sampler's padding.

        Raises:
            ValueError: A process scored more images than padding explains.
        """
        # without scores a matrix of one zero, so that the number of images is summed alike
        rows, columns = ([0], [0]) if self.format_only else self._maps()
        total = np.zeros(
            (len(rows), len(columns)), np.int64) if self._sum is None else self._sum.copy()
        rank, world_size = get_dist_info()
        # this rank's images: numbers rank, rank + world_size, ...
        share = max(0, ceil_div(size - rank, world_size))
        surplus = self._count - share  # negative: images are missing, which is said below
        if surplus > 1:
            raise ValueError(
                f'process {rank} of {world_size} scored {self._count} images, its share of a '
                f"dataset of {size} is {share}: evaluate with sampler=dict(type='DefaultSampler', "
                'shuffle=False)')
        # where images do not divide evenly, the sampler repeats one: it came last
        if surplus == 1 and self._last is not None:
            total -= self._last
        # summed over processes: the matrix, then the number of images without repeated ones
        flat = torch.from_numpy(np.append(total.ravel(), self._count - max(surplus, 0)))
        all_reduce(flat)
        self._reset()
        if int(flat[-1]) < size:
            print_log(
                f'only {int(flat[-1])} of {size} images were evaluated: does the dataloader '
                'drop its last batch?', logger='current', level=logging.WARNING)
        if self.format_only:
            return {}
        # (rows * columns,) -> (rows, columns)
        self.confusion = map_classes(flat[:-1].numpy().reshape(total.shape), rows, columns,
                                     len(self.scored_names))
        return self._with_prefix(self.compute_metrics([self.confusion]))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores of the sum of confusion matrices (C, >= C) over the scored classes."""
        subset = self.subset()
        return named_scores(scores(sum(results), subset), self.scored_names, subset)

    def _with_prefix(self, metrics: dict[str, float]) -> dict[str, float]:
        """The metrics with ``<prefix>/`` before their keys, if there is a prefix."""
        return {f'{self.prefix}/{key}': value
                for key, value in metrics.items()} if self.prefix else metrics

    def _classes_to_save(self) -> int:
        """The largest id the network can predict; 0 where the dataset names no classes."""
        return self.num_predicted - 1 if (self._dataset_meta or {}).get('classes') else 0

    def _save(self, prediction: Tensor, img_path: Optional[str]) -> None:
        """Write a prediction (H, W) as PNG of class ids, of 8 or 16 bits; ValueError where two
        images would get one name.
        """
        if not img_path:
            raise ValueError('a sample has no img_path, from which the name of the saved '
                             'prediction is made: add it to the meta_keys of the packing transform')
        name = self._name(img_path) + '.png'
        if self._saved.setdefault(name, img_path) != img_path:
            raise ValueError(f'{self._saved[name]} and {img_path} would both be saved as {name}: '
                             f'set name_depth={(self.name_depth or 1) + 1} to keep their folders')
        ids = prediction.cpu().numpy()
        if self.output_ids is not None:
            ids = np.asarray(self.output_ids)[ids]
        # one depth for all files of a run: by the largest id there can be, not by the image's
        largest = max(self.output_ids) if self.output_ids is not None else max(
            self._classes_to_save(), ids.max())
        ids = ids.astype(np.uint8 if largest <= 255 else np.uint16)
        path = os.path.join(str(self.output_dir), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.fromarray(ids).save(path)

    def _name(self, img_path: str) -> str:
        """Path of an image's PNG below ``output_dir``, without ending."""
        if self.name_depth is None and img_path in self.image_names:
            return self.image_names[img_path]
        parts = os.path.splitext(os.path.normpath(img_path))[0].split(os.sep)
        return os.path.join(*[p for p in parts[-(self.name_depth or 1):] if p])


def _plane(data: Any) -> Tensor:
    """(H, W) ids of a pixel map given as PixelData, its dict, or a tensor."""
    data = data['data'] if isinstance(data, dict) else data.data
    data = torch.as_tensor(data)
    return data[0] if data.dim() == 3 and data.shape[0] == 1 else data


def _where(sample: dict) -> str:
    """The file of a sample, for messages."""
    files = [str(sample[key]) for key in ('seg_map_path', 'img_path') if sample.get(key)]
    return files[0] if files else 'a sample without img_path'
