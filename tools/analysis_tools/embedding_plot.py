"""Plots pixel features of two checkpoints in the plane: the same pixels, before and after.

Example::

    python tools/analysis_tools/embedding_plot.py configs/bench/bench_pixl_uda_mobilenetv2.py \\
        work_dirs/bench_daformer_mobilenetv2/iter_2000.pth work_dirs/bench_pixl_uda_mobilenetv2/iter_2000.pth \\
        embedding.png --names without with --domain camvid_day

Features are those the classifier sees, L2-normalized; the plane is spanned by their first two principal components,
for each checkpoint its own. The scores are taken in the full space: mean silhouette (cosine distance), variance of
class means over variance within classes, share of pixels nearest to the mean of their own class. Pixels are drawn
from the labeled pixels of the domain, equally many per class.
"""
import argparse
from collections.abc import Sequence
from typing import Optional

import torch
from mmengine.config import Config
from torch import Tensor

import mmseg_dg  # noqa: F401  prepares the library stack before mmseg is imported
from mmseg_dg.apis import load_model
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.launch import ConfigOptions
from mmseg_dg.apis.pixel_maps import domain_dataset, pixel_maps, spread_indices
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.visualization import save_picture
from mmseg_dg.visualization.embedding import choose_pixels, embedding_picture, separation


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config with the model and test_dataloader, for both checkpoints')
    parser.add_argument('before', help='first checkpoint')
    parser.add_argument('after', help='second checkpoint')
    parser.add_argument('out', help='picture to write (.png or .jpg)')
    parser.add_argument('--config-before', help='config of the first checkpoint where it differs (a control)')
    parser.add_argument('--names', nargs=2, default=['before', 'after'], help='titles of the two plots')
    parser.add_argument('--domain', help='name in test_dataloader; may be left out when there is only one')
    parser.add_argument('--num', type=int, default=16, help='number of images, evenly spaced over the domain')
    parser.add_argument('--per-class', type=int, default=200, help='pixels of each class')
    parser.add_argument('--seed', type=int, default=0, help='of the choice of pixels')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='override settings of the configs')
    return parser.parse_args(argv)


def gather(cfg: Config, checkpoint: str, args: argparse.Namespace) -> dict[str, tuple[Tensor, Tensor]]:
    """Features and labels of pixels drawn from evenly spaced images of the domain, by scale of the network.

    Args:
        cfg: Config of the network.
        checkpoint: Its weights.
        args: Of the command line; the same number of images, seed and domain give the same pixels.

    Returns:
        Name of the scale (``''`` for networks of one) -> (features (N, D), labels (N,)).
    """
    model = load_model(cfg, checkpoint, args.device)
    dataset, _ = domain_dataset(cfg, args.domain)
    maps = [pixel_maps(model, dataset[i]) for i in spread_indices(len(dataset), args.num)]
    result = {}
    for scale in zip(*maps):  # the maps of all images at one scale
        chosen = choose_pixels([m.labels for m in scale], args.per_class, args.seed)
        features, labels = [], []
        for image, place in chosen:  # number of the image, flat indices of its pixels
            per_pixel = scale[image].features.flatten(1).T  # (D, h, w) -> (h * w, D)
            features.append(per_pixel[place.to(per_pixel.device)])
            labels.append(scale[image].labels.flatten().cpu()[place])  # (h, w) -> (h * w,), chosen
        result[scale[0].name] = torch.cat(features).cpu(), torch.cat(labels)
    return result


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    configs = [read_config_file(args.config_before or args.config), read_config_file(args.config)]
    for cfg in configs:
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
    found = [gather(cfg, path, args) for cfg, path in zip(configs, (args.before, args.after))]
    meta = domain_dataset(configs[1], args.domain)[0].metainfo
    for scale, (_, labels) in found[1].items():
        if scale not in found[0] or not torch.equal(found[0][scale][1], labels):
            raise ValueError('the two configs do not show the same pixels: their networks need equal scales and '
                             'strides, and their test data must be the same')
        features = {name: part[scale][0] for name, part in zip(args.names, found)}
        # a network of several scales has a picture for each
        stem, dot, suffix = args.out.rpartition('.')
        out = f'{stem}_{scale}{dot}{suffix}' if scale else args.out
        save_picture(embedding_picture(features, labels, meta['classes'], meta['palette']), out)
        print(f'{out}: {len(labels)} pixels of {len(labels.unique())} classes\n')
        print('| network | silhouette | between / within | nearest class mean |\n|---|---|---|---|')
        for name, values in features.items():
            score = separation(values, labels)
            print(f'| {name} | {score.silhouette:.3f} | {score.between_within:.3f} | '
                  f'{100 * score.nearest_mean:.1f} % |')


if __name__ == '__main__':
    run_tool(main)
