"""Dataloader configs: one, or several by name."""
from collections.abc import Mapping
from typing import Any, Optional


def loaders_by_name(loaders: Optional[Mapping[str, Any]], single_name: str = '') -> dict[str, Any]:
    """``{name: dataloader config}`` of ``train_dataloader``, ``val_dataloader`` or
    ``test_dataloader``.

    Args:
        loaders: One dataloader config, a dict of them in which None switches one off, or None.
        single_name: The name that a single dataloader gets.
    """
    loaders = loaders or {}
    if 'dataset' in loaders:  # a key of a dataloader config: there is one, without a name
        return {single_name: loaders}
    return {name: loader for name, loader in loaders.items() if loader is not None}
