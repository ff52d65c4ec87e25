"""What a report needs and the run alone can give: pictures of predictions, scores by image,
confusion matrices.

Written into the run's log folder beside the evaluation's CSV, so that ``tools/report.py`` works
without the data, the weights or a GPU.

Shapes: C classes, H x W pixels.
"""
import csv
import json
import logging
import math
import os.path as osp
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.transforms import LoadImageStack
from mmseg_dg.datasets.wrappers import locate, transforms_of
from mmseg_dg.evaluation.confusion_metric import ConfusionMatrixMetric, ImageScore
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import iteration_of
from mmseg_dg.utils.rounding import ceil_div
from mmseg_dg.visualization.tiles import save_picture

FOLDER = 'report'
#: Why an image is in the report.
KINDS = ('sample', 'best', 'worst')


class _Keeper:
    """The pictures of one domain that a report will show: some spread evenly over the dataset, and
    the best and worst so far.

    An image is an entry: the dict that :meth:`ReportMaterialHook._entry` makes.

    Args:
        number: Images of the domain.
        samples: How many of them are spread evenly.
        extremes: How many best and how many worst ones are kept.
        step: This process judges the images 0, ``step``, 2 ``step``, ...
    """
    def __init__(self, number: int, samples: int, extremes: int, step: int = 1) -> None:
        judged = ceil_div(number, step)
        spread = np.linspace(0, max(judged - 1, 0), min(samples, judged))
        # indices of the images that are kept whatever their score is
        self.sample_indices = {step * i for i in np.unique(spread.astype(int)).tolist()}
        self.extremes = extremes
        self.samples: list[dict] = []
        self.best: list[dict] = []
        self.worst: list[dict] = []

    def wants(self, index: int, score: float) -> list[str]:
        """The kinds (``sample``, ``best``, ``worst``) as which an image would be kept now.

        Args:
            index: Of the image in the dataset.
            score: Its mean IoU; NaN (no score) is neither best nor worst.
        """
        kinds = ['sample'] if index in self.sample_indices else []
        if not math.isnan(score) and self.extremes:
            # both lists are sorted, the entry that would go first comes last
            if len(self.best) < self.extremes or score > self.best[-1]['score']:
                kinds.append('best')
            if len(self.worst) < self.extremes or score < self.worst[-1]['score']:
                kinds.append('worst')
        return kinds

    def keep(self, entry: dict, kinds: Sequence[str]) -> None:
        """Keep an entry as each of the kinds that :meth:`wants` gave; of the best and the worst
        only as many as are shown.
        """
        if 'sample' in kinds:
            self.samples.append(entry)
        if 'best' in kinds:
            self.best = sorted([*self.best, entry], key=lambda e: -e['score'])[:self.extremes]
        if 'worst' in kinds:
            self.worst = sorted([*self.worst, entry], key=lambda e: e['score'])[:self.extremes]

    def chosen(self) -> list[tuple[dict, list[str]]]:
        """``(entry, all kinds it is kept as)``, in the order of the dataset."""
        kinds: dict[int, list[str]] = {}  # by index of the image
        entries = {}
        for kind, kept in zip(KINDS, (self.samples, self.best, self.worst)):
            for entry in kept:
                kinds.setdefault(entry['index'], []).append(kind)
                entries[entry['index']] = entry
        return [(entries[index], kinds[index]) for index in sorted(entries)]


