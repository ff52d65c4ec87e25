"""GTA5's published split file and the labels that cannot be used."""
import io
import os.path as osp
from collections.abc import Sequence
from typing import Optional

import mmengine.fileio as fileio
import numpy as np

from ..checks import is_local

# Images per subset (Richter et al., ECCV 2016)
SPLIT_SIZES = dict(train=12403, val=6382, test=6181)


def read_split(path: str, backend_args: Optional[dict] = None) -> dict[str, list[str]]:
    """Image stems of GTA5's official training, validation and test set.

    Args:
        path: ``split.mat`` as published: arrays ``trainIds``, ``valIds``, ``testIds`` of file numbers.
        backend_args: mmengine's file backend options.

    Returns:
        ``{'train': ['00001', ...], 'val': [...], 'test': [...]}``, each sorted.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not such a file, or an image is in two subsets.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError
    if is_local(path, backend_args) and not osp.isfile(path):
        raise FileNotFoundError(f'no GTA5 split file {path!r}; it is published with the dataset (split.mat)')
    try:
        content = loadmat(io.BytesIO(fileio.get(path, backend_args=backend_args)))
    except (MatReadError, ValueError, NotImplementedError) as error:
        raise ValueError(f'{path}: not a MATLAB file of GTA5 ({error})') from error
    missing = [key for key in ('trainIds', 'valIds', 'testIds') if key not in content]
    if missing:
        raise ValueError(f'{path}: has no {missing}; it has {[k for k in content if not k.startswith("__")]}')
    found = {name: sorted(f'{int(i):05d}' for i in np.ravel(content[f'{name}Ids'])) for name in SPLIT_SIZES}
    everything = [stem for stems in found.values() for stem in stems]
    if len(set(everything)) < len(everything):
        raise ValueError(f'{path}: an image is in two subsets, or twice in one; the file is damaged')
    return found


def split_lists(split: dict[str, list[str]], usable: Sequence[str]) -> dict[str, list[str]]:
    """{list file below the data root: stems} of the official subsets without unusable images."""
    good = set(usable)
    return {f'splits/official/{name}.txt': [stem for stem in stems if stem in good] for name, stems in split.items()}
