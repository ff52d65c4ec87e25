"""Computes the maps that :mod:`mmseg_dg.engine.cached_features` keeps.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""

import errno
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from torch import Tensor

from mmseg_dg.datasets.samplers.request import SampleRequest
from mmseg_dg.datasets.stored_views import ViewWriter
from mmseg_dg.datasets.traits import traits
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
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


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

    def plan(self) -> Plan:
        """What will be written: names, types and shapes of the arrays, size and number of the
        images; the first group of views is encoded to know it.
        """
        first, size = self._group(0)
        arrays = {
            name: (str(value.dtype), (self.rows, *value.shape[1:]))
            for name, value in first.items()
        }
        return Plan(arrays, size, len(self.stream.dataset), self.settings.views)

    def build(self, folder: Path, recipe: Mapping) -> None:
        """Encode everything into a folder whose lock this process has.

        Raises:
            OSError: Too little space; nothing is written then.
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
        self._check_space(plan, folder)
        writer = ViewWriter(folder, recipe, plan.arrays, description)
        begin = spoken = time.monotonic()  # spoken: when the log last had a line of progress
        # writer.done: rows that an interrupted build has left
        for start in range(writer.done, self.rows, self.stream.batch_size):
            values, size = self._group(start)
            if size != plan.size:
                raise ValueError(
                    f'stream "{self.name}": view {start} is {size[1]}x{size[0]}, but the first '
                    f'one is {plan.size[1]}x{plan.size[0]} (width x height): cached features need '
                    'views of one size, add RandomCrop or Resize to the pipeline')
            writer.write(slice(start, min(start + self.stream.batch_size, self.rows)), values)
            if time.monotonic() - spoken > _QUIET:
                spoken = time.monotonic()
                print_log(
                    f'stream "{self.name}": {writer.done} of {self.rows} views encoded',
                    logger='current',
                )
        writer.finish()
        print_log(
            f'stream "{self.name}": {self.rows} views encoded in {time.monotonic() - begin:.1f} s',
            logger='current',
        )

    def _check_space(self, plan: Plan, folder: Path) -> None:
        """Refuse to begin where the disk has no room for all views; what an interrupted build
        wrote counts as room.
        """
        # bytes that an interrupted build really wrote (st_blocks counts 512 bytes each): its files
        # have their full size from the start
        written = sum(path.stat().st_blocks * 512 for path in folder.rglob('*.npy'))
        free = free_bytes(folder)
        if plan.bytes > free + written:
            raise OSError(
                errno.ENOSPC,
                f'stream "{self.name}": cached features of {plan.images} images x {plan.views} '
                f'views need {plan.bytes / 1e6:.1f} MB ({plan.bytes / plan.images / 1e6:.3f} MB '
                f'per image), but {folder} has {free / 1e6:.1f} MB free. Lower '
                'train_cfg.cached_features.views, or set cached_features.folder (or '
                'MMSEG_DG_CACHE) to a larger disk',
            )

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
            ``<variant>.map0``, ... and perhaps ``<variant>.label``.
        """
        rows = range(start, min(start + self.stream.batch_size, self.rows))
        loaded = {self.name: [self._view(row) for row in rows]}
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
        return values, tuple(images.shape[-2:])

    def _view(self, row: int) -> dict:
        """The sample of one view of an image, drawn by its own seed."""
        index, view = divmod(row, self.settings.views)
        return self.stream.dataset[SampleRequest(
            index, derive_seed('cached view', self.settings.seed, index, view))]

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
