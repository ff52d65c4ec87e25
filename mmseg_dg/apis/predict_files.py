"""Predictions of files, folders, lists and videos, written to a folder with overlays and class
shares.

Shapes: H x W pixels.
"""
import csv
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import cv2
import numpy as np
from mmengine.logging import print_log
from mmseg.models.segmentors import BaseSegmentor
from PIL import Image
from torch import nn

from mmseg_dg.utils.atomic_files import written_whole
from mmseg_dg.visualization.tiles import colorize, heat, save_picture

from .inference import iter_predict
from .inputs import Input, list_inputs
from .label_free import LabelFreeTable

#: What OpenCV is asked to read as a video, and what is read as a list of paths.
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v')
LIST_SUFFIXES = ('.txt', '.lst')
_SPEAK = 10.0  # seconds between lines of progress
_LEGEND_ROW = 22  # pixels of a row of the legend; a square and a name fit in
_SQUARE = 12  # side in pixels of the legend's colored squares
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42  # of the legend's names


@dataclass
class Written:
    """What :func:`predict_files` wrote.

    Attributes:
        folder: Where.
        images: Number of images or frames.
        files: Their paths below ``folder``, without ending.
        shares: CSV file of class shares.
        label_free: CSV file of label-free scores; None where they were not asked for.
    """
    folder: Path
    shares: Path
    label_free: Optional[Path] = None
    images: int = 0
    files: list[str] = field(default_factory=list)


def predict_files(model: nn.Module, source: Union[str, Path], out: Union[str, Path],
                  overlay: bool = False, confidence: bool = False, batch_size: int = 1,
                  label_free: bool = False) -> Written:
    """Predict and write, one image after the other.

    In ``out``: ``labels/NAME.png`` (class ids; 8 bit, 16 where there are more than 256 classes),
    with ``overlay`` ``overlays/NAME.jpg`` (the image under the colors of the classes, with a legend
    of those that occur), with ``confidence`` ``confidence/NAME.png`` (probability of the predicted
    class, 0..255), and ``class_shares.csv``; with ``label_free`` ``label_free.csv``, scores that
    need no labels, of each image and of all. NAME is the path of the image below the given folder,
    so that equal file names do not meet; frames of a video are ``VIDEO/000000`` and so on.

    Args:
        model: Of :func:`mmseg_dg.apis.inference.load_model`.
        source: An image, a folder, a pattern (``'photos/**/*.jpg'``), a text file with one path per
            line (relative ones count from the file's folder), or a video.
        out: Folder; made where it is missing, files of equal names in it are replaced.
        overlay, confidence, label_free: See above.
        batch_size: Images of one size that go through the network together.

    Raises:
        FileNotFoundError: No such file, or a listed one is missing.
        ValueError: A file that is no image or video, an empty list, or a model without class names.
    """
    names = (getattr(model, 'dataset_meta', None) or {}).get('classes')
    if not names:
        raise ValueError('the model does not say what its classes are called: give its config '
                         'test_dataloader.<domain>.dataset.metainfo=dict(classes=..., palette=...)')
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    source = str(source)
    writer = _Writer(model, out, overlay, confidence)
    if label_free:
        writer.table = LabelFreeTable(model)
    if source.lower().endswith(VIDEO_SUFFIXES) and Path(source).is_file():
        _predict_video(model, source, writer, batch_size)
    else:
        items = listed(source) if source.lower().endswith(LIST_SUFFIXES) else list_inputs(source)[0]
        writer.begin(len(items), output_stems(items))
        for item, result in iter_predict(model, items, batch_size, confidence, writer.table):
            writer.write(item, result)
    return writer.finish()


