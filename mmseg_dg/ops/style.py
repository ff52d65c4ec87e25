"""Style of feature maps (their channel statistics) and agreement of predictions under two styles.

Shapes: B images, C channels, H x W pixels.
"""
import torch
from torch import Tensor

from .precision import at_least_float32

#: Added to standard deviations.
STD_EPS = 1e-7
#: Largest float16.
HALF_MAX = 65504.


def channel_statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (unbiased) standard deviation of every channel of every image.

    Args:
        maps: Floating point (B, C, H, W) with at least one position; half precision is computed in
            float32.

    Returns:
        Two tensors (B, C), float32 or float64; the deviation is at least 1e-7, and that where there
        is one position.
        Source: SHADE (Zhao et al., ECCV 2022), as the generalization branch of HRDA uses it.

    Raises:
        ValueError: Another shape or dtype, or no position.
    """
    if maps.dim() != 4 or not maps.is_floating_point() or 0 in maps.shape[2:]:
        raise ValueError('maps must be floating point (B, C, H, W) with at least one position, '
                         f'got {tuple(maps.shape)} {maps.dtype}')
    flat = at_least_float32(maps).flatten(2)  # (B, C, H * W)
    # one position has no unbiased deviation: it does not deviate
    deviation = flat.std(dim=2) if flat.shape[2] > 1 else torch.zeros_like(flat[..., 0])
    return flat.mean(dim=2), deviation + STD_EPS


def restyle(maps: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Replace the channel statistics of maps (B, C, H, W) by ``mean`` and ``std`` (B, C); same
    shape and dtype.

    The maps' own statistics count as constants: no gradient flows through them. In float16, results
    and the factor of the gradient end at the largest number. A single position becomes the mean.
    """
    own_mean, own_std = (s.detach()[..., None, None] for s in channel_statistics(maps))
    half = maps.dtype == torch.float16
    if maps.shape[-2:] == (1, 1):
        # there is nothing to divide, and 1e-7 would only blow the gradient up
        own_std = torch.ones_like(own_std)
    elif half:
        # no smaller own_std, with which the factor std / own_std would overflow float16
        own_std = torch.maximum(own_std, std[..., None, None].abs().to(own_std) / HALF_MAX)
    new_mean, new_std = mean[..., None, None], std[..., None, None]  # (B, C, 1, 1)
    styled = (at_least_float32(maps) - own_mean) / own_std * new_std + new_mean
    if half:
        styled = styled.clamp(-HALF_MAX, HALF_MAX)
    return styled.to(maps.dtype)


def style_consistency(logits: Tensor, stylized: Tensor) -> Tensor:
    """How much two predictions differ: 1/2 [KL(p' || m) + KL(p || m)] with m = clamp((p + p')/2,
    1e-7, 1).

    Args:
        logits: (B, C, H, W) of the images.
        stylized: The same of their stylized versions.

    Returns:
        0-d mean over all pixels (of the sum over classes); half precision is computed in float32.
        Gradients flow into both and stay finite where probabilities vanish.

    Raises:
        ValueError: Shapes differ.
    """
    if logits.shape != stylized.shape:
        raise ValueError(f'logits {tuple(logits.shape)} and stylized logits '
                         f'{tuple(stylized.shape)} must agree')
    logs = [at_least_float32(x).log_softmax(dim=1) for x in (logits, stylized)]
    # m, as a logarithm like ``logs``: KL(p || m) is the sum of p (log p - log m)
    mixture = ((logs[0].exp() + logs[1].exp()) / 2).clamp(1e-7, 1).log()
    first, second = ((x.exp() * (x - mixture)).sum(dim=1).mean() for x in logs)
    return (first + second) / 2
