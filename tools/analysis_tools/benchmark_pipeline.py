"""Milliseconds per GTA training sample, against a pipeline that loads the image again for each further crop.

    python tools/analysis_tools/benchmark_pipeline.py [--samples 60] [--data-root data/gta]

Both get the same images and wanted classes, in turn: 1914x1052 PNG, resized to 1280x704, 512x512 crop with more than
1500 pixels of the wanted class or up to 10 further attempts, flip, packing. "Loading again" is made of mmseg's
transforms and does what the official DAFormer code does. Without --data-root, scenes of the built-in city are written
to a temporary folder in GTA's layout and size. One process, no worker processes.
"""
import argparse
import os
import os.path as osp
import tempfile
import time
from collections import defaultdict
from typing import Any, Callable

import cv2
import mmengine.fileio
import numpy as np
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from PIL import Image

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets import RareClassSampler, SampleRequest, SeededDataset, SynthCityDataset
from mmseg_dg.datasets.label_tables import GTA_TO_TRAIN_ID
from mmseg_dg.registry import TRANSFORMS
from mmseg_dg.utils.seeding import local_seed

MIN_CROP_PIXELS, ATTEMPTS = 1500, 11
RESIZE = dict(type='Resize', scale=(1280, 720), keep_ratio=True)
FLIP = dict(type='RandomFlip', prob=0.5)
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), RESIZE,
            dict(type='RareClassCrop', crop_size=(512, 512), cat_max_ratio=0.75, min_crop_pixels=MIN_CROP_PIXELS),
            FLIP, dict(type='PackStreamInputs')]
STOCK = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), RESIZE,
         dict(type='mmseg.RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75), FLIP,
         dict(type='mmseg.PackSegInputs')]


def write_scenes(root: str, count: int) -> None:
    """Scenes of the built-in city as GTA images (1914x1052), published palette labels and trainIds."""
    city = SynthCityDataset('camera', count, (1920, 1056), data_root=osp.join(root, 'city'), num_workers=1)
    back = np.zeros(256, np.uint8)
    back[list(GTA_TO_TRAIN_ID.values())] = list(GTA_TO_TRAIN_ID)
    palette = np.random.default_rng(0).integers(0, 256, 768).tolist()
    for folder in ('images', 'labels'):
        os.makedirs(osp.join(root, folder))
    for i in range(count):
        info = city.get_data_info(i)
        cv2.imwrite(osp.join(root, f'images/{i + 1:05d}.png'), cv2.imread(info['img_path'])[:1052, :1914])
        label = cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED)[:1052, :1914]
        cv2.imwrite(osp.join(root, f'labels/{i + 1:05d}_labelTrainIds.png'), label)
        published = Image.fromarray(back[label], mode='P')
        published.putpalette(palette)
        published.save(osp.join(root, f'labels/{i + 1:05d}.png'))


def load_again(dataset: Any, pipeline: Callable, request: SampleRequest) -> Any:
    """One sample by loading the image anew for each attempt."""
    with local_seed(request.seed):
        for _ in range(ATTEMPTS):
            sample = pipeline(dataset.get_data_info(request.index))
            if (sample['data_samples'].gt_sem_seg.data == request.wanted_class).sum() > MIN_CROP_PIXELS:
                break
    return sample


def measure(ways: dict[str, Callable], requests: list[SampleRequest]) -> str:
    """A Markdown table of the ways, which take turns on each request."""
    opened = [0]
    original = mmengine.fileio.get

    def counting(*args, **kwargs):
        opened[0] += 1
        return original(*args, **kwargs)

    times, decoded, good = defaultdict(list), defaultdict(int), defaultdict(int)
    mmengine.fileio.get = counting
    try:
        for request in requests:
            for name, way in ways.items():
                opened[0], started = 0, time.perf_counter()
                sample = way(request)
                times[name].append(1000 * (time.perf_counter() - started))
                decoded[name] += opened[0]
                label = sample['data_samples'].gt_sem_seg.data
                good[name] += int((label == request.wanted_class).sum() > MIN_CROP_PIXELS)
    finally:
        mmengine.fileio.get = original
    lines = ['| pipeline | mean ms | median ms | files decoded per sample | crops with the wanted class |',
             '|---|---|---|---|---|']
    lines += [f'| {name} | {np.mean(t):.1f} | {np.median(t):.1f} | {decoded[name] / len(t):.2f} | '
              f'{100 * good[name] / len(t):.0f} % |' for name, t in times.items()]
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--samples', type=int, default=60)
    parser.add_argument('--images', type=int, default=12, help='scenes to render without --data-root')
    parser.add_argument('--data-root', help='GTA5 with published and converted labels')
    args = parser.parse_args()
    init_default_scope('mmseg_dg')
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = args.data_root or osp.join(folder, 'gta')
        if not args.data_root:
            write_scenes(root, args.images)

        def dataset(raw):
            part = args.images if args.data_root else None
            return SeededDataset(dict(type='GTADataset', data_root=root, raw_ids=raw, pipeline=PIPELINE, indices=part))

        published, converted = dataset(True), dataset(False)
        sampler = RareClassSampler(converted, seed=0, class_statistics=dict(cache_dir=folder, num_workers=1))
        stock = Compose([TRANSFORMS.build(step) for step in STOCK])
        ways = {'this package, published labels': published.__getitem__,
                'this package, converted labels': converted.__getitem__,
                'loading again, converted labels': lambda r: load_again(converted.dataset, stock, r)}
        for i in range(len(converted)):  # files into the page cache
            published[i], converted[i]
        requests = [sampler.request(draw) for draw in range(args.samples)]
        print(f'{args.samples} samples of {len(converted)} images, load {os.getloadavg()[0]:.1f}\n')
        print(measure(ways, requests))


if __name__ == '__main__':
    run_tool(main)
