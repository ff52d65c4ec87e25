"""Checks of a few loaded samples of each stream, and of all labels where a method asks for that."""
from typing import Any, Optional

import numpy as np
import torch

from mmseg_dg.datasets.crops import CROPS, crop_size
from mmseg_dg.datasets.messages import DOCTOR
from mmseg_dg.datasets.samplers import SampleRequest
from mmseg_dg.datasets.statistics.class_statistics import class_statistics
from mmseg_dg.models.data_preprocessor import normalization_of
from mmseg_dg.utils.seeding import derive_seed

__all__ = ['CROPS', 'check_labels', 'check_samples']


def check_samples(method: Any, loaders: Any, count: int) -> None:
    """Load a few samples of each stream and check what training would trip over later.

    Args:
        method: Says which streams must be labeled.
        loaders: The streams.
        count: Samples per stream, spread evenly over the dataset.

    Raises:
        ValueError: A sample without a label where one is needed, smaller than the crop, of another
            size than the rest, with more or fewer channels than the normalization, or on [0, 1]
            where that is one of 0..255.
    """
    for name, loader in loaders.items():
        dataset = loader.dataset
        crop = crop_size(dataset)
        first: Optional[tuple[tuple, str]] = None  # size and path of the first sample
        spread = np.linspace(0, len(dataset) - 1, min(count, len(dataset)))
        for index in np.unique(spread.astype(int)):
            sample = load_sample(name, dataset, int(index))
            path = sample['data_samples'].metainfo.get('img_path', f'sample {index}')
            _check_channels(name, path, sample['inputs'], method)
            _check_scale(name, path, sample['inputs'], method)
            size = tuple(sample['inputs'].shape[-2:])
            if crop is not None and (size[0] < crop[0] or size[1] < crop[1]):
                raise ValueError(f'stream "{name}": {path} is {size[1]}x{size[0]} where the crop '
                                 f'wants {crop[1]}x{crop[0]} (width x height): use a smaller '
                                 'crop_size, a larger Resize scale, or add Pad')
            if first is not None and size != first[0] and loader.batch_size > 1:
                raise ValueError(f'stream "{name}": {path} is {size[1]}x{size[0]} but {first[1]} '
                                 f'is {first[0][1]}x{first[0][0]}: images of one batch must have '
                                 'one size, add RandomCrop or Resize')
            first = first or (size, path)
            if name in method.labeled_streams and 'gt_sem_seg' not in sample['data_samples']:
                raise ValueError(f'stream "{name}" needs labels, but {path} has none: add '
                                 'LoadAnnotations to its pipeline')


def check_labels(method: Any, loaders: Any) -> None:
    """Read every label of a method's labeled streams, where it asks for that; counts are cached.

    Raises:
        ValueError: Ids that are neither classes nor ignored, sizes that differ from the image's;
            files are named.
    """
    if not method.reads_all_labels:
        return
    for name in method.labeled_streams:
        try:
            class_statistics(loaders[name].dataset)
        except ValueError as error:
            raise ValueError(f'stream "{name}": {error}') from error


def _check_channels(stream: str, path: str, image: torch.Tensor, method: Any) -> None:
    """Refuse an image whose number of channels is not that of the normalization."""
    normalization = normalization_of(method.data_preprocessor)  # with mean and std, or None
    wanted = 3 if normalization is None else normalization.mean.numel()
    # a mean of one number serves any number of channels
    if image.dim() == 3 and len(image) != wanted and wanted > 1:
        raise ValueError(
            f'stream "{stream}": {path} has {len(image)} channels after its pipeline, '
            f'data_preprocessor.mean is for {wanted}. No method here takes an extra channel '
            "(alpha, depth, infrared): load with color_type='color' of LoadImageFromFile, or leave "
            'the transform out that adds it')


def _check_scale(stream: str, path: str, image: torch.Tensor, method: Any) -> None:
    """Refuse pixels on the scale 0..1 where the normalization is for 0..255."""
    normalization = normalization_of(method.data_preprocessor)  # with mean and std, or None
    # a mean of at most 1 is itself on the scale 0..1
    if (normalization is None or float(normalization.mean.max()) <= 1
            or not image.is_floating_point()):
        return
    if 0 < float(image.max()) <= 1:
        # the message has the mean (3, 1, 1) as three numbers
        raise ValueError(
            f'stream "{stream}": the pixels of {path} end at '
            f'{float(image.max()):.3g}, on the scale 0..1, but '
            f'data_preprocessor.mean={normalization.mean.flatten().tolist()} is for 0..255: remove '
            'the transform that divides by 255, or give 8-bit images')


def load_sample(stream: str, dataset: Any, index: int) -> dict:
    """Sample ``index`` of a stream, as a seeded request of its own; errors name the stream."""
    try:
        return dataset[SampleRequest(index, derive_seed('preflight', stream, index))]
    except (ValueError, FileNotFoundError) as error:
        # DOCTOR: the sentence that names the command which looks at all files
        hint = '' if DOCTOR in str(error) else f'. {DOCTOR}'
        raise type(error)(f'stream "{stream}": {error}{hint}') from error
