"""Milliseconds per GTA training sample, against a pipeline that loads the image again for each further crop.

    python tools/analysis_tools/benchmark_pipeline.py [--samples 60] [--data-root data/gta] [--json OUT.json]

All get the same images and wanted classes, in turn: 1914x1052 PNG, resized to 1280x704, 512x512 crop with more than
1500 pixels of the wanted class or up to 10 further attempts, flip, packing. "Loading again" is made of mmseg's
transforms and does what the official DAFormer code does for a sample, normalization of each attempt's crop included
(this package normalizes on the training device). "Copies" reads files of tools/dataset_converters/resized_copies.py.
CPU time is that of this process and holds on a busy machine; one process, no worker processes. The second table is
calculated from it: what 2, 4 and 8 worker processes deliver where each has a core to itself, and the shortest training
step they keep up with. Without --data-root, scenes of the built-in city are written to a temporary folder in GTA's
layout and size.
"""
import argparse
import json
import os
import os.path as osp
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable, Optional

import cv2
import mmengine.fileio
import numpy as np
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from PIL import Image

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets import RareClassSampler, SampleRequest, SeededDataset, SynthCityDataset
from mmseg_dg.datasets.conversion import GTA
from mmseg_dg.datasets.conversion.resized import resize_dataset
from mmseg_dg.datasets.label_tables import GTA_TO_TRAIN_ID
from mmseg_dg.datasets.resized_copies import copies_folder
from mmseg_dg.registry import TRANSFORMS
from mmseg_dg.utils.seeding import local_seed

MIN_CROP_PIXELS, ATTEMPTS = 1500, 11  # more pixels than these are wanted; the first crop and ten more
SCALE, BATCH = (1280, 720), 2
RESIZE = dict(type='Resize', scale=SCALE, keep_ratio=True)
FLIP = dict(type='RandomFlip', prob=0.5)
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), RESIZE,
            dict(type='RareClassCrop', crop_size=(512, 512), cat_max_ratio=0.75, min_crop_pixels=MIN_CROP_PIXELS),
            FLIP, dict(type='PackStreamInputs')]
#: Its crop does not know the wanted class: a sample is loaded again until it shows that.
STOCK = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), RESIZE,
         dict(type='mmseg.RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75), FLIP,
         dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
         dict(type='mmseg.PackSegInputs')]


def write_scenes(root: str, count: int) -> None:
    """Write scenes of the built-in city below ``root`` as GTA images (1914x1052), each with its label
    as published (palette PNG of GTA's ids) and with trainIds.
    """
    # a little larger, and cut to GTA's size below
    city = SynthCityDataset('camera', count, (1920, 1056), data_root=osp.join(root, 'city'), num_workers=1)
    to_gta_id = np.zeros(256, np.uint8)  # trainId -> GTA's id
    to_gta_id[list(GTA_TO_TRAIN_ID.values())] = list(GTA_TO_TRAIN_ID)
    palette = np.random.default_rng(0).integers(0, 256, 768).tolist()
    for folder in ('images', 'labels'):
        os.makedirs(osp.join(root, folder))
    for i in range(count):
        info = city.get_data_info(i)
        cv2.imwrite(osp.join(root, f'images/{i + 1:05d}.png'), cv2.imread(info['img_path'])[:1052, :1914])
        label = cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED)[:1052, :1914]
        cv2.imwrite(osp.join(root, f'labels/{i + 1:05d}_labelTrainIds.png'), label)
        published = Image.fromarray(to_gta_id[label], mode='P')
        published.putpalette(palette)
        published.save(osp.join(root, f'labels/{i + 1:05d}.png'))


def load_again(dataset: Any, pipeline: Callable, request: SampleRequest) -> Any:
    """One sample by loading the image anew for each attempt, until a crop has enough of the class.

    Args:
        dataset: Where the image is.
        pipeline: From an image's info to a packed sample; it crops at random.
        request: Index, seed and wanted class. After the last attempt its crop is taken as it is.
    """
    with local_seed(request.seed):
        for _ in range(ATTEMPTS):
            sample = pipeline(dataset.get_data_info(request.index))
            if (sample['data_samples'].gt_sem_seg.data == request.wanted_class).sum() > MIN_CROP_PIXELS:
                break
    return sample


