"""Files that cannot be read during training: named at once and, where a run wants it, replaced by
other samples.
"""
import csv
import io
import logging
import os
import os.path as osp
import time
from typing import Any, Optional

import cv2
import mmengine.fileio as fileio
import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mmseg_dg.utils.seeding import derive_seed

from .samplers.request import SampleRequest

#: What may follow a file that cannot be read.
ACTIONS = ('stop', 'skip')
#: Seconds before a file is read again: network file systems have hiccups.
PAUSES = (0.2, 1.0)
#: Replacements that are tried for one sample; if all are bad, so is the data.
REPLACEMENTS = 10
#: Name of the list in the work dir, one line per replaced sample, and its columns (without a header
#: line): stream, path, what is wrong, path of the other image, seed of the request.
LIST = 'bad_samples.csv'
COLUMNS = ('stream', 'file', 'reason', 'replaced_by', 'seed')
#: Formats whose last bytes tell whether they are whole.
#: {file ending: (mark at the end of a whole file, among how many last bytes it must be)}
_ENDS = {'.png': (b'IEND', 16), '.jpg': (b'\xff\xd9', 2), '.jpeg': (b'\xff\xd9', 2)}
#: Formats that Pillow reads in all their kinds: what it cannot read is damaged.
_PILLOW_DECIDES = ('PNG', 'JPEG')


class BadSampleError(ValueError):
    """An image or label file is missing, empty, cut off or damaged.

    Attributes:
        file: Which.
        reason: Why, in a few words.
    """
    def __init__(self, message: str, file: str = '', reason: str = '') -> None:
        super().__init__(message)
        self.file, self.reason = file, reason

    @classmethod
    def for_file(cls, file: str, reason: str, hint: str = '') -> 'BadSampleError':
        """The error for a file, with ``hint`` (what to do) in its message, or the usual advice."""
        return cls(
            f'{file}: {reason}. {hint or "Repair it, or leave it out with a list (ann_file)"}; '
            "train_cfg.on_bad_sample='skip' trains without it", file, reason)


def check_whole(info: dict, with_label: bool, backend_args: Optional[dict] = None,
                hint: str = '') -> None:
    """Refuse a sample whose files are missing, empty or end too early; costs one look at the end of
    each local file.

    OpenCV fills what is missing of a cut-off picture with gray and says nothing.

    Args:
        info: ``img_path`` and ``seg_map_path`` of the sample; an absent one is passed over.
        with_label: Whether the label is looked at too.
        backend_args: mmengine's file backend; files of one are passed over.
        hint: What to do, for the message; '' for the usual advice.

    Raises:
        BadSampleError: It names the file.
    """
    for path in _paths(info, with_label):
        if backend_args or '://' in path:
            continue  # an object store: reading it says what is wrong
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            raise BadSampleError.for_file(path, 'the file is gone', hint) from None
        except OSError as error:
            raise BadSampleError.for_file(path, f'the file cannot be read ({error.strerror})',
                                          hint) from error
        if size == 0:
            raise BadSampleError.for_file(path, 'the file is empty', hint)
        if not _has_end(path, size):
            damage = _damage(path, None)  # decoding decides: some whole files end differently
            if damage:
                raise BadSampleError.for_file(path, damage, hint)


def blame(info: dict, with_label: bool, error: Exception, backend_args: Optional[dict] = None,
          hint: str = '') -> None:
    """After the pipeline failed with ``error``: raise BadSampleError if a file of the sample cannot
    be decoded; else do nothing. Arguments as of :func:`check_whole`.
    """
    for path in _paths(info, with_label):
        damage = _damage(path, backend_args)
        if damage:
            raise BadSampleError.for_file(path, damage, hint) from error


def _paths(info: dict, with_label: bool) -> list[str]:
    """Paths of a sample's files that ``info`` names: image, and label if wanted."""
    keys = ('img_path', 'seg_map_path') if with_label else ('img_path', )
    return [str(info[key]) for key in keys if info.get(key)]


def _has_end(path: str, size: int) -> bool:
    """Whether the last bytes of a file of ``size`` bytes are those of the format that its name
    ends with; True for formats without an end mark.
    """
    mark, count = _ENDS.get(osp.splitext(path)[1].lower(), (b'', 0))
    if not count:
        return True
    with open(path, 'rb') as file:
        # more than the mark is read: some writers fill up with zeros behind it
        file.seek(max(0, size - 64))
        return mark in file.read().rstrip(b'\0')[-count:]


