"""Time and memory of class statistics and rare class sampling for a very long list of images.

    python tools/analysis_tools/benchmark_class_statistics.py [--images 1000000] [--count 20000]

The images are 1000 files of 64x64 pixels that appear under many names (linked folders), so that every name can
be looked up as real ones are. Counts of the whole list are random numbers; --count files are really counted.
"""
import argparse
import ctypes
import gc
import os
import os.path as osp
import pickle
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from mmengine.registry import init_default_scope

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets import GTADataset, RareClassSampler, class_statistics
from mmseg_dg.datasets.statistics.cache import CacheEntry
from mmseg_dg.datasets.statistics.class_statistics import count_labels

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
_PER_FOLDER = 1000  # files that are really there, and names below each linked folder


def make_tree(root: str, images: int) -> None:
    """Make a folder ``root`` that GTADataset reads, with ``images`` names in ``list.txt``.

    The 1000 small files lie in ``images/store`` and ``labels/store``; the names are below links to
    these folders, ``d00000``, ``d00001``, ...
    """
    label = np.random.default_rng(0).integers(0, 19, (8, 8)).astype(np.uint8)
    for folder in ('images', 'labels'):
        os.makedirs(osp.join(root, folder, 'store'))
    for i in range(_PER_FOLDER):
        large = cv2.resize(np.roll(label, i), (64, 64), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(osp.join(root, f'labels/store/{i:04d}_labelTrainIds.png'), large)
        cv2.imwrite(osp.join(root, f'images/store/{i:04d}.png'), large)
    folders = -(-images // _PER_FOLDER)  # rounded up
    for i in range(folders):
        for folder in ('images', 'labels'):
            os.symlink('store', osp.join(root, folder, f'd{i:05d}'))
    with open(osp.join(root, 'list.txt'), 'w', encoding='utf-8') as file:
        file.writelines(f'd{i // _PER_FOLDER:05d}/{i % _PER_FOLDER:04d}\n' for i in range(images))


def memory(key: str) -> float:
    """MiB of this process from /proc/self/status (Linux): ``VmRSS`` now, ``VmHWM`` at the peak; nan
    elsewhere.
    """
    try:
        with open('/proc/self/status', encoding='utf-8') as file:
            return next(float(line.split()[1]) / 1024 for line in file if line.startswith(key))
    except (OSError, StopIteration):
        return float('nan')


def settle() -> None:
    """Give free memory back, so that what a step shows is its own."""
    gc.collect()
    try:
        ctypes.CDLL('libc.so.6').malloc_trim(0)
        with open('/proc/self/clear_refs', 'w', encoding='utf-8') as file:
            file.write('5')  # the peak starts from now
    except OSError:
        pass


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print the time of a step, its peak memory and what stays, both against the start of the step."""
    settle()
    before, started = memory('VmRSS'), time.perf_counter()
    yield
    seconds, peak = time.perf_counter() - started, memory('VmHWM') - before
    settle()
    print(f'| {what} | {seconds:.2f} | {peak:.0f} | {memory("VmRSS") - before:.0f} |', flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=1_000_000)
    parser.add_argument('--count', type=int, default=20_000, help='files that are really counted')
    parser.add_argument('--num-workers', type=int, default=1, help='processes that count')
    args = parser.parse_args()
    init_default_scope('mmseg_dg')
    # a table: each step prints its line when it ends
    with tempfile.TemporaryDirectory() as root:
        make_tree(root, args.images)
        print(f'{args.images} images, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n')
        print('| step | seconds | peak MiB | stays MiB |\n|---|---|---|---|')
        with measured('dataset: read the list, find every file'):
            dataset = GTADataset(data_root=root, ann_file='list.txt', pipeline=PIPELINE)
        loader, names = dataset.pipeline.transforms[1], tuple(dataset.metainfo['classes'])
        cache = osp.join(root, 'cache')
        generator = np.random.default_rng(1)
        counts = generator.integers(0, 6000, (args.images, len(names)), dtype=np.int32)
        CacheEntry.for_dataset(dataset, loader, names, cache).write(counts)  # as counting would leave them
        del counts
        with measured('statistics from the cache: fingerprint of every file, totals'):
            found = class_statistics(dataset, cache_dir=cache)
        assert found.files == args.images and not isinstance(found.pixel_counts, list)
        with measured('RareClassSampler from them'):
            sampler = RareClassSampler(dataset, seed=0, class_statistics=found)
        pairs = sum(len(images) for images in sampler._images)  # of each class its images
        state = dict(sampler.__dict__, dataset=None)
        size = len(pickle.dumps(state)) / 2**20
        with measured('10 000 draws'):
            for draw in range(10_000):
                sampler.request(draw)
        part = GTADataset(data_root=root, ann_file='list.txt', pipeline=PIPELINE, indices=args.count)
        with measured(f'count {args.count} labels of 64x64 pixels, {args.num_workers} process(es)'):
            count_labels(part, loader, len(names), args.num_workers)
    print(f'\nThe sampler holds {pairs} (image, class) pairs, {size:.1f} MiB.')


if __name__ == '__main__':
    run_tool(main)
