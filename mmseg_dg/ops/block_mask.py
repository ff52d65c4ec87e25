"""Random block masks of masked image consistency (MIC), the third pass that plugs into DACS-style
self-training.

Shapes: B images, H x W pixels, h x w places of a smaller map.
"""
from typing import Optional

import torch
from torch import Tensor


def draw_kept_blocks(batch_size: int, image_size: tuple[int, int], block_size: int, ratio: float,
                     generator: Optional[torch.Generator] = None) -> Tensor:
    """One Bernoulli draw per block: a block is kept where a uniform number exceeds ``ratio``.

    Source: MIC (docs/behavior/mic.md#mask: 70 % masked in blocks of 64 pixels; checked against its
    recorded draw).

    Args:
        batch_size: Number of images; each has its own mask.
        image_size: (H, W) in pixels.
        block_size: Side of a block in pixels, at least 1 and at most the image's shorter side.
        ratio: Share of blocks that is masked on average, in [0, 1].
        generator: Where the uniform numbers come from.

    Returns:
        bool (B, 1, round(H / block_size), round(W / block_size)), True = visible.

    Raises:
        ValueError: A block that does not fit the image, or a ratio out of range.
    """
    height, width = image_size
    if not 1 <= block_size <= min(height, width):
        raise ValueError(f'block_size={block_size} does not fit an image of {height}x{width}')
    if not 0 <= ratio <= 1:
        raise ValueError(f'ratio must lie in [0, 1], got {ratio}')
    grid = (round(height / block_size), round(width / block_size))
    device = generator.device if generator is not None else None
    return torch.rand(batch_size, 1, *grid, generator=generator, device=device) > ratio


def enlarge_blocks(kept: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Blocks as a mask of pixels, each pixel with the value of its block (nearest
    neighbor).

    Args:
        kept: bool (B, 1, h, w), True = visible.
        image_size: (H, W) in pixels.

    Returns:
        float32 (B, 1, H, W), 1 = visible, 0 = masked; multiplied by a normalized image, masked
        pixels get the mean color.

    Raises:
        ValueError: Not such a mask.
    """
    if kept.dim() != 4 or kept.shape[1] != 1 or kept.dtype != torch.bool:
        raise ValueError(f'kept blocks must be bool (B, 1, h, w), got {tuple(kept.shape)} '
                         f'{kept.dtype}')
    return torch.nn.functional.interpolate(kept.float(), size=tuple(image_size), mode='nearest')
