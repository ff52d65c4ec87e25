"""GTA5's published split file and the labels that cannot be used."""
import os.path as osp
from collections.abc import Sequence
from typing import Optional

import mmengine.fileio as fileio
import numpy as np

from ..checks import is_local
from .mat_files import as_integers, load_mat

# Images per subset (Richter et al., ECCV 2016)
SPLIT_SIZES = dict(train=12403, val=6382, test=6181)


def read_split(path: str, backend_args: Optional[dict] = None) -> dict[str, list[str]]:
    """Image stems of GTA5's official training, validation and test set.

    Args:
        path: ``split.mat`` as published: arrays ``trainIds``, ``valIds``, ``testIds`` of file
            numbers.
        backend_args: mmengine's file backend options.

    Returns:
        ``{'train': ['00001', ...], 'val': [...], 'test': [...]}``, each sorted.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not such a file, or an image is in two subsets.
    """
    if is_local(path, backend_args) and not osp.isfile(path):
        raise FileNotFoundError(f'no GTA5 split file {path!r}; it is published with the dataset '
                                '(split.mat)')
    content = load_mat(bytes(fileio.get(path, backend_args=backend_args)), path)
    missing = [key for key in ('trainIds', 'valIds', 'testIds') if key not in content]
    if missing:
        raise ValueError(f'{path}: has no {missing}; it has '
                         f'{[k for k in content if not k.startswith("__")]}')
    numbers = {
        name: np.ravel(as_integers(content[f'{name}Ids'], path, f'{name}Ids'))
        for name in SPLIT_SIZES
    }
    wrong = [int(i) for ids in numbers.values() for i in ids if not 0 <= i < 100000]
    if wrong:
        raise ValueError(f'{path}: image numbers {wrong[:5]} are not in 0..99999; the file is '
                         'damaged')
    stems_of_split = {name: sorted(f'{i:05d}' for i in ids) for name, ids in numbers.items()}
    everything = [stem for stems in stems_of_split.values() for stem in stems]
    if len(set(everything)) < len(everything):
        raise ValueError(
            f'{path}: an image is in two subsets, or twice in one; the file is damaged')
    return stems_of_split


def split_lists(split: dict[str, list[str]], usable: Sequence[str]) -> dict[str, list[str]]:
    """{list file below the data root: stems} of the official subsets without unusable images."""
    good = set(usable)
    return {
        f'splits/official/{name}.txt': [stem for stem in stems if stem in good]
        for name, stems in split.items()
    }
