"""Make the files of this folder from the full-size records: copies of the small ones, samples of the large ones.

    python tests/assets/make.py [RECORDS] [--out FOLDER]

RECORDS is the folder with the recorded reference tensors (``../shared/golden`` by default; it is not part of the
package). The same records give the same bytes. README.md here says what each file holds; ``tests/recorded.py`` reads
them.
"""
import argparse
import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
#: Small records that are shipped as they are; their own text stays with the records.
COPIED = ('*.pt', '*.pth', '*.py', '*.json')


def save(folder: Path, name: str, content: Any) -> None:
    """``NAME.pt.gz``: what ``torch.save`` writes, compressed, without a time stamp."""
    buffer = io.BytesIO()
    torch.save(own_storages(content), buffer)
    with open(folder / f'{name}.pt.gz', 'wb') as file, gzip.GzipFile('', 'wb', 9, file, mtime=0) as packed:
        packed.write(buffer.getvalue())


def own_storages(content: Any) -> Any:
    """The same with tensors that hold no more than they show."""
    if isinstance(content, Tensor):
        return content.clone(memory_format=torch.contiguous_format)
    if isinstance(content, dict):
        return {k: own_storages(v) for k, v in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(own_storages(v) for v in content)
    return content


def every(x: Tensor, step: int) -> Tensor:
    """Every ``step``-th row and column of (..., H, W)."""
    return x[..., ::step, ::step]


def class_mix(record: dict) -> dict:
    """Labels, choices and masks whole; every eighth row and column of images (mixing is point by point)."""
    cases = []
    for case in record['cases']:
        images = {k: every(case[k], 8) for k in ('img', 'target_img', 'mixed_img', 'pseudo_weight', 'mixed_weight')}
        cases.append(dict(case, stride=8, **images))
    return dict(cases=cases)


def pseudo_labels(record: dict) -> dict:
    """Every fourth row and column of the teacher's logits; the other pixels above the threshold as a number."""
    cases = []
    for case in record['cases']:
        top = case['logits'].softmax(1).amax(1)
        taken = every(top, 4)
        elsewhere = int((top >= case['threshold']).sum() - (taken >= case['threshold']).sum())
        cases.append(dict(case, stride=4, logits=every(case['logits'], 4), confident_elsewhere=elsewhere))
    return dict(cases=cases)


def feature_distance(record: dict) -> dict:
    """Features of the cells that count (the others enter neither value nor gradient), every eighth gradient."""
    cases = []
    for case in record['cases']:
        cells = case['mask'][:, 0]
        kept = {k: case[k].permute(0, 2, 3, 1)[cells] for k in ('feat', 'feat_imnet')}  # (cells, 256)
        assert not case['grad'].permute(0, 2, 3, 1)[~cells].any(), 'a cell that does not count has a gradient'
        shape, gradient = tuple(case['feat'].shape), case['grad'][:, ::8]
        cases.append(dict(case, **kept, shape=shape, grad=gradient, channel_stride=8))
    return dict(record, cases=cases)


def strong_transform(record: dict) -> dict:
    """Pictures of point-wise operations: every third row and column. Blurs: one whole channel in, a third out."""
    single = {k: every(v, 3) for k, v in record['single'].items()}
    order = [dict(case, out=every(case['out'], 3)) for case in record['order']]
    blur = [dict(case, input=case['input'][:, :1], out=every(case['out'][:, :1], 3), stride=3)
            for case in record['blur'] if case['input'].shape[-1] != 256]
    for case in blur:  # the same picture several times: store it once
        case['input'] = next(c['input'] for c in blur if torch.equal(c['input'], case['input']))
    inputs = {tuple(c['kernel']): c['input'] for c in blur}
    blur = [dict({k: v for k, v in c.items() if k != 'input'}, kernel=tuple(c['kernel'])) for c in blur]
    return dict(record, x01=every(record['x01'], 3), single=single, order=order, blur=blur, blur_inputs=inputs,
                rgb_to_hsv=every(record['rgb_to_hsv'], 3), hsv_to_rgb=every(record['hsv_to_rgb'], 3),
                seeded=[seeded(case) for case in record['seeded'][:3]])


def seeded(case: dict) -> dict:
    """Of both pictures the pixels that the mix takes, the others 0; a blurred output at every third row and column."""
    mask = case['mask'][0, 0].bool()
    images = torch.stack([case['img'][0] * mask, case['img'][1] * ~mask])
    stride = 1 if case['blur'] > 0.5 else 4  # without a blur, everything is point by point
    return dict(case, img=every(images, stride), image_stride=stride, out=every(case['out'], max(stride, 3)),
                out_stride=max(stride, 3))


def pipeline(record: dict) -> dict:
    """The source picture whole (random noise); every fourth row and column of what comes out."""
    cases = [dict(c, img=every(c['img'], 4), stride=4) if 'img' in c else c for c in record['cases']]
    photometric = [dict(c, out=c['out'][::2, ::2], stride=2) for c in record['photometric']]
    return dict(record, cases=cases, photometric=photometric, rescaled_stride=4,
                rescaled_bgr_320x180=record['rescaled_bgr_320x180'][::4, ::4])


def learning_rates(path: Path) -> dict:
    """Every 50th of the 40 000 iterations and those around the edges of the schedule."""
    edges = [*range(4), *range(1495, 1505), *range(39990, 40000)]
    points = np.unique([*range(0, 40000, 50), *edges])
    with np.load(path) as record:
        rates = {k: torch.from_numpy(record[k][points]) for k in record.files}
    return dict(iterations=torch.from_numpy(points), **rates)


def parameter_groups(folder: Path) -> dict:
    """Rates and decays as mmcv's builder set them, with the shapes of the parameters."""
    table = json.loads((folder / 'param_groups.json').read_text(encoding='utf-8'))['param_table']
    start = torch.load(folder / 'trainstep_daformer_init_student.pt', weights_only=True)['state_dict']
    return dict(param_table=table, shapes={k: tuple(v.shape) for k, v in start.items()})


def transformer(folder: Path) -> dict:
    """What the large encoder records hold beside weights and maps: eps, drop-path rates, shapes."""
    b0, b5 = (torch.load(folder / name, weights_only=True) for name in ('mit_b0.pt', 'mit_b5_meta.pt'))
    return dict(b0={k: b0[k] for k in ('eps', 'drop_path_prob')}, b5=b5)


def fp64_names(folder: Path) -> dict:
    """Names only: logged values and parameters without gradient of the full-size HRDA run."""
    check = json.loads((folder / 'trainstep_fp64_check.json').read_text(encoding='utf-8'))
    return {k: dict(logged=sorted(v['log']['0']), zero_gradient_params=v['zero_gradient_params'])
            for k, v in check.items() if k in ('daformer', 'hrda')}


def make(records: Path, out: Path) -> None:
    """Write ``small/`` and ``golden/`` below ``out``."""
    small, golden = out / 'small', out / 'golden'
    for folder in (small, golden):
        folder.mkdir(parents=True, exist_ok=True)
    for pattern in COPIED:
        for path in sorted((records / 'small').glob(pattern)):
            shutil.copyfile(path, small / path.name)

    def load(name: str) -> dict:
        return torch.load(records / f'{name}.pt', weights_only=True)

    samples = dict(classmix=class_mix, pseudo_label=pseudo_labels, fd=feature_distance, pipeline=pipeline,
                   strong_transform=strong_transform)
    for name, sample in samples.items():
        save(golden, name, sample(load(name)))
    for name in ('ema', 'hrda_crop_boxes', 'metrics', 'rcs'):
        save(golden, name, load(name))
    save(golden, 'lr', learning_rates(records / 'lr.npz'))
    save(golden, 'param_groups', parameter_groups(records))
    save(golden, 'mit_meta', transformer(records))
    save(golden, 'fp64_names', fp64_names(records))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('records', type=Path, nargs='?', default=HERE.parents[2] / 'shared' / 'golden')
    parser.add_argument('--out', type=Path, default=HERE)
    args = parser.parse_args()
    if not (args.records / 'small').is_dir():
        parser.error(f'{args.records} holds no recorded reference tensors')
    make(args.records, args.out)
    files = sorted(p for kind in ('small', 'golden') for p in (args.out / kind).iterdir())
    for path in files:
        print(f'{path.stat().st_size:9d} {path.relative_to(args.out)}')
    print(f'{sum(p.stat().st_size for p in files):9d} bytes')


if __name__ == '__main__':
    main()
