"""The files of a prediction: label maps, overlays, confidence, tables; and how far it is.

Shapes: H x W pixels.
"""
import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmengine.logging import print_log
from mmseg.models.segmentors import BaseSegmentor
from PIL import Image

from mmseg_dg.utils.atomic_files import written_whole
from mmseg_dg.utils.console import duration
from mmseg_dg.visualization.tiles import save_picture

from .inputs import Input
from .label_free import LabelFreeTable
from .overlay import distinct_colors, painted, picture_of
from .prediction import PredictionPipeline

#: Folders of results below ``out``.
LABELS, OVERLAYS, CONFIDENCE = 'labels', 'overlays', 'confidence'
SHARES = 'class_shares.csv'  # the table there, and the mark of a prediction's folder
_SPEAK = 10.0  # seconds between lines of progress


@dataclass
class Written:
    """What :func:`~mmseg_dg.apis.predict_files.predict_files` wrote.

    Attributes:
        folder: Where.
        images: Number of images or frames.
        files: Their paths below ``folder``, without ending.
        shares: CSV file of class shares.
        label_free: CSV file of label-free scores; None where they were not asked for.
        skipped: Files that cannot be read, with the reason, a line each.
    """
    folder: Path
    shares: Path
    label_free: Optional[Path] = None
    images: int = 0
    files: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class ResultWriter:
    """Writes results, counts classes, says how far it is.

    :meth:`begin` is called once, :meth:`write` for each image, :meth:`write_tables` at the end.

    Args:
        model: Its ``dataset_meta`` has the names of its classes, and perhaps their colors.
        out, overlay, confidence: As :func:`~mmseg_dg.apis.predict_files.predict_files`.
    """
    def __init__(self, model: BaseSegmentor, out: Path, overlay: bool, confidence: bool) -> None:
        meta = model.dataset_meta
        self.names = list(meta['classes'])
        self.palette = [
            list(color) for color in meta.get('palette') or distinct_colors(len(self.names))
        ]
        self.out, self.overlay, self.confidence = out, overlay, confidence
        self.loader = PredictionPipeline(model.cfg).loader
        self.written = Written(out, out / SHARES)
        self.rows: list[list] = []  # of class_shares.csv
        self.total: Optional[int] = None  # images; None where a video does not say
        # label-free scores, which predict_files sets where they are asked for
        self.table: Optional[LabelFreeTable] = None

    def begin(self, total: Optional[int]) -> None:
        """Start the clock of the progress.

        Args:
            total: Number of images; None where it is not known, so that no rest is told.
        """
        self.total, self.start = total, time.time()
        self.spoken = self.start  # when progress was last told

    def write(self, item: Input, result: Any, stem: str) -> None:
        """Write label map, overlay and confidence of one image, and note its class shares.

        Args:
            item: The image.
            result: Class ids (H, W), or with confidence a ``Prediction``.
            stem: Path of the files without ending, below each folder.
        """
        if not self.rows:  # the mark of a prediction's folder comes first: see _refuse_foreign
            self.out.mkdir(parents=True, exist_ok=True)
            self._write_shares()
        ids = result.ids if self.confidence else result
        _save_png(self.out / LABELS / f'{stem}.png',
                  ids.astype(np.uint8 if len(self.names) <= 256 else np.uint16))
        if self.confidence:
            _save_png(self.out / CONFIDENCE / f'{stem}.png',
                      np.rint(result.confidence * 255).astype(np.uint8))
        if self.overlay:
            picture = painted(picture_of(item, self.loader), ids, self.names, self.palette,
                              result.confidence if self.confidence else None)
            save_picture(picture, str(self.out / OVERLAYS / f'{stem}.jpg'))
        shares = np.bincount(ids.ravel(), minlength=len(self.names)) / ids.size
        self.rows.append(
            [item.name if item.is_file else stem, *(round(float(s), 6) for s in shares)])
        self.written.files.append(stem)
        self.written.images += 1
        self._speak()

    def unreadable(self, items: Sequence[Input]) -> dict[str, str]:
        """Those of some files that cannot be loaded: {path: reason}."""
        reasons = {}
        for item in items:
            try:
                self.loader(dict(img_path=item.value))
            except (ValueError, OSError) as error:
                reasons[item.name] = str(error)
        return reasons

    def _speak(self) -> None:
        """Log how far it is and how long the rest will take, at most every ``_SPEAK`` seconds."""
        now, done = time.time(), self.written.images
        if now - self.spoken <= _SPEAK:
            return
        self.spoken = now
        text = f'{done} frames done'  # of a video that does not say how many it has
        if self.total:
            rest = max(self.total - done, 0) * (now - self.start) / done
            text = f'{done} of {self.total} images, {duration(rest)} left'
        print_log(text, logger='current')

    def write_tables(self) -> None:
        """Write the tables of the images so far; none where there is none."""
        if not self.rows:
            return
        self._write_shares()
        if self.table is not None:
            self.written.label_free = self.table.write(self.out / 'label_free.csv')

    def _write_shares(self) -> None:
        """Write ``class_shares.csv``, a row per image so far."""
        with written_whole(self.written.shares) as part, open(part, 'w', newline='',
                                                              encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(['image', *self.names])
            writer.writerows(self.rows)


def _save_png(path: Path, values: np.ndarray) -> None:
    """Write uint8 or uint16 (H, W) as a gray PNG, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part, open(part, 'wb') as file:
        Image.fromarray(values).save(file, format='PNG')
