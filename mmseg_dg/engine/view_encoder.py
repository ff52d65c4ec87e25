"""Computes the maps that :mod:`mmseg_dg.engine.cached_features` keeps.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""

import errno
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from torch import Tensor

from mmseg_dg.datasets.samplers.request import SampleRequest
from mmseg_dg.datasets.stored_views import SHOWN
from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.view_writer import ViewWriter
from mmseg_dg.datasets.wrappers import locate
from mmseg_dg.methods.base import stack_labels
from mmseg_dg.methods.encoded_views import make_variant, variant_names
from mmseg_dg.utils.seeding import derive_seed

if TYPE_CHECKING:
    from .cached_features import CachedFeatures, Stream

_QUIET = 10.0  # seconds between lines of progress


class Plan(NamedTuple):
    """What a stream's features take.

    Attributes:
        arrays: ``{name: (dtype, shape)}``, the first axis being all views.
        size: (H, W) of the views.
        images: Of the stream.
        views: Per image.
    """

    arrays: dict[str, tuple[str, tuple[int, ...]]]
    size: tuple[int, int]
    images: int
    views: int

    @property
    def bytes(self) -> int:
        """On disk, headers left out."""
        return sum(
            int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in self.arrays.values())

    def text(self, folder: Path) -> str:
        """One line for people: per image, in all, and what is free."""
        return (
            f'{self.images} images x {self.views} views, {self.bytes / self.images / 1e6:.3f} MB '
            f'per image, {self.bytes / 1e6:.1f} MB in all, in {folder} '
            f'({free_bytes(folder) / 1e6:.0f} MB free)')


def free_bytes(folder: Path) -> int:
    """Free space where a folder is or would be."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _written(folder: Path) -> int:
    """Bytes of the arrays below a folder; another run may move or delete them meanwhile."""
    found = 0
    with suppress(FileNotFoundError):
        for path in folder.rglob('*.npy'):
            with suppress(FileNotFoundError):
                found += path.stat().st_blocks * 512
    return found


def check_space(encoders: Mapping[Path, 'ViewEncoder']) -> list[str]:
    """Refuse to begin where a disk has no room for all streams that are still to be encoded.

    Args:
        encoders: By folder, of these streams.

    Returns:
        What several streams take together, one line per disk that gets more than one.

    Raises:
        OSError: Too little space; the message has each stream's need.
    """
    lines = []
    disks: dict[int, list[Path]] = {}  # by number of the disk
    for folder in encoders:
        disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        plans = {encoders[folder].name: encoders[folder].plan() for folder in folders}
        total, free = sum(plan.bytes for plan in plans.values()), free_bytes(folders[0])
        # bytes that interrupted builds really wrote (st_blocks counts 512 bytes each): their files
        # have their full size from the start
        written = sum(_written(folder) for folder in folders)
        if total > free + written:
            needs = ', '.join(
                f'stream "{name}": {plan.images} images x {plan.views} views need '
                f'{plan.bytes / 1e6:.1f} MB ({plan.bytes / plan.images / 1e6:.3f} MB per image)'
                for name, plan in plans.items())
            together = f', together {total / 1e6:.1f} MB' if len(plans) > 1 else ''
            raise OSError(
                errno.ENOSPC, f'cached features of {needs}{together}, but {folders[0]} has '
                f'{free / 1e6:.1f} MB free. Lower train_cfg.cached_features.views, or set '
                'cached_features.folder (or MMSEG_DG_CACHE) to a larger disk')
        if len(plans) > 1:
            each = ', '.join(f'{name} {plan.bytes / 1e6:.1f} MB' for name, plan in plans.items())
            lines.append(f'to be built are {each}: {total / 1e6:.1f} MB in all '
                         f'({free / 1e6:.0f} MB free)')
    return lines


