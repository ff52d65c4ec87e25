"""Draws the drift pixels of test images: those a trained network is least sure of, image by image.

Example::

    python tools/analysis_tools/drift_pixels.py configs/bench/bench_pixl_uda_mobilenetv2.py \\
        work_dirs/bench_pixl_uda_mobilenetv2/iter_2000.pth drift.png --domain camvid_day

One row per image and scale: the image, the prediction, its entropy, and the drift pixels in red for each share --eta.
Captions and the last lines of output say how many drift and joint pixels are predicted wrong.
"""
import argparse
from collections import defaultdict
from collections.abc import Sequence
from typing import Optional

import mmcv
import torch
from mmengine.config import Config

import mmseg_dg  # noqa: F401  prepares the library stack before mmseg is imported
from mmseg_dg.apis import load_model
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.launch import ConfigOptions
from mmseg_dg.apis.pixel_maps import domain_dataset, pixel_maps, spread_indices
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.visualization import Tile, colorize, compose, save_picture
from mmseg_dg.visualization.drift_pictures import DriftCount, drift_tiles
from mmseg_dg.visualization.tiles import scaled_size


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config with the model and test_dataloader')
    parser.add_argument('checkpoint', help='weights of a run of this config')
    parser.add_argument('out', help='picture to write (.png or .jpg)')
    parser.add_argument('--domain', help='name in test_dataloader; may be left out when there is only one')
    parser.add_argument('--num', type=int, default=4, help='number of images, evenly spaced over the domain')
    parser.add_argument('--indices', type=int, nargs='+', help='indices of the images, instead of --num')
    parser.add_argument('--eta', type=float, nargs='+', default=[0.2, 0.05], help='shares of drift pixels')
    parser.add_argument('--tile', type=int, default=384, help='longest side of one picture in pixels')
    parser.add_argument('--predictions-only', action='store_true',
                        help='no photographs: for data whose license forbids passing them on')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='override settings of the config')
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    cfg = read_config_file(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    model = load_model(cfg, args.checkpoint, args.device)
    dataset, domain = domain_dataset(cfg, args.domain)
    palette, scored = dataset.metainfo['palette'], label_map(cfg, domain)
    rows: list[list[Tile]] = []
    found: dict[tuple[str, float], list[DriftCount]] = defaultdict(list)  # by scale and eta
    for index in args.indices or spread_indices(len(dataset), args.num):
        sample = dataset[index]
        photograph = mmcv.imread(sample['data_samples'].img_path, channel_order='rgb')
        for maps in pixel_maps(model, sample):
            # what drift pixels are painted on without photographs
            prediction = colorize(maps.logits.argmax(dim=0)[_content(maps)], palette)
            tiles, counts = drift_tiles(prediction if args.predictions_only else photograph, maps.logits, maps.labels,
                                        maps.inside, args.eta, palette, maps.name, scored)
            rows.append(tiles if args.predictions_only else [Tile('image', photograph), *tiles])
            for eta, count in zip(args.eta, counts):
                found[maps.name, eta].append(count)
    save_picture(compose(rows, scaled_size(photograph, args.tile)), args.out)
    print(f'{args.out}: {domain}, {args.checkpoint}')
    for (name, eta), counts in found.items():
        count = DriftCount.total(counts)
        print(f'{name or "all"} eta {eta:g}: {count.drift} drift and {count.joint} joint pixels with a label; {count}')


def label_map(cfg: Config, domain: str) -> Optional[Sequence[int]]:
    """The scored class of each class, where the domain's metric joins some; else None."""
    evaluator = cfg.get('test_evaluator') or {}
    # one or a list for all domains, or one or a list for each
    for_all = isinstance(evaluator, list) or 'type' in evaluator
    evaluator = evaluator if for_all else evaluator.get(domain, {})
    for metric in evaluator if isinstance(evaluator, list) else [evaluator]:
        if isinstance(metric.get('label_map'), (list, tuple)):
            return metric['label_map']
    return None


def _content(maps) -> tuple[slice, slice]:
    """Rows and columns of ``PixelMaps`` that are not padding, which lies below and at the right."""
    return slice(int(maps.inside.any(dim=1).sum())), slice(int(maps.inside.any(dim=0).sum()))


if __name__ == '__main__':
    run_tool(main)
