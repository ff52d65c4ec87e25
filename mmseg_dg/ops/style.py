"""Style of feature maps (their channel statistics) and agreement of predictions under two styles."""
from torch import Tensor

from .precision import at_least_float32

#: Added to standard deviations.
STD_EPS = 1e-7


def channel_statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (unbiased) standard deviation of every channel of every image.

    Args:
        maps: (B, C, H, W) with at least two positions; half precision is computed in float32.

    Returns:
        Two tensors (B, C); the deviation is at least 1e-7. Source: SHADE (Zhao et al., ECCV 2022), as the
        generalization branch of HRDA uses it.
    """
    flat = at_least_float32(maps).flatten(2)
    return flat.mean(dim=2), flat.std(dim=2) + STD_EPS


def restyle(maps: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Replace the channel statistics of maps (B, C, H, W) by ``mean`` and ``std`` (B, C).

    The maps' own statistics count as constants: no gradient flows through them.
    """
    own_mean, own_std = (s.detach()[..., None, None] for s in channel_statistics(maps))
    styled = (at_least_float32(maps) - own_mean) / own_std * std[..., None, None] + mean[..., None, None]
    return styled.to(maps.dtype)


def style_consistency(logits: Tensor, stylised: Tensor) -> Tensor:
    """How much two predictions differ: 1/2 [KL(p' || m) + KL(p || m)] with m = clamp((p + p')/2, 1e-7, 1).

    Args:
        logits: (B, C, H, W) of the images.
        stylised: The same of their stylised versions.

    Returns:
        0-d mean over all pixels (of the sum over classes); half precision is computed in float32. Gradients flow into
        both and stay finite where probabilities vanish.

    Raises:
        ValueError: Shapes differ.
    """
    if logits.shape != stylised.shape:
        raise ValueError(f'logits {tuple(logits.shape)} and stylised logits {tuple(stylised.shape)} must agree')
    logs = [at_least_float32(x).log_softmax(dim=1) for x in (logits, stylised)]
    mixture = ((logs[0].exp() + logs[1].exp()) / 2).clamp(1e-7, 1).log()
    divergence = sum((x.exp() * (x - mixture)).sum(dim=1).mean() for x in logs)
    return divergence / 2
