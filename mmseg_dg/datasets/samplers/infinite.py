"""Endless samplers whose n-th sample can be named without drawing the n before it."""
import math
from collections.abc import Iterator, Sized
from typing import Optional

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmseg_dg.registry import DATA_SAMPLERS
from mmseg_dg.utils.seeding import derive_seed

from .request import SampleRequest


class StatelessSampler(Sampler):
    """Base of endless samplers: draw ``d`` is a pure function of (seed, d).

    The ranks share one sequence of draws: the n-th sample of a rank is draw ``n * world_size +
    rank``. Iterating does not move the start: a run that resumes calls :meth:`set_position` with
    the number of samples it has consumed on this rank (worker processes prefetch, so the sampler
    itself cannot know it).

    Args:
        dataset: Anything with a length.
        seed: The same on every rank.  None: mmengine's synchronized random seed.
            The attribute ``seed`` may be replaced before iterating.

    Attributes:
        size: Number of samples of the dataset.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        ValueError: The dataset is empty.
    """
    def __init__(self, dataset: Sized, seed: Optional[int] = None) -> None:
        if len(dataset) == 0:
            raise ValueError(f'{type(self).__name__}: the dataset has no samples; check its '
                             'folders and split list')
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.size = len(dataset)
        # the same in all processes, of which each takes every world_size-th draw
        self.seed = sync_random_seed() if seed is None else seed
        self._position = 0  # of this rank: see set_position

    def request(self, draw: int) -> SampleRequest:
        """The sample of draw number ``draw`` (0-based, over all ranks)."""
        raise NotImplementedError

    def set_position(self, position: int) -> None:
        """Let the next iterator begin with this rank's sample number ``position`` (0-based).

        Raises:
            ValueError: ``position`` is negative.
        """
        if position < 0:
            raise ValueError(f'{type(self).__name__}.set_position: expected a count >= 0, got '
                             f'{position}')
        self._position = int(position)

    def set_epoch(self, epoch: int) -> None:
        """Nothing: the order depends on the draw number alone (mmengine's loops call this)."""

    def __iter__(self) -> Iterator[SampleRequest]:
        """This rank's samples from the position on, without end."""
        position = self._position
        while True:
            yield self.request(position * self.world_size + self.rank)
            position += 1

    def __len__(self) -> int:
        """Samples of this rank per pass over the dataset."""
        return math.ceil(self.size / self.world_size)

    def _sample_seed(self, draw: int) -> int:
        """What seeds the pipeline of draw number ``draw``."""
        return derive_seed(self.seed, 'sample', draw)


@DATA_SAMPLERS.register_module()
class StatefulInfiniteSampler(StatelessSampler):
    """Goes through the dataset again and again, each time in a new order.

    Args:
        dataset: Anything with a length.
        seed: See :class:`StatelessSampler`.
        shuffle: False keeps the dataset's order.
    """
    def __init__(self, dataset: Sized, seed: Optional[int] = None, shuffle: bool = True) -> None:
        super().__init__(dataset, seed)
        self.shuffle = shuffle
        # the order of the epoch asked for last, kept by _order_of under (seed, epoch)
        self._order_key: Optional[tuple] = None
        self._order = np.zeros(0, np.int64)

    def _order_of(self, epoch: int) -> np.ndarray:
        """The order of the images in an epoch, (size,) indices; a function of seed and epoch, of
        which the last result is kept (the seed may be replaced).
        """
        key = (self.seed, epoch)
        if self._order_key != key:
            generator = np.random.Generator(np.random.PCG64(derive_seed(self.seed, 'epoch', epoch)))
            self._order, self._order_key = generator.permutation(self.size), key
        return self._order

    def request(self, draw: int) -> SampleRequest:
        """The sample of draw number ``draw``: every image once per epoch, in the epoch's order."""
        epoch, place = divmod(draw, self.size)
        index = int(self._order_of(epoch)[place]) if self.shuffle else place
        return SampleRequest(index, self._sample_seed(draw))
