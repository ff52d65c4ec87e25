"""How much of the crops of training is padding: images that are smaller than the crop."""
from typing import Any, NamedTuple, Optional

import numpy as np

from mmseg_dg.utils.seeding import derive_seed, local_seed

from .crops import CROPS
from .traits import traits
from .wrappers import leaves, steps_of

#: More than this share of the crops deserves a warning.
MOST_PADDING = 1 / 3
_STEP = 32  # sides of a recommended crop are multiples: networks halve an image five times


class Padding(NamedTuple):
    """What :func:`padding_of` found.

    Attributes:
        share: Of the pixels of the crops that are padding, in [0, 1].
        crop: (height, width) of the crop.
        image: Median (height, width) of the images when they are padded.
    """
    share: float
    crop: tuple[int, int]
    image: tuple[int, int]

    @property
    def better(self) -> tuple[int, int]:
        """A crop (height, width) that the median image fills, no larger than the present one, in
        steps of 32 pixels.
        """
        height, width = (max(_STEP,
                             min(have, want) // _STEP * _STEP)
                         for have, want in zip(self.image, self.crop))
        return height, width

    @property
    def text(self) -> str:
        """One sentence with the remedy."""
        return (f'padding fills {100 * self.share:.0f} % of the crops: they are '
                f'{self.crop[1]}x{self.crop[0]}, most images no larger than '
                f'{self.image[1]}x{self.image[0]} (width x height) when they are cut. Set '
                f'train_cfg.crop_size={self.better} (height, width), or give larger images')


def padding_of(dataset: Any, draws: int = 16) -> Optional[Padding]:
    """Measure the padding of a training dataset whose pipeline pads and then cuts a fixed size.

    Some images are read, scaled and padded as in training; the rest follows from their sizes.

    Args:
        dataset: Any; wrappers are looked through, the first dataset counts.
        draws: Images, spread evenly.

    Returns:
        Mean share of the crops that is padding, the crop, and the usual size of the images there.
        None where the pipeline does not pad before a crop.
    """
    leaf: Any = next(iter(leaves(dataset)), None)
    steps = steps_of(traits(leaf).pipeline)
    kinds = [type(step).__name__ for step in steps]
    if 'Pad' not in kinds or len(leaf) == 0:
        return None
    pad = kinds.index('Pad')  # mmcv's, which fills at the right and at the bottom
    crop = next((step.crop_size for step, kind in zip(steps[pad:], kinds[pad:]) if kind in CROPS),
                None)
    if crop is None:
        return None
    crop = (crop, crop) if isinstance(crop, int) else tuple(crop)
    shares, sizes = [], []
    for index in np.linspace(0, len(leaf) - 1, min(draws, len(leaf))).astype(int):
        with local_seed(derive_seed('padding', int(index))):  # the same result each time
            sample = leaf.get_data_info(int(index))
            for step in steps[:pad]:
                sample = step(sample)
            if sample is None:  # a step before the padding refuses this image
                continue
            size = sample['img'].shape[:2]  # (height, width), before padding
            padded = steps[pad](sample)['img'].shape[:2]  # to a size, a square, or a multiple
        # how much of the crop the image fills on average, in height and in width
        covered = [_covered(have, full, want) for have, full, want in zip(size, padded, crop)]
        shares.append(1 - covered[0] * covered[1])
        sizes.append(size)
    if not sizes:
        return None
    height, width = (int(side) for side in np.median(sizes, axis=0))
    return Padding(float(np.mean(shares)), crop, (height, width))


def _covered(image: int, padded: int, crop: int) -> float:
    """Mean share of a crop along one axis that shows the image, which lies at the beginning of the
    padded one; the crop's start is uniform.

    Args:
        image: Side of the image.
        padded: Side after padding.
        crop: Side of the crop.
    """
    starts = np.arange(max(padded - crop, 0) + 1)  # all that a crop may have
    return float(np.clip(image - starts, 0, crop).mean() / crop)  # pixels of the image behind each
