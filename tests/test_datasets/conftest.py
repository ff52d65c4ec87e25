"""Fixtures of the dataset tests."""
from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def _no_garbage_collection_per_dataset(monkeypatch):
    """mmengine collects garbage for each dataset it lists: 0.2 s a time in a process that has loaded torch."""
    monkeypatch.setattr('mmengine.dataset.base_dataset.gc', SimpleNamespace(collect=lambda: 0))