def listed(path: Union[str, Path]) -> list[Input]:
    """The images a text file names, one per line; blank lines and lines that begin with # are
    passed over.

    Raises:
        FileNotFoundError: No such list, or images that are not there (the first few are named).
        ValueError: It names no image.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no list at {path}')
    lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    lines = [line for line in lines if line and not line.startswith('#')]
    if not lines:
        raise ValueError(f'{path} names no image: write one path per line')
    files = [line if os.path.isabs(line) else str(path.parent / line) for line in lines]
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        raise FileNotFoundError(f'{path}: {len(missing)} of {len(files)} images are missing, e.g. '
                                f'{missing[:3]}; relative paths count from {path.parent}')
    # results are written below the output folder as the images lie below their common folder
    root = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
    return [
        Input(name=file, value=file, below=os.path.relpath(os.path.abspath(file), root))
        for file in files
    ]


def output_stems(items: Sequence[Input]) -> list[str]:
    """A name for each image's files: its path below the folder without ending; with it where two
    would be equal.
    """
    stems = [os.path.splitext(item.below or item.name)[0] for item in items]
    if len(set(stems)) == len(stems):  # spares the count of each among many images
        return stems
    return [item.below if stems.count(stem) > 1 else stem for item, stem in zip(items, stems)]


class _Writer:
    """Writes results, counts classes, says how far it is.

    :meth:`begin` is called once, :meth:`write` for each image, :meth:`finish` at the end.

    Args:
        model: Its ``dataset_meta`` has the names of its classes, and perhaps their colors.
        out, overlay, confidence: As :func:`predict_files`.
    """
    def __init__(self, model: BaseSegmentor, out: Path, overlay: bool, confidence: bool) -> None:
        meta = model.dataset_meta
        self.names = list(meta['classes'])
        self.palette = [list(color) for color in meta.get('palette') or _colors(len(self.names))]
        self.out, self.overlay, self.confidence = out, overlay, confidence
        self.written = Written(out, out / 'class_shares.csv')
        self.rows: list[list] = []  # of class_shares.csv
        self.stems: Iterator[str] = iter(())  # file names of the images to come
        self.total: Optional[int] = None  # images; None where a video does not say
        # label-free scores, which predict_files sets where they are asked for
        self.table: Optional[LabelFreeTable] = None

    def begin(self, total: Optional[int], stems: Sequence[str]) -> None:
        """Start the clock of the progress.

        Args:
            total: Number of images; None where it is not known, so that no rest is told.
            stems: Of the files to write, in the order of the images; () where :meth:`write` is
                given each.
        """
        self.total, self.stems, self.start = total, iter(stems), time.time()
        self.spoken = self.start  # when progress was last told

    def write(self, item: Input, result: Any, stem: Optional[str] = None) -> None:
        """Write label map, overlay and confidence of one image, and note its class shares.

        Args:
            item: The image.
            result: Class ids (H, W), or with confidence a ``Prediction``.
            stem: Path of the files without ending, below each folder; None: the next of those
                given to :meth:`begin`.
        """
        stem = next(self.stems) if stem is None else stem
        ids = result.ids if self.confidence else result
        _save_png(self.out / 'labels' / f'{stem}.png',
                  ids.astype(np.uint8 if len(self.names) <= 256 else np.uint16))
        if self.confidence:
            _save_png(self.out / 'confidence' / f'{stem}.png',
                      np.rint(result.confidence * 255).astype(np.uint8))
        if self.overlay:
            picture = painted(_rgb(item), ids, self.names, self.palette,
                              result.confidence if self.confidence else None)
            save_picture(picture, str(self.out / 'overlays' / f'{stem}.jpg'))
        shares = np.bincount(ids.ravel(), minlength=len(self.names)) / ids.size
        self.rows.append(
            [item.name if item.is_file else stem, *(round(float(s), 6) for s in shares)])
        self.written.files.append(stem)
        self.written.images += 1
        self._speak()

    def _speak(self) -> None:
        """Log how long the rest will take, at most every ``_SPEAK`` seconds."""
        now, done = time.time(), self.written.images
        if now - self.spoken > _SPEAK and self.total:
            self.spoken = now
            rest = (now - self.start) / done * (self.total - done)
            print_log(f'{done} of {self.total} images, {_duration(rest)} left', logger='current')

    def finish(self) -> Written:
        """Write the tables of all images; returns what was written."""
        with written_whole(self.written.shares) as part, open(part, 'w', newline='',
                                                              encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(['image', *self.names])
            writer.writerows(self.rows)
        if self.table is not None:
            self.written.label_free = self.table.write(self.out / 'label_free.csv')
        return self.written


def painted(image: np.ndarray, ids: np.ndarray, names: Sequence[str],
            palette: Sequence[Sequence[int]], confidence: Optional[np.ndarray] = None,
            opacity: float = 0.55) -> np.ndarray:
    """The image under the colors of its classes, with a legend of those that occur; beside it the
    confidence.

    Args:
        image: uint8 (H, W, 3) RGB.
        ids: (H, W) class ids.
        names: Class names.
        palette: RGB per class.
        confidence: (H, W) in 0..1; None leaves it out.
        opacity: Of the colors, 0..1.

    Returns:
        uint8 (H', W', 3) RGB: the legend below, so that H' > H; with confidence W' = 2 W.
    """
    if image.shape[:2] != ids.shape:
        image = cv2.resize(image, ids.shape[::-1], interpolation=cv2.INTER_AREA)
    mixed = np.rint(image * (1 - opacity) + colorize(ids, palette) * opacity).astype(np.uint8)
    if confidence is not None:
        mixed = np.concatenate([mixed, heat(confidence)], axis=1)
    present = [i for i in np.unique(ids) if i < len(names)]
    return np.concatenate([mixed, _legend(present, names, palette, mixed.shape[1])], axis=0)


def _legend(present: Sequence[int], names: Sequence[str], palette: Sequence[Sequence[int]],
            width: int) -> np.ndarray:
    """Rows of colored squares with names on white, uint8 (h, width, 3), for the classes
    ``present``.
    """
    # (class, x, row) of each; a new row where the next name would not fit
    margin = 6
    places, x, row = [], margin, 0
    for i in present:
        (text_width, _), _ = cv2.getTextSize(str(names[i]), _FONT, _FONT_SCALE, 1)
        needed = text_width + 30  # with the square, and space to the next class
        if x + needed > width and x > margin:
            x, row = margin, row + 1
        places.append((i, x, row))
        x += needed
    strip = np.full(((row + 1) * _LEGEND_ROW, width, 3), 255, np.uint8)
    for i, x, row in places:
        top = row * _LEGEND_ROW + 5
        corners = (x, top), (x + _SQUARE, top + _SQUARE)
        cv2.rectangle(strip, *corners, tuple(int(c) for c in palette[i]), -1)  # -1: filled
        cv2.rectangle(strip, *corners, (90, 90, 90), 1)  # a gray border
        # the point is the left end of the text's base line
        cv2.putText(strip, str(names[i]), (x + 17, top + 11), _FONT, _FONT_SCALE, (30, 30, 30), 1,
                    cv2.LINE_AA)
    return strip


def _predict_video(model: nn.Module, path: str, writer: _Writer, batch_size: int) -> None:
    """Predict every frame, a batch at a time: a video is never in memory as a whole."""
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise ValueError(f'{path}: OpenCV cannot open this video; convert it to .mp4 (H.264) or to '
                         'a folder of frames')
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))  # 0 or less: the file does not say
    writer.begin(count if count > 0 else None, ())
    stem, done = Path(path).stem, 0
    try:
        for frames in _groups(video, batch_size):
            items = [Input(f'{path}, frame {done + k}', frame) for k, frame in enumerate(frames)]
            for item, result in iter_predict(model, items, batch_size, writer.confidence,
                                             writer.table):
                writer.write(item, result, f'{stem}/{done:06d}')
                done += 1
    finally:
        video.release()
    if not done:
        raise ValueError(f'{path}: no frame of this video can be read; convert it to .mp4 (H.264)')


def _groups(video: Any, size: int) -> Iterator[list[np.ndarray]]:
    """Frames of a video, uint8 (H, W, 3) in BGR order, in lists of ``size``; the last list may be
    shorter.

    Args:
        video: An open ``cv2.VideoCapture``.
        size: Frames of a list.
    """
    frames: list[np.ndarray] = []
    while True:
        ok, frame = video.read()  # not ok: the video has ended, or cannot be read on
        if ok:
            frames.append(frame)
        if frames and (not ok or len(frames) == size):
            yield frames
            frames = []
        if not ok:
            return


def _rgb(item: Input) -> np.ndarray:
    """The image of a file or the frame of a video, uint8 (H, W, 3) in RGB order."""
    if not item.is_file:  # a frame, in OpenCV's BGR order
        return np.ascontiguousarray(item.value[..., ::-1])
    with Image.open(item.value) as image:
        return np.asarray(image.convert('RGB'))


def _save_png(path: Path, values: np.ndarray) -> None:
    """Write uint8 or uint16 (H, W) as a gray PNG, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part, open(part, 'wb') as file:
        Image.fromarray(values).save(file, format='PNG')


def _colors(count: int) -> list[list[int]]:
    """Distinct colors where the dataset has none, [red, green, blue] each: hues that differ by the
    golden angle of 137.508 degrees, so that any number of them is well spread.
    """
    # one row of pixels (hue, saturation, value); OpenCV counts hues in 2 degrees, 0..179
    hsv = np.array([[[int(i * 137.508 / 2) % 180, 190, 230] for i in range(count)]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0].tolist()


def _duration(seconds: float) -> str:
    """Seconds as ``1 h 5 min``, ``5 min 2 s`` or ``2 s``."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes} min'
    return f'{minutes} min {seconds} s' if minutes else f'{seconds} s'
