"""The built-in synthetic city as a dataset: demos and tests need no files from outside."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mmseg.datasets import BaseSegDataset, CityscapesDataset

from mmseg_dg.ops.pairs import pair
from mmseg_dg.registry import DATASETS

from .synthcity.cache import (
    IMAGE_SUFFIX,
    IMAGES,
    LABEL_SUFFIX,
    LABELS,
    city_folder,
    default_root,
    file_name,
    write_city,
)
from .synthcity.renderer import check_request


@DATASETS.register_module()
class SynthCityDataset(BaseSegDataset):
    """Rendered street scenes with the exact labels of all 19 Cityscapes classes.

    The pictures are rendered into a cache folder when the dataset is initialized for the first
    time, and read as ordinary files from then on. The same (seed, index, domain, size) gives the
    same picture; different index ranges give disjoint splits. Several processes may use the same
    folder at once: one renders, the others wait.

    Args:
        domain: ``day``, ``overcast``, ``dusk``, ``night``, ``fog``, ``rain``, ``camera`` (looks
            photographed) or ``mixed`` (day, overcast and dusk).
        num_images: Number of pictures, at least 1.
        size: (width, height) in pixels, multiples of 32, at least 64.
        seed: Seed of the city, >= 0.
        data_root: Folder below which the pictures are kept, in
            ``<version>_<width>x<height>_seed<seed>/<domain>``; None: ``$MMSEG_DG_CACHE/synthcity``
            or ``~/.cache/mmseg_dg/synthcity``.
        start: Index of the first picture, >= 0; a validation split starts behind the training
            split.
        num_workers: Processes that render; None: as many as this process may use processors.
        **kwargs: Further arguments of mmseg's ``BaseSegDataset`` (``pipeline``, ``metainfo``,
            ``indices``, ``test_mode``, ``lazy_init``, ...); unknown ones raise TypeError.

    Raises:
        ValueError: Unknown domain, impossible size, or a number out of range.
        OSError: The pictures cannot be written.
    """
    METAINFO = CityscapesDataset.METAINFO
    #: ``full_init`` renders missing files, so :func:`~.checks.check_leaf` need not look for them.
    checks_itself = True
    #: A damaged file may be deleted.
    renders_files = True

    def __init__(self, domain: str = 'day', num_images: int = 200, size: Sequence[int] = (512, 256),
                 seed: int = 0, data_root: Optional[Union[str, Path]] = None, start: int = 0,
                 num_workers: Optional[int] = None, **kwargs: Any) -> None:
        check_request(domain, size)
        workers = 1 if num_workers is None else num_workers  # for the check: None is allowed
        for name, value, least in (('num_images', num_images, 1), ('seed', seed, 0),
                                   ('start', start, 0), ('num_workers', workers, 1)):
            if int(value) != value or value < least:
                raise ValueError(f'SynthCityDataset: {name}={value!r} must be an integer of at '
                                 f'least {least}')
        self.domain, self.size, self.seed = domain, pair(int(s) for s in size), seed
        self.num_images, self.start, self.num_workers = num_images, start, num_workers
        folder = city_folder(default_root() if data_root is None else Path(data_root).expanduser(),
                             domain, self.size, seed)
        super().__init__(img_suffix=IMAGE_SUFFIX, seg_map_suffix=LABEL_SUFFIX,
                         data_root=str(folder), data_prefix=dict(img_path=IMAGES,
                                                                 seg_map_path=LABELS),
                         reduce_zero_label=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Render what is missing and list the pictures ``start`` to ``start + num_images - 1``: one
        info each, as mmseg's datasets give it.
        """
        indices = range(self.start, self.start + self.num_images)
        write_city(Path(self.data_root), self.seed, self.domain, self.size, indices,
                   self.num_workers)
        images, labels = Path(self.data_prefix['img_path']), Path(self.data_prefix['seg_map_path'])
        return [
            dict(img_path=str(images / (file_name(k) + self.img_suffix)),
                 seg_map_path=str(labels / (file_name(k) + self.seg_map_suffix)),
                 label_map=self.label_map, reduce_zero_label=self.reduce_zero_label, seg_fields=[])
            for k in indices
        ]
