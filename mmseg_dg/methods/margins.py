"""Rows of the crops without pseudo-labels, and what the log says about them.

Shapes: B images, H x W pixels.
"""
import logging
from typing import Optional

from mmengine.logging import print_log
from torch import Tensor

#: Share of rows without pseudo-labels above which a warning is due (Cityscapes: 26 % of the paper's
#: crops).
MANY_ROWS = 0.3


def report_rows(stream: str, height: int, top: int, bottom: int, valid: Optional[Tensor]) -> None:
    """Say how many rows of the crops have no pseudo-labels; a large share is a mistake more often
    than not.

    Args:
        stream: Of the crops.
        height: Of the crops.
        top, bottom: Rows at the top and at the bottom that are left out, where ``valid`` is None.
        valid: (B, H, W), 1 where pseudo-labels count; None: ``top`` and ``bottom`` say it.
    """
    if valid is None:
        share = (top + bottom) / height
        reason = f'ignore_top={top} and ignore_bottom={bottom} of {height}'
    else:
        # a row counts if any of its pixels does: (B, H, W) -> (B, H) -> share of the rows
        share = 1 - float((valid == 1).any(dim=-1).float().mean())
        reason = 'valid_pseudo_mask (margins and padding) of the first batch'
    advice = '' if share <= MANY_ROWS else (
        ': the network learns nothing of the target there. If your images have no bonnet, set the '
        'margins to 0; if they have, measure them in rows of this crop')
    print_log(
        f'stream "{stream}": {100 * share:.1f} % of the rows have no pseudo-labels '
        f'({reason}){advice}', logger='current',
        level=logging.WARNING if share > MANY_ROWS else logging.INFO)


def check_margins(top: int, bottom: int, use_mask: bool) -> None:
    """Refuse margins (rows without pseudo-labels) that cannot be meant.

    Raises:
        ValueError: Negative numbers, or margins beside a mask that carries them.
    """
    if top < 0 or bottom < 0:
        raise ValueError(f'ignore_top and ignore_bottom count rows, got {top} and {bottom}')
    if use_mask and (top or bottom):
        raise ValueError('use_valid_mask=True carries the margins with each sample: set '
                         f'ignore_top={top} and ignore_bottom={bottom} to 0')


def check_height(top: int, bottom: int, height: int) -> None:
    """Refuse margins that leave no row of a crop of ``height`` rows with pseudo-labels.

    Raises:
        ValueError: ``top`` and ``bottom`` together cover the crop.
    """
    if top + bottom >= height:
        raise ValueError(f'ignore_top={top} and ignore_bottom={bottom} leave no row of a crop of '
                         f'height {height}: no pseudo-label would ever count')
