"""Mean and standard deviation of every channel of a stream's images, as lines for the data
preprocessor.

Examples::

    python tools/analysis_tools/channel_statistics.py CONFIG                      # the first stream
    python tools/analysis_tools/channel_statistics.py CONFIG --stream target --images 200
"""
import argparse
import sys

import numpy as np
from mmengine.registry import init_default_scope

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.crop_setting import training_loaders
from mmseg_dg.datasets.statistics.channel_statistics import channel_statistics
from mmseg_dg.datasets.wrappers import flatten
from mmseg_dg.registry import DATASETS
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.loaders import loaders_by_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file with a train_dataloader')
    parser.add_argument('--stream', help='name of a stream; default: the first')
    parser.add_argument('--images', type=int, default=500, help='at most so many, evenly spread')
    return parser.parse_args()


def main() -> int:
    """Print ``mean`` and ``std`` of a stream's images, which are read without further transforms."""
    args = parse_args()
    cfg = read_config_file(args.config)
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    loaders = loaders_by_name(training_loaders(cfg), 'train')
    name = args.stream or next(iter(loaders))
    if name not in loaders:
        raise ValueError(f'{args.config} has no stream {name!r}: use one of {", ".join(loaders)}')
    dataset = DATASETS.build(loaders[name]['dataset'])
    # the datasets inside wrappers; of each sample, which of them has it and its index there
    parts, which, local = flatten(dataset)
    load_steps = [
        next(t for t in part.pipeline.transforms if 'LoadImage' in type(t).__name__)
        for part in parts
    ]
    chosen = np.unique(np.linspace(0, len(which) - 1, min(args.images, len(which))).astype(int))

    def images():
        """The chosen images, each (H, W, channels) as the pipeline's first step loads it."""
        for index in chosen:
            part = parts[which[index]]
            yield load_steps[which[index]](part.get_data_info(int(local[index])))['img']

    sys.stdout.write(channel_statistics(images()).text + '\n')
    return 0


if __name__ == '__main__':
    run_tool(main)