@HOOKS.register_module()
class ReportMaterialHook(Hook):
    """Keeps, of each evaluation, some pictures, the score of every image and the confusion
    matrices.

    In ``<log folder>/report/<evaluation>/<domain>``: ``NNNN_image.jpg``, ``NNNN_prediction.png``,
    ``NNNN_label.png`` (class ids, 8 bit), ``NNNN_confidence.png`` (probability of the predicted
    class, 0..255), ``pictures.json``, ``images.csv`` and ``confusion.csv``. Only the newest
    evaluation's pictures are kept.

    Only the main process keeps pictures, of the images it judges: with W processes every W-th of
    the dataset.

    Args:
        samples: Images per domain spread evenly over the dataset, the same in every run on that
            dataset with as many processes: these can be compared between runs.
        extremes: Best and worst images per domain, by mean IoU of the image.
        longest: Longest side of a kept picture in pixels; larger ones are kept smaller.
        charts: After training, draw curves and confusion matrices as PNG into the work dir.

    Raises:
        ValueError: Negative numbers.
    """

    priority = 'VERY_LOW'

    def __init__(self, samples: int = 4, extremes: int = 2, longest: int = 768,
                 charts: bool = True) -> None:
        if min(samples, extremes) < 0 or longest < 16:
            raise ValueError(f'samples={samples} and extremes={extremes} must not be negative, '
                             f'longest={longest} must be at least 16')
        self.samples, self.extremes, self.longest, self.charts = samples, extremes, longest, charts
        self._keepers: dict[str, _Keeper] = {}  # by domain
        self._seen: dict[str, int] = {}  # images of each domain that this process has judged

    # ------------------------------------------------------------------ while images are judged
    def before_val_epoch(self, runner: Runner) -> None:
        """Begin an evaluation with nothing kept."""
        self._keepers, self._seen = {}, {}

    before_test_epoch = before_val_epoch

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                       outputs: Optional[Sequence] = None) -> None:
        self._collect(runner.val_loop, outputs)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                        outputs: Optional[Sequence] = None) -> None:
        self._collect(runner.test_loop, outputs)

    def _collect(self, loop: Any, outputs: Optional[Sequence]) -> None:
        """Offer the samples of a predicted batch to the domain's keeper, which chooses those to
        show.

        Args:
            loop: The loop of the evaluation.
            outputs: Predicted samples of one domain, whose metrics have judged them already.
        """
        # samples of mmengine's own loops are of no domain
        domain = outputs[0].metainfo.get('domain', '') if outputs else ''
        if outputs is None or not domain or not is_main_process():
            return
        metric = _metric(loop, domain)
        if domain not in self._keepers:
            self._keepers[domain] = _Keeper(len(loop.dataloader[domain].dataset), self.samples,
                                            self.extremes, get_world_size())
        keeper = self._keepers[domain]
        judged = metric.image_scores if metric is not None else None  # one per image so far
        scores = judged[-len(outputs):] if judged else []  # those of this batch, the latest
        for position, sample in enumerate(outputs):
            count = self._seen.get(domain, 0)
            self._seen[domain] = count + 1
            # in the dataset: mmengine's DefaultSampler gives process 0 of W every W-th image
            index = count * get_world_size()
            if 'pred_sem_seg' not in sample:  # a denoiser is judged on images, not on classes
                continue
            score = scores[position].miou if len(scores) == len(outputs) else float('nan')
            kinds = keeper.wants(index, score)
            if kinds:
                keeper.keep(self._entry(sample, index, score), kinds)

    def _entry(self, sample: Any, index: int, score: float) -> dict:
        """Small copies (uint8 arrays) of what a report shows of one image: prediction, and where
        there are any label and confidence; with index, path and score.
        """
        prediction = _ids(sample.pred_sem_seg.data)
        entry = dict(index=index, path=str(sample.metainfo.get('img_path', '')), score=score,
                     prediction=self._small(prediction))
        # a label of another size than the prediction could not be laid over it
        if 'gt_sem_seg' in sample and sample.gt_sem_seg.data.shape[
                -2:] == sample.pred_sem_seg.data.shape[-2:]:
            entry['label'] = self._small(_ids(sample.gt_sem_seg.data))
        # one channel of logits: its softmax would be 1 everywhere
        if 'seg_logits' in sample and sample.seg_logits.data.shape[0] > 1:
            # the probability of the predicted class, (C, H, W) -> (H, W)
            confidence = sample.seg_logits.data.float().softmax(dim=0).amax(dim=0)
            entry['confidence'] = self._small(
                (confidence * 255).round().to(torch.uint8).cpu().numpy())
        return entry

    def _small(self, plane: np.ndarray) -> np.ndarray:
        """A map scaled down to at most ``longest`` pixels a side, without new values."""
        scale = min(1.0, self.longest / max(plane.shape))
        if scale == 1.0:
            return plane
        # (width, height), as OpenCV wants them
        size = (max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale)))
        return cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST)

    # ------------------------------------------------------------------ after an evaluation
    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Write what was kept, under the number of iterations done (0 without a training)."""
        self._write(runner, runner.val_loop, f'iter_{iteration_of(runner)}')

    def after_test_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Write what was kept, as the evaluation ``test``."""
        self._write(runner, runner.test_loop, 'test')

    def _write(self, runner: Runner, loop: Any, evaluation: str) -> None:
        """Write what was kept of an evaluation, by domain, and forget it; older pictures go.

        Args:
            runner: The runner.
            loop: The loop of the evaluation.
            evaluation: Its name, that of the folder: ``iter_<N>`` or ``test``.
        """
        if not is_main_process() or not self._keepers:
            return
        root = Path(runner.log_dir) / FOLDER / evaluation
        for domain, keeper in self._keepers.items():
            folder = root / domain
            folder.mkdir(parents=True, exist_ok=True)
            dataset = loop.dataloader[domain].dataset
            meta = traits(dataset).metainfo
            pictures = [
                self._save(folder, entry, kinds, _loader(dataset, entry['index']))
                for entry, kinds in keeper.chosen()
            ]
            palette = [list(color) for color in meta.get('palette') or ()]
            record = dict(classes=list(meta.get('classes') or ()), palette=palette,
                          images=len(dataset), pictures=pictures)
            (folder / 'pictures.json').write_text(json.dumps(record, indent=1), encoding='utf-8')
            metric = _metric(loop, domain)
            if metric is not None:
                write_image_scores(folder / 'images.csv', metric.image_scores)
                if metric.confusion is not None:
                    write_confusion(folder / 'confusion.csv', metric.confusion, metric.scored_names)
        _drop_older_pictures(Path(runner.log_dir) / FOLDER, evaluation)
        self._keepers = {}

    def _save(self, folder: Path, entry: dict, kinds: list[str],
              loader: Optional[LoadImageFromFile]) -> dict:
        """Write the pictures of one sample and return its record for ``pictures.json``.

        Args:
            folder: Where they go.
            entry: As :meth:`_entry` makes it.
            kinds: As which it is kept.
            loader: The loading step of its pipeline, see :func:`read_photo`.
        """
        stem = f'{entry["index"]:04d}'
        height, width = entry['prediction'].shape
        for key in ('prediction', 'label', 'confidence'):
            if key in entry:
                (folder / f'{stem}_{key}.png').write_bytes(
                    cv2.imencode('.png', entry[key])[1].tobytes())
        image = read_photo(entry['path'], loader)
        if image is not None:
            # as large as the kept prediction; BGR -> RGB
            save_picture(
                cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1],
                str(folder / f'{stem}_image.jpg'))
        return dict(index=entry['index'], path=entry['path'],
                    score=None if math.isnan(entry['score']) else entry['score'], kinds=kinds,
                    stem=stem)

    def after_train(self, runner: Runner) -> None:
        """Write curves and confusion matrices as pictures into the work dir."""
        if not self.charts or not is_main_process():
            return
        # imported here: this loads matplotlib, which a run without charts can do without
        from mmseg_dg.visualization.run_charts import write_charts
        try:
            paths = write_charts(Path(runner.work_dir))
        # a picture is not worth a finished training
        except (ValueError, OSError, KeyError) as error:
            print_log(f'ReportMaterialHook: no charts: {error}', logger='current',
                      level=logging.WARNING)
            return
        if paths:
            print_log(f'charts: {", ".join(str(path) for path in paths)}', logger='current')


