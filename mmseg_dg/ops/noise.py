"""Noise that a seed determines."""
import torch
from torch import Tensor


def seeded_noise(like: Tensor, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal noise of the size of ``like``, on its device, as a function of the seed.

    CPU and CUDA give different noise for the same seed; each of them repeats its own. So do float32
    and float64.

    Args:
        like: Any shape.
        seed: Of a generator of its own; the global one is left alone.
        dtype: Of the result, in which it is drawn.

    Returns:
        A tensor of the same shape.
    """
    generator = torch.Generator(device=like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=dtype)