class ViewEncoder:
    """Encodes the views of one stream, group by group; a group is as many views as a batch has.

    Views are rows of the stored arrays: view v of image i is row ``i * settings.views + v``.

    Args:
        settings: Of the run.
        method: With its weights loaded.
        streams: All streams of the run.
        name: Of the stream that is encoded.
    """
    def __init__(self, settings: 'CachedFeatures', method: Any, streams: Mapping[str, 'Stream'],
                 name: str) -> None:
        self.settings, self.method, self.streams, self.name = settings, method, streams, name
        self.stream = streams[name]
        self.rows = len(self.stream.dataset) * settings.views
        self.variants = variant_names(method, name, settings.mix)
        self._plan: Optional[Plan] = None

    def plan(self) -> Plan:
        """What will be written: names, types and shapes of the arrays, size and number of the
        images; the first group of views is encoded to know it.
        """
        if self._plan is None:
            first, size = self._group(0)
            arrays = {
                name: (str(value.dtype), (self.rows, *value.shape[1:]))
                for name, value in first.items()
            }
            self._plan = Plan(arrays, size, len(self.stream.dataset), self.settings.views)
        return self._plan

    def build(self, folder: Path, recipe: Mapping) -> None:
        """Encode everything into a folder whose lock this process has, after :func:`check_space`.

        Raises:
            OSError: The disk became full, or cannot be written; the next build goes on from there.
            ValueError: Views of different sizes, or maps that are not finite (in half precision).
        """
        plan = self.plan()
        print_log(f'stream "{self.name}": encoding {plan.text(folder)}', logger='current')
        # what the index says of the features besides their recipe
        description = dict(
            images=self._paths(),
            views=self.settings.views,
            size=plan.size,
            variants=list(self.variants),
            levels=sum(name.startswith('map') for name in plan.arrays),
        )
        with self._disk(folder):
            writer = ViewWriter(folder, recipe, plan.arrays, description)
        begin = spoken = time.monotonic()  # spoken: when the log last had a line of progress
        # writer.done: rows that an interrupted build has left
        for start in range(writer.done, self.rows, self.stream.batch_size):
            self._write(writer, start)
            if time.monotonic() - spoken > _QUIET:
                spoken = time.monotonic()
                print_log(
                    f'stream "{self.name}": {writer.done} of {self.rows} views encoded',
                    logger='current',
                )
        # what is written stays for good: files that could not be read for a moment are tried again
        others = np.flatnonzero(writer.read(SHOWN) != np.arange(self.rows) // self.settings.views)
        for start in np.unique(others - others % self.stream.batch_size).tolist():
            self._write(writer, start)
        with self._disk(folder):
            writer.finish()
        print_log(
            f'stream "{self.name}": {self.rows} views encoded in {time.monotonic() - begin:.1f} s',
            logger='current',
        )

    def _write(self, writer: ViewWriter, start: int) -> None:
        """Encode and write the views of one batch, from row ``start`` on; errors as of
        :meth:`build`.
        """
        values, size = self._group(start)
        wanted = self.plan().size
        if size != wanted:
            raise ValueError(
                f'stream "{self.name}": view {start} is {size[1]}x{size[0]}, but the first '
                f'one is {wanted[1]}x{wanted[0]} (width x height): cached features need '
                'views of one size, add RandomCrop or Resize to the pipeline')
        with self._disk(writer.folder):
            writer.write(slice(start, min(start + self.stream.batch_size, self.rows)), values)

    @contextmanager
    def _disk(self, folder: Path) -> Iterator[None]:
        """Errors of the disk inside this context say which stream, where, and how much it takes."""
        try:
            yield
        except OSError as error:
            raise OSError(
                error.errno, f'stream "{self.name}": cached features, {self.plan().bytes / 1e6:.1f}'
                f' MB in all, cannot be written to {folder}: {error.strerror or error}. Make room '
                'and start again, which goes on from what is written; or set '
                'cached_features.folder (or MMSEG_DG_CACHE) to a larger disk') from error

    def _paths(self) -> list[str]:
        """Path of every image of the stream, ``sample N`` where a dataset does not tell."""
        paths = []
        for index in range(len(self.stream.dataset)):
            # the dataset inside wrappers that holds the sample, and its number there
            leaf, local = locate(self.stream.dataset, index)
            info = leaf.get_data_info(local) if traits(leaf).describes_samples else {}
            paths.append(str(info.get('img_path') or f'sample {index}'))
        return paths

    # ------------------------------------------------------------------ one group
    def _group(self, start: int) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
        """Encode the views of one batch, from row ``start`` on.

        Returns:
            ``(arrays by name, (H, W) of the images)``, the first axis of an array being the views
            B: ``map0``, ``map1``, ... of each level; where a stream has labels ``label`` uint8 (B,
            H, W) and ``counts``; ``valid`` (B, H, W), where pseudo-labels count; of each variant
            ``<variant>.map0``, ... and perhaps ``<variant>.label``; last :data:`SHOWN`, the image
            that a view shows, int32 (B,).
        """
        rows = range(start, min(start + self.stream.batch_size, self.rows))
        views = [self._view(row) for row in rows]
        loaded = {self.name: [sample for sample, _ in views]}
        # a mixed picture is made of a view and a labeled image
        if 'mixed' in self.variants:
            loaded[self.method.source_stream] = [self._partner(row) for row in rows]
        batch = self.method.data_preprocessor(
            {key: pseudo_collate(value)
             for key, value in loaded.items()}, True)
        images, samples = batch[self.name]['inputs'], batch[self.name]['data_samples']
        values = self._encoded('', images)
        if 'gt_sem_seg' in samples[0]:
            labels = stack_labels(samples, self.name).cpu().numpy()
            values['label'] = labels.astype(np.uint8)
            # pixels of each id, for the draws of classes, int32 (B, 256)
            values['counts'] = np.stack([np.bincount(x.ravel(), minlength=256)
                                         for x in labels]).astype(np.int32)
        if 'valid_pseudo_mask' in samples[0]:
            values['valid'] = (torch.stack([x.valid_pseudo_mask.data.squeeze(0)
                                            for x in samples]).cpu().numpy())
        for name in self.variants:
            seed = derive_seed('cached variant', self.settings.seed, name, start)
            variant = make_variant(self.method, name, self.name, batch, seed)
            with variant.encoding():
                values.update(self._encoded(f'{name}.', variant.images))
            if variant.labels is not None:
                values[f'{name}.label'] = variant.labels.cpu().numpy()
        # last: while it names another image, the other values may be of that one
        values[SHOWN] = np.array([image for _, image in views], np.int32)
        return values, tuple(images.shape[-2:])

    def _view(self, row: int) -> tuple[dict, int]:
        """The sample of one view of an image, drawn by its own seed, and the image that it shows:
        another one where ``on_bad_sample='skip'`` replaced it.
        """
        index, view = divmod(row, self.settings.views)
        sample, met = self.stream.dataset.load(
            SampleRequest(index, derive_seed('cached view', self.settings.seed, index, view)))
        return sample, met.index

    def _partner(self, row: int) -> dict:
        """The labeled image that is mixed into a view: drawn as the labeled stream draws, rare
        classes included."""
        source = self.streams[self.method.source_stream]
        before = source.sampler.seed
        # of the features, not of the run, so that runs with other seeds find the same partners
        source.sampler.seed = derive_seed('cached partner', self.settings.seed)
        try:
            return source.dataset[source.sampler.request(row)]
        finally:
            source.sampler.seed = before

    @torch.no_grad()
    def _encoded(self, prefix: str, images: Tensor) -> dict[str, np.ndarray]:
        """Maps of normalized images (B, 3, H, W), one array (B, C, h, w) per level, under the names
        ``<prefix>map0``, ``<prefix>map1``, ...

        Raises:
            ValueError: They are not finite, or not any more in half precision.
        """
        values = {}
        for level, value in enumerate(self.method.student.backbone(images)):
            kept = value.to(torch.float16 if self.settings.precision ==
                            'float16' else torch.float32)
            if not bool(torch.isfinite(kept).all()):
                largest = float(value.abs().max())
                raise ValueError(
                    f'stream "{self.name}": map {level} of the encoder has values up to '
                    f'{largest:.4g}, which {self.settings.precision} does not hold: set '
                    "train_cfg.cached_features.precision='float32'")
            values[f'{prefix}map{level}'] = kept.cpu().numpy()
        return values