def _metric(loop: Any, domain: str) -> Optional[ConfusionMatrixMetric]:
    """The first segmentation score of a domain; None where it has none."""
    evaluator = loop.evaluator[domain]
    return next((m for m in evaluator.metrics if isinstance(m, ConfusionMatrixMetric)), None)


def _ids(data: torch.Tensor) -> np.ndarray:
    """(1, H, W) class ids as uint8 (H, W); ids from 255 on become 255."""
    return data.squeeze(0).clamp(max=255).to(torch.uint8).cpu().numpy()


def _loader(dataset: Any, index: int) -> Optional[LoadImageFromFile]:
    """The step that loads an image of a dataset; None where its pipeline has none."""
    steps = transforms_of(traits(locate(dataset, index)[0]).pipeline)
    return next((step for step in steps if isinstance(step, LoadImageFromFile)), None)


def read_photo(path: str, loader: Optional[LoadImageFromFile] = None) -> Optional[np.ndarray]:
    """An image as the network gets it, to be looked at: values scaled to 0..255 and turned as the
    pipeline does, its first three channels.

    Args:
        path: The file.
        loader: The step of the pipeline that loads images; None: OpenCV's own way.

    Returns:
        uint8 (H, W, 3) in BGR order; None where there is no such file or it cannot be read.
    """
    if not path or not osp.isfile(path):
        return None
    if loader is None:
        return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    try:
        loaded = loader.transform(dict(img_path=path))
    # mmcv's step asserts that there is an image, OpenCV has an exception of its own
    except (ValueError, OSError, ImportError, AssertionError, KeyError,
            cv2.error):  # a picture is not worth the run
        return None
    if loaded is None:
        return None
    image = np.atleast_3d(loaded['img'])  # (H, W, C)
    # one or two channels: the first as gray
    image = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if isinstance(loader, LoadImageStack):  # which keeps the order of the file, RGB
        image = image[..., ::-1]
    return np.ascontiguousarray(image.clip(0, 255).astype(np.uint8))


def write_image_scores(path: Path, scores: Sequence[ImageScore]) -> None:
    """CSV with one row per image, worst first; numbers unrounded."""
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['image', 'mIoU', 'aAcc'])
        worst: list[ImageScore] = sorted(scores, key=lambda s: (math.isnan(s.miou), s.miou))
        writer.writerows(worst)


def write_confusion(path: Path, matrix: np.ndarray, names: Sequence[str]) -> None:
    """CSV of pixel counts: a row per true class, a column per predicted one, the last for
    predictions of no class.
    """
    columns = [*names, 'other'][:matrix.shape[1]]  # a square matrix has no column "other"
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['label', *columns])
        writer.writerows([name, *map(int, row)] for name, row in zip(names, matrix))


def _drop_older_pictures(root: Path, newest: str) -> None:
    """Remove the pictures of validations before ``newest``; their tables stay."""
    for folder in root.glob('iter_*'):
        if folder.name == newest or not re.fullmatch(r'iter_\d+', folder.name):
            continue
        for picture in (*folder.glob('*/*.png'), *folder.glob('*/*.jpg'),
                        *folder.glob('*/pictures.json')):
            picture.unlink(missing_ok=True)
