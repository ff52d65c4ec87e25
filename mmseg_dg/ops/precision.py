"""The least precision that computations on logits, features and images need."""
import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are (the very same tensor).

    Averages, softmax and norms would round in between otherwise, and a threshold such as 0.968 would then select other
    pixels under autocast.
    """
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