def _damage(path: str, backend_args: Optional[dict]) -> str:
    """What is wrong with a picture file, by decoding it; '' if nothing is, or if its name does not
    end like a picture's.
    """
    try:
        content = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError:
        return 'the file is gone'
    except Exception as error:  # noqa: BLE001  backends fail in their own ways
        return f'the file cannot be read ({type(error).__name__}: {error})'
    if not content:
        return 'the file is empty'
    if osp.splitext(path)[1].lower() not in Image.registered_extensions():
        return ''
    try:
        image = Image.open(io.BytesIO(content))
        kind = image.format
        image.load()
        return ''
    except Exception as error:  # noqa: BLE001  damaged bytes raise whatever they lead to
        # Image.open did not raise (``image`` is set), so the header is whole; and of this format
        # Pillow reads every kind, so the rest is damaged
        if 'image' in locals() and kind in _PILLOW_DECIDES:
            return f'the file is cut off or damaged ({error})'
        try:  # Pillow does not know every kind of TIFF: OpenCV may
            if cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) is not None:
                return ''
        except cv2.error:
            pass
        return f'the file is no readable image ({type(error).__name__})'


class BadSamples:
    """What a training dataset does about files that cannot be read.

    Args:
        action: ``'stop'`` raises; ``'skip'`` takes another sample, chosen by the request alone, so
            that a resumed run takes the same.
        stream: For the list and the log.
        folder: Where the list is written; None: nowhere.

    Raises:
        ValueError: Unknown action.
    """
    def __init__(self, action: str = 'stop', stream: str = '',
                 folder: Optional[str] = None) -> None:
        if action not in ACTIONS:
            raise ValueError(
                f"on_bad_sample={action!r}: use 'stop' (an error that names the file) or 'skip' "
                '(another sample is taken, the file is listed in the work dir)')
        self.action, self.stream, self.folder = action, stream, folder

    def load(self, load: Any, request: SampleRequest, size: int) -> Any:
        """The sample of a request; of a file that cannot be read the sample of another request,
        where the run wants that (``action='skip'``).

        Args:
            load: Function that loads the sample of a request, or raises BadSampleError.
            request: The one wanted.
            size: Number of samples of the dataset.

        Raises:
            BadSampleError: The file cannot be read (``'stop'``), nor any of the replacements.
        """
        error: Optional[BadSampleError] = None
        for attempt in range(1 + (REPLACEMENTS if self.action == 'skip' else 0)):
            chosen = replacement(request, attempt, size)
            try:
                sample = load_patiently(load, chosen)
            except BadSampleError as found:
                error = error or found  # the first one: that of the file which was wanted
                continue
            if error is not None:  # the sample is a replacement
                self._note(error, sample, request)
            return sample
        if self.action == 'skip':
            raise BadSampleError(f'{REPLACEMENTS} samples in place of a bad one are bad too: '
                                 f'{error}') from error
        assert error is not None  # otherwise the attempt has returned a sample
        raise error

    def _note(self, error: BadSampleError, sample: Any, request: SampleRequest) -> None:
        """Log a sample that is left out, and append it to the list of the run.

        Args:
            error: Names the file and what is wrong with it.
            sample: The packed sample that takes its place.
            request: The request that could not be met.
        """
        # the image that takes its place, if the sample says which it is
        data = sample.get('data_samples') if isinstance(sample, dict) else None
        other = '' if data is None else str(data.metainfo.get('img_path', ''))
        where = '' if self.folder is None else f'; see {osp.join(self.folder, LIST)}'
        print_log(
            f'stream "{self.stream}": {error.file} is left out ({error.reason}), {other} '
            f'takes its place{where}', logger='current', level=logging.WARNING)
        if self.folder is None:
            return
        line = io.StringIO()
        csv.writer(line).writerow([self.stream, error.file, error.reason, other, request.seed])
        os.makedirs(self.folder, exist_ok=True)
        # one write of one line in append mode: worker processes do not tear each other's lines
        with open(osp.join(self.folder, LIST), 'ab', buffering=0) as file:
            file.write(line.getvalue().encode())


def load_patiently(load: Any, request: SampleRequest) -> Any:
    """``load(request)``, tried again after each of ``PAUSES`` where it raises BadSampleError; the
    last error comes through.
    """
    for pause in PAUSES:
        try:
            return load(request)
        except BadSampleError:
            time.sleep(pause)
    return load(request)


def replacement(request: SampleRequest, attempt: int, size: int) -> SampleRequest:
    """The request itself (attempt 0), or the one that takes its place among ``size`` samples: a
    function of request and attempt, nothing else, so that a resumed run draws it again. It wants
    no class or point.
    """
    if attempt == 0:
        return request
    return SampleRequest(
        derive_seed(request.seed, 'replacement', attempt) % size,
        derive_seed(request.seed, 'replacement seed', attempt))


def summary(folder: str) -> str:
    """One sentence about the list in a work dir (``folder``); '' where nothing was left out.

    An iteration that a resumed run repeats is counted once: it has the same seed.
    """
    path = osp.join(folder, LIST)
    if not osp.isfile(path):
        return ''
    with open(path, newline='', encoding='utf-8') as file:
        # stream, file and seed of each replacement; torn lines are passed over
        rows = {(row[0], row[1], row[-1]) for row in csv.reader(file) if len(row) == len(COLUMNS)}
    files = {row[:2] for row in rows}  # (stream, file)
    return (f'{len(rows)} samples of {len(files)} files that cannot be read were replaced by '
            f'others, listed in {path}')
