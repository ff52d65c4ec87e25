"""Predictions of files, folders, lists and videos, written to a folder with overlays and class
shares.

Shapes: H x W pixels.
"""
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Union

import cv2
import numpy as np
from mmengine.logging import print_log
from torch import nn

from mmseg_dg.datasets.image_lists import read_lines

from .inference import iter_predict
from .inputs import Input, list_inputs
from .label_free import LabelFreeTable
from .result_files import CONFIDENCE, LABELS, OVERLAYS, SHARES, ResultWriter, Written

#: What OpenCV is asked to read as a video, and what is read as a list of paths.
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v')
LIST_SUFFIXES = ('.txt', '.lst')


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

    A file that cannot be read is skipped with a warning. Results of earlier predictions, where
    ``out`` lies in the given folder, are not predicted. Where the prediction ends early, the tables
    have the images so far.

    Args:
        model: Of :func:`mmseg_dg.apis.inference.load_model`.
        source: An image, a folder, a pattern (``'photos/**/*.jpg'``), a text file with one path per
            line (relative ones count from the file's folder), or a video.
        out: Folder; made where it is missing. Results of an earlier prediction, which is known by
            its ``class_shares.csv``, are replaced where they have equal names.
        overlay, confidence, label_free: See above.
        batch_size: Images of one size that go through the network together.

    Raises:
        FileExistsError: ``out/labels`` (or another of its folders) has files of someone else, which
            may be ground truth.
        FileNotFoundError: No such file, or a listed one is missing.
        ValueError: No file can be read as an image or video, an empty list, an image that the
            network cannot take, or a model without class names.
    """
    names = (getattr(model, 'dataset_meta', None) or {}).get('classes')
    if not names:
        raise ValueError('the model does not say what its classes are called: give its config '
                         'test_dataloader.<domain>.dataset.metainfo=dict(classes=..., palette=...)')
    out, source = Path(out), str(source)
    is_video = source.lower().endswith(VIDEO_SUFFIXES) and os.path.isfile(source)
    items = [] if is_video else _images_of(source, out)
    folders = {LABELS: True, OVERLAYS: overlay, CONFIDENCE: confidence}
    _refuse_foreign(out, [name for name, asked in folders.items() if asked])
    writer = ResultWriter(model, out, overlay, confidence)
    if label_free:
        writer.table = LabelFreeTable(model)
    try:
        if is_video:
            _predict_video(model, source, writer, batch_size)
        else:
            _predict_images(model, items, writer, batch_size)
    finally:
        writer.write_tables()
    return writer.written


def _images_of(source: str, out: Path) -> list[Input]:
    """The images that ``source`` means, without results that lie in ``out``; arguments and errors
    as :func:`predict_files`.
    """
    if source.lower().endswith(LIST_SUFFIXES):
        return listed(source)
    items = list_inputs(source)[0]
    if os.path.isfile(source):
        return items
    places = tuple(os.path.realpath(out / name) + os.sep for name in (LABELS, OVERLAYS, CONFIDENCE))
    kept = [item for item in items if not os.path.realpath(item.value).startswith(places)]
    if len(kept) < len(items):
        print_log(f'{len(items) - len(kept)} images in {out} are results and not predicted',
                  logger='current')
    if not kept:
        raise FileNotFoundError(f'no images in {source} but the results in {out}')
    return kept


def _refuse_foreign(out: Path, names: Sequence[str]) -> None:
    """Refuse (FileExistsError) folders ``names`` in ``out`` with files that no prediction wrote:
    masks of a dataset often lie in a folder ``labels``.
    """
    if (out / SHARES).is_file():  # written before the first result
        return
    for name in names:
        # results are PNG, whatever the images are
        if any(path.is_file() for path in (out / name).rglob('[!.]*.png')):
            raise FileExistsError(
                f'{out / name} has files that are no results of a prediction (there is no '
                f'{out / SHARES}) and could be overwritten: give another folder for the results, '
                'or delete this one if it is what an earlier prediction left')


def listed(path: Union[str, Path]) -> list[Input]:
    """The images a text file names, one per line; blank lines and lines that begin with # are
    passed over, an image that is named again as well. Lists of Windows are read: UTF-16, and paths
    with backslashes.

    Raises:
        FileNotFoundError: No such list, or images that are not there (the first few are named).
        ValueError: It names no image, or is no text in UTF-8 or UTF-16.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no list at {path}')
    lines = [
        line for line in read_lines(str(path), 'images to predict')
        if line and not line.startswith('#')
    ]
    if not lines:
        raise ValueError(f'{path} names no image: write one path per line')
    files = [_file_of(path.parent, line) for line in lines]
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        raise FileNotFoundError(f'{path}: {len(missing)} of {len(files)} images are missing, e.g. '
                                f'{missing[:3]}; relative paths count from {path.parent}')
    named: dict[str, str] = {}  # absolute path -> as it is written
    for file in files:
        named.setdefault(os.path.abspath(file), file)
    if len(named) < len(files):
        print_log(
            f'{path}: repeated lines: {len(files) - len(named)}; each image is predicted once',
            logger='current')
    # results are written below the output folder as the images lie below their common folder
    root = os.path.commonpath([os.path.dirname(place) for place in named])
    return [
        Input(name=file, value=file, below=os.path.relpath(place, root))
        for place, file in named.items()
    ]


def _file_of(folder: Path, line: str) -> str:
    """The path that a line of a list names, relative to the list's folder; backslashes separate
    folders where there is no file with them in its name.
    """
    path = os.path.join(folder, line)
    other = os.path.join(folder, line.replace('\\', '/'))
    return other if os.path.isfile(other) and not os.path.isfile(path) else path


def output_stems(items: Sequence[Input]) -> list[str]:
    """A name for each image's files: its path below the folder without ending; with it where two
    would be equal.
    """
    full = [item.below or item.name for item in items]
    stems = [os.path.splitext(name)[0] for name in full]
    while True:
        counts = Counter(stems)
        # a full name may be the stem of another one (x.png, and x.png.jpg): once more
        unique = [name if counts[stem] > 1 else stem for name, stem in zip(full, stems)]
        if unique == stems:
            return stems
        stems = unique


def _predict_images(model: nn.Module, items: Sequence[Input], writer: ResultWriter,
                    batch_size: int) -> None:
    """Predict files, a batch at a time; those that cannot be read are skipped, and all of them is
    an error (ValueError).
    """
    writer.begin(len(items))
    named = list(zip(items, output_stems(items)))
    skipped = writer.written.skipped
    for start in range(0, len(named), max(batch_size, 1)):  # iter_predict refuses a size below 1
        group = named[start:start + max(batch_size, 1)]
        images = [item for item, _ in group]
        try:
            results = list(iter_predict(model, images, batch_size, writer.confidence, writer.table))
        except (ValueError, OSError):
            # a batch is loaded before the network sees any of it: nothing of it is counted yet
            reasons = writer.unreadable(images)
            if not reasons:
                raise
            for name, reason in reasons.items():
                skipped.append(reason if name in reason else f'{name}: {reason}')
                print_log(f'skipped: {skipped[-1]}', logger='current', level=logging.WARNING)
            group = [(item, stem) for item, stem in group if item.name not in reasons]
            images = [item for item, _ in group]
            results = list(iter_predict(model, images, batch_size, writer.confidence, writer.table))
        for (_, stem), (item, result) in zip(group, results):
            writer.write(item, result, stem)
    if len(skipped) == len(items):
        raise ValueError(f'none of {len(items)} images can be read: {skipped[0]}' if len(items) >
                         1 else skipped[0])


def _predict_video(model: nn.Module, path: str, writer: ResultWriter, batch_size: int) -> None:
    """Predict every frame, a batch at a time: a video is never in memory as a whole."""
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise ValueError(f'{path}: OpenCV cannot open this video; convert it to .mp4 (H.264) or to '
                         'a folder of frames')
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))  # 0 or less: the file does not say
    writer.begin(count if count > 0 else None)
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
    if done < count:
        print_log(
            f'{path}: {done} of {count} frames could be read. The file may be cut off; or its '
            'head, which is often an estimate, counts too many', logger='current',
            level=logging.WARNING)


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
