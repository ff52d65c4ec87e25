"""Count the classes of a config's training data: ``python tools/analysis_tools/class_statistics.py CONFIG``.

Counts are kept in the cache that rare class sampling reads, so this is also a way to prepare (and check) the labels
before a run.  Prints one table per labeled stream.
"""
import argparse
import sys

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets import ClassStatistics, SeededDataset, class_statistics
from mmseg_dg.datasets.checks import loads_labels
from mmseg_dg.datasets.crop_setting import training_loaders
from mmseg_dg.datasets.wrappers import leaves
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.loaders import loaders_by_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--stream', help='stream of train_dataloader (default: each one that loads labels)')
    parser.add_argument('--cache-dir', help="where to keep the counts; 'beside' means <data_root>/class_statistics")
    parser.add_argument('--num-workers', type=int, help='processes (default: all cores)')
    parser.add_argument('--min-pixels', type=int, default=3000, help='for the last column: images a sampler would use')
    parser.add_argument('--rebuild', action='store_true', help='count again even if the cache is good')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    return parser.parse_args()


def streams_of(cfg: Config) -> dict:
    """{name: dataset config}; a config with one plain dataloader has the stream 'train'."""
    loaders = loaders_by_name(training_loaders(cfg), 'train')
    return {name: loader['dataset'] for name, loader in loaders.items() if isinstance(loader, dict)}


def table(name: str, found: ClassStatistics, min_pixels: int) -> str:
    """Text with one line per class, frequent classes last.

    Args:
        name: Of the stream.
        found: Its statistics.
        min_pixels: The last column counts images with more pixels of the class than this.
    """
    total = max(int(found.totals.sum()), 1)
    images, with_enough = found.images_per_class(), found.images_per_class(min_pixels)
    lines = [f'{name}: {found.files} images, {int(found.totals.sum())} labeled pixels',
             f'{"class":>5} {"name":<24} {"pixels":>16} {"share %":>9} {"images":>9} {f"> {min_pixels} px":>12}']
    for index in found.totals.argsort(kind='stable'):
        label = found.class_names[index] if found.class_names else ''
        lines.append(f'{index:>5} {label:<24} {found.totals[index]:>16} {100 * found.totals[index] / total:>9.4f} '
                     f'{images[index]:>9} {with_enough[index]:>12}')
    return '\n'.join(lines)


def run(args: argparse.Namespace) -> int:
    """Count and print; the exit status."""
    cfg = read_config_file(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg['custom_imports'])
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    streams = streams_of(cfg)
    if args.stream and args.stream not in streams:
        sys.exit(f'{args.config}: no stream {args.stream!r}; it has {sorted(streams)}')
    done = 0
    for name, dataset_cfg in streams.items():
        if args.stream and name != args.stream:
            continue
        dataset = SeededDataset(dataset_cfg)
        if not all(loads_labels(leaf.pipeline) for leaf in leaves(dataset)):
            if args.stream:
                sys.exit(f'{args.config}: the pipeline of stream {name!r} loads no labels')
            continue
        found = class_statistics(dataset, args.cache_dir, args.num_workers, args.rebuild)
        print(table(name, found, args.min_pixels))
        done += 1
    if not done:
        sys.exit(f'{args.config}: no stream of {sorted(streams)} loads labels')
    return 0


def main() -> int:
    args = parse_args()
    try:
        return run(args)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'{args.config}: {error}')


if __name__ == '__main__':
    run_tool(main)