def measure(ways: dict[str, Callable], requests: list[SampleRequest]) -> dict[str, dict[str, float]]:
    """What each way costs per sample; they take turns on each request.

    Args:
        ways: Name -> function from a request to a packed sample.
        requests: Samples to load.

    Returns:
        ``{way: {cpu, median_cpu, wall (milliseconds), loads (files read and decoded), good (share of crops with the
        wanted class)}}``.
    """
    opened = [0]  # files read for the sample that is being loaded
    original = mmengine.fileio.get

    def counting(*args, **kwargs):
        """mmengine's reader of files, through which all ways load images and labels."""
        opened[0] += 1
        return original(*args, **kwargs)

    rows = defaultdict(lambda: dict(cpu=[], wall=[], loads=[], good=[]))
    mmengine.fileio.get = counting
    try:
        for request in requests:
            for name, way in ways.items():
                opened[0], wall, cpu = 0, time.perf_counter(), time.process_time()
                sample = way(request)
                row = rows[name]
                row['cpu'].append(1e3 * (time.process_time() - cpu))
                row['wall'].append(1e3 * (time.perf_counter() - wall))
                row['loads'].append(opened[0])
                label = sample['data_samples'].gt_sem_seg.data
                row['good'].append((label == request.wanted_class).sum().item() > MIN_CROP_PIXELS)
    finally:
        mmengine.fileio.get = original
    return {name: dict({key: float(np.mean(values)) for key, values in row.items()},
                       median_cpu=float(np.median(row['cpu']))) for name, row in rows.items()}


def cost_table(found: dict[str, dict[str, float]]) -> str:
    """Markdown: one row per way."""
    lines = ['| pipeline | CPU ms, mean | CPU ms, median | ms on the clock | files loaded per sample | '
             'crops with the wanted class |', '|---|---|---|---|---|---|']
    lines += [f'| {name} | {row["cpu"]:.1f} | {row["median_cpu"]:.1f} | {row["wall"]:.1f} | {row["loads"]:.2f} | '
              f'{100 * row["good"]:.0f} % |' for name, row in found.items()]
    return '\n'.join(lines)


def worker_table(found: dict[str, dict[str, float]], workers: tuple[int, ...] = (2, 4, 8)) -> str:
    """Markdown, calculated from :func:`measure`: samples per second that a number of worker processes
    delivers, and milliseconds of the shortest step of ``BATCH`` samples that they keep up with.
    """
    lines = ['| pipeline | samples per second and worker | ' + ' | '.join(f'{n} workers' for n in workers) + ' |',
             '|---|---|' + '---|' * len(workers)]
    for name, row in found.items():
        cells = [f'{1e3 * n / row["cpu"]:.0f} per second, steps from {BATCH * row["cpu"] / n:.0f} ms' for n in workers]
        lines.append(f'| {name} | {1e3 / row["cpu"]:.1f} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Optional[list[str]] = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--samples', type=int, default=60)
    parser.add_argument('--images', type=int, default=12, help='scenes to render without --data-root')
    parser.add_argument('--data-root', help='GTA5 with published and converted labels; copies where they are there')
    parser.add_argument('--json', help='write all figures here')
    args = parser.parse_args(argv)
    init_default_scope('mmseg_dg')
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = args.data_root or osp.join(folder, 'gta')
        if not args.data_root:
            write_scenes(root, args.images)
            resize_dataset(GTA, GTA.parts[0], root, SCALE, num_workers=1)

        def dataset(**options):
            """GTA with the pipeline of this package; of real data as many images as --images."""
            part = args.images if args.data_root else None
            return SeededDataset(dict(type='GTADataset', data_root=root, pipeline=PIPELINE, indices=part, **options))

        published, converted = dataset(raw_ids=True), dataset()
        sampler = RareClassSampler(converted, seed=0, class_statistics=dict(cache_dir=folder, num_workers=1))
        stock = Compose([TRANSFORMS.build(step) for step in STOCK])
        ways = {'this package, published labels': published.__getitem__,
                'this package, converted labels': converted.__getitem__}
        if osp.isdir(osp.join(root, copies_folder(SCALE))):
            ways['this package, copies (`resized=True`)'] = dataset(resized=True).__getitem__
        ways['loading again, converted labels'] = lambda r: load_again(converted.dataset, stock, r)
        for way in ways.values():  # files into the page cache
            for i in range(len(converted)):
                way(SampleRequest(i, 0, 0))
        requests = [sampler.request(draw) for draw in range(args.samples)]
        print(f'{args.samples} samples of {len(converted)} images, load {os.getloadavg()[0]:.1f}\n')
        found = measure(ways, requests)
    print(f'{cost_table(found)}\n\nCalculated from the CPU time, batch {BATCH}:\n\n{worker_table(found)}')
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2), encoding='utf-8')
    return found


if __name__ == '__main__':
    run_tool(main)
