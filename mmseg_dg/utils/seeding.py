"""Seeds as a function of what they are for.

Everything random in a run is drawn from generators whose seeds derive from (seed, rank, iteration,
purpose) or (seed, draw number), never from the position of a shared stream: so samples do not
depend on the number of workers, and a resumed run continues exactly.
"""
import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Union

import numpy as np
import torch


def derive_seed(*parts: Union[int, str]) -> int:
    """A seed in [0, 2**31) that depends on every part and nothing else.

    Args:
        *parts: Integers and strings, e.g. ``derive_seed(run_seed, rank, iteration, 'draws')``.
            ``1`` and ``'1'`` differ.
    """
    # each with its type (a numpy integer as an int), and a separator that no text has:
    # ('a', 'b') is not ('ab', )
    text = '\x1f'.join(f'{type(p).__name__}:{p}'
                       for p in (int(p) if isinstance(p, np.integer) else p for p in parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), 'little') % 2**31


def seed_everything(seed: int) -> None:
    """Seed python's, numpy's and torch's (CPU and every accelerator's) global generators."""
    random.seed(seed)
    np.random.seed(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)  # all devices, lazily where they are not initialized yet
    else:
        # without a device torch.manual_seed notes the seed for each kind it knows with a stack
        # trace: 2 ms of every iteration, as much as a head on cached features takes
        torch.default_generator.manual_seed(seed)


@contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """Seed python, numpy and torch's CPU generator inside the block and restore the caller's state
    after it.
    """
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Run the block on the caller's random state and go back to it: what follows draws the same
    numbers again.

    Args:
        device: Whose generator is kept beside python's, numpy's and torch's of the CPU.
    """
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpu = torch.cuda.get_rng_state(device) if device.type == 'cuda' else None
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
        if gpu is not None:
            torch.cuda.set_rng_state(gpu, device)


class StepGenerator:
    """The random generators of one training step's decisions.

    Two kinds, because the reference implementation draws class sets and crop boxes with numpy and
    jitter factors with torch, and recorded draws are compared with ours.

    Args:
        seed: Seed of both.

    Attributes:
        numpy: :class:`numpy.random.RandomState`.
        torch: CPU :class:`torch.Generator`.
    """
    def __init__(self, seed: int) -> None:
        self.numpy = np.random.RandomState(seed % 2**32)  # numpy takes 32 bits only
        self.torch = torch.Generator().manual_seed(seed)

    @classmethod
    def wrap(cls, generator: Union['StepGenerator', torch.Generator, int]) -> 'StepGenerator':
        """A :class:`StepGenerator` from a seed, or from a plain torch generator, which draws one
        number as the seed and so moves on; a :class:`StepGenerator` comes back as it is.
        """
        if isinstance(generator, StepGenerator):
            return generator
        if isinstance(generator, torch.Generator):
            return cls(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
        return cls(int(generator))
