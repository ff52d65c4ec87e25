"""Recorded reference tensors: samples that ship in ``tests/assets``, and the full-size records they come from."""
import gzip
import io
import json
from pathlib import Path

import numpy as np
import torch

ASSETS = Path(__file__).resolve().parent / 'assets'
SMALL = ASSETS / 'small'


def load_sampled(name: str):
    """One of ``tests/assets/golden``; ``tests/assets/make.py`` says what was left out."""
    path = ASSETS / 'golden' / f'{name}.pt.gz'
    with gzip.open(path) as file:
        content = torch.load(io.BytesIO(file.read()), weights_only=True)
    return _PUT_BACK.get(name, lambda x: x)(content)


def load_small(name: str):
    """One of ``tests/assets/small``."""
    return torch.load(SMALL / name, weights_only=True)


def load_full(folder: Path, name: str):
    """The same content from the folder of full-size records, in the layout of :func:`load_sampled`."""
    if name == 'lr':
        with np.load(folder / 'lr.npz') as record:
            return dict(iterations=torch.arange(40000), **{k: torch.from_numpy(record[k]) for k in record.files})
    if name == 'param_groups':
        start = torch.load(folder / 'trainstep_daformer_init_student.pt')['state_dict']
        table = json.loads((folder / 'param_groups.json').read_text())['param_table']
        return dict(param_table=table, shapes={k: tuple(v.shape) for k, v in start.items()})
    if name == 'mit_meta':
        return dict(b0=torch.load(folder / 'mit_b0.pt'), b5=torch.load(folder / 'mit_b5_meta.pt'))
    if name == 'fp64_names':
        check = json.loads((folder / 'trainstep_fp64_check.json').read_text())
        return {k: dict(logged=sorted(check[k]['log']['0']), zero_gradient_params=check[k]['zero_gradient_params'])
                for k in ('daformer', 'hrda')}
    return torch.load(folder / f'{name}.pt')


def _feature_cells(record: dict) -> dict:
    """Features of the cells that count, back in their maps; noise in the cells that do not."""
    generator = torch.Generator().manual_seed(0)
    for case in record['cases']:
        batch, channels, height, width = case['shape']
        for key in ('feat', 'feat_imnet'):
            maps = torch.randn(batch, height, width, channels, generator=generator)
            maps[case['mask'][:, 0]] = case[key]
            case[key] = maps.permute(0, 3, 1, 2).contiguous()  # (B, D, h, w)
    return record


def _blur_inputs(record: dict) -> dict:
    for case in record['blur']:
        case['input'] = record['blur_inputs'][case['kernel']]
    return record


_PUT_BACK = {'fd': _feature_cells, 'strong_transform': _blur_inputs}
