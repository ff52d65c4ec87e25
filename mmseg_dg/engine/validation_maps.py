"""Maps of a frozen encoder for the images a run is judged on: computed at the first evaluation,
read at every later one (``train_cfg.cached_features.validation``).

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from mmseg_dg.datasets.stored_views import FeatureCacheError
from mmseg_dg.utils.atomic_files import remove_dead_parts, written_whole

from .view_encoder import free_bytes

#: Bytes that stay free on the disk: a run's checkpoints need room, maps can be computed again.
RESERVE = 1 << 30
#: Types of maps that a file holds exactly; numpy has no bfloat16.
_KEPT_TYPES = (torch.float16, torch.float32, torch.float64)


class ValidationMaps:
    """Stands before a frozen encoder and answers inputs that it has seen before.

    Unlike the training views, which are kept in half precision, maps are kept as the encoder gave
    them, so that scores are those of the encoder, bit for bit. An input is known by the SHA-256 of
    its values: mirrored images, windows of sliding inference and images whose file or pipeline
    changed are other inputs. Type and device of the input and autocast belong to the key too, since
    each of them may change the last bits.

    Args:
        folder: Of the files, one per input; it belongs to one encoder (its settings and weights),
            which the caller sees to. Made when the first maps are kept.

    Attributes:
        full: The disk had less than ``RESERVE`` bytes left, or cannot be written (read-only, quota,
            permissions): what is not kept yet is computed each time.
    """
    def __init__(self, folder: Path) -> None:
        self.folder, self.full = Path(folder), False
        with suppress(OSError):  # somebody else's cache, which is read and not tidied
            remove_dead_parts([self.folder])

    def __call__(self, encode: Callable[[Tensor], Sequence[Tensor]],
                 images: Tensor) -> Sequence[Tensor]:
        """What ``encode(images)`` gives, from the disk where it was asked before.

        Args:
            encode: The frozen encoder.
            images: Normalized, floating point (B, channels, H, W).

        Returns:
            Level i is (B, C_i, h_i, w_i), on the device of ``images``.

        Raises:
            FeatureCacheError: A file that cannot be read; the message names it.
        """
        path = self.folder / f'{input_key(images)}.npz'
        if os.path.isfile(path):  # False where the folder cannot be entered
            return tuple(x.to(images.device) for x in _read(path))
        maps = encode(images)
        if not self.full and all(x.dtype in _KEPT_TYPES for x in maps):
            try:
                self._keep(path, maps)
            except OSError as error:  # a run that only reads a shared cache goes on
                self._stop(f'{self.folder} cannot be written ({error.strerror or error})')
        return maps

    def _stop(self, why: str) -> None:
        """Keep nothing from now on, and say so once."""
        self.full = True
        print_log(
            f'validation: {why}; the encoder\'s maps of further images are not kept but computed '
            'in every evaluation', logger='current', level=logging.WARNING)

    def _keep(self, path: Path, maps: Sequence[Tensor]) -> None:
        """Write the maps of one input, unless the disk is nearly full."""
        size = sum(x.numel() * x.element_size() for x in maps)
        first = not self.folder.is_dir()  # the log tells once per folder
        free = free_bytes(self.folder)
        if free < size + RESERVE:
            self._stop(f'{self.folder} has {free / 1e6:.0f} MB free')
            return
        if first:
            self.folder.mkdir(parents=True, exist_ok=True)
            print_log(
                f'validation: keeping the encoder\'s maps, {size / 1e6:.3f} MB for each input of '
                f'{len(maps[0])} images, in {self.folder} ({free / 1e6:.0f} MB free)',
                logger='current')
        # not flushed to the disk: what a crash loses is computed again
        with written_whole(path, durable=False) as part, part.open('wb') as file:
            np.savez(file, *(x.detach().cpu().numpy() for x in maps))


def input_key(images: Tensor) -> str:
    """40 hexadecimal digits that stand for an encoder's input (B, channels, H, W): values, shape,
    type, kind of device and the type autocast computes in."""
    device = images.device.type
    autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    digest = hashlib.sha256(f'{tuple(images.shape)} {images.dtype} {device} {autocast}'.encode())
    # the bytes of the tensor: (B, channels, H, W) -> uint8 (bytes,); numpy has no bfloat16
    values = images.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    digest.update(values.tobytes())
    return digest.hexdigest()[:40]


def _read(path: Path) -> list[Tensor]:
    """The maps of a file, level by level.

    Raises:
        FeatureCacheError: It is damaged (zip files have a checksum per entry) or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return [torch.from_numpy(file[f'arr_{level}']) for level in range(len(file.files))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FeatureCacheError(
            f'the maps of a validation image in {path} are damaged ({error}). Delete the file; '
            'they are computed again') from error
