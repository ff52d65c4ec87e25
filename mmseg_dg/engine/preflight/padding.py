"""A warning where most of what a network would see is padding."""
import logging
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmseg_dg.datasets.padding import MOST_PADDING, padding_of


def warn_padding(loaders: Any) -> None:
    """Warn of each stream whose crops are padding by more than a third, with a crop that its images
    fill.

    Args:
        loaders: ``{stream: loader}``.
    """
    for name, loader in loaders.items() if is_main_process() else ():
        padding = padding_of(loader.dataset)  # None where it cannot be told
        if padding is not None and padding.share > MOST_PADDING:
            print_log(f'stream "{name}": {padding.text}', logger='current', level=logging.WARNING)
