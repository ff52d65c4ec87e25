"""Pictures of what the network will see: ``python tools/analysis_tools/browse_streams.py CONFIG --out DIR``.

Draws the samples of the first iterations exactly as training draws them (same seed, sampler, crops): one grid per
stream, for a method that mixes streams the mixed images with labels and weight, for one with strong views those. No
network weights are needed; with --checkpoint the pseudo-labels and weights are those of its teacher, otherwise they
are shown as unknown.
"""
import argparse
import copy
import os.path as osp
import sys
from collections.abc import Sequence
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint
from mmengine.utils import import_modules_from_strings

import mmseg_dg  # noqa: F401  prepares the library stack before mmseg is imported
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.launch import ConfigOptions
from mmseg_dg.datasets.crop_setting import training_loaders
from mmseg_dg.engine.loops.multi_stream import stream_seed
from mmseg_dg.methods.step import StepContext
from mmseg_dg.registry import DATA_SAMPLERS, DATASETS, MODELS
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.loaders import loaders_by_name
from mmseg_dg.utils.seeding import StepGenerator
from mmseg_dg.visualization import legend, mixed_grid, mixed_state, save_picture, stream_grid, strong_grid
from mmseg_dg.weights.files import without_pretrained


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--streams', nargs='+', metavar='NAME', help='streams of train_dataloader (default: all)')
    parser.add_argument('--num', type=int, default=4, help='samples per stream')
    parser.add_argument('--out', default='browse', metavar='DIR', help='folder of the pictures')
    parser.add_argument('--iteration', type=int, default=0, help='first iteration to show')
    parser.add_argument('--seed', type=int, help="seed of the run (default: the config's, else 0)")
    parser.add_argument('--tile', type=int, default=320, help='longest side of one picture in pixels')
    parser.add_argument('--checkpoint', help='weights whose teacher makes the pseudo-labels')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='override settings of the config')
    return parser.parse_args(argv)


class Stream:
    """One stream of a config, read in the order of training.

    Args:
        name: Its name.
        loader: Config of its dataloader.
        seed: Seed of the run.
    """

    def __init__(self, name: str, loader: dict, seed: int) -> None:
        self.batch_size = loader.get('batch_size', 1)
        self.dataset = DATASETS.build(dict(type='SeededDataset', dataset=copy.deepcopy(loader['dataset'])))
        sampler = dict(loader.get('sampler') or dict(type='StatefulInfiniteSampler'))
        self.sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=self.dataset,
                                                                      seed=stream_seed(seed, name)))

    def batch(self, iteration: int) -> list[dict]:
        """The packed samples (``inputs`` and ``data_samples``) of an iteration, as training draws them."""
        self.sampler.set_position(iteration * self.batch_size)
        requests = iter(self.sampler)  # endless; what the dataset takes in the place of an index
        return [self.dataset[next(requests)] for _ in range(self.batch_size)]


def build_method(cfg: Config, checkpoint: Optional[str]) -> Any:
    """The config's method; without a checkpoint its networks take no memory and have no values.

    Raises:
        ValueError: The checkpoint lacks tensors of the method.
    """
    model = without_pretrained(cfg.model)
    if checkpoint is None:
        with torch.device('meta'):
            method = MODELS.build(model)
        # this part is used, and needs its mean and std
        method.data_preprocessor = MODELS.build(model['data_preprocessor'])
        return method
    method = MODELS.build(model)
    state = _load_checkpoint(checkpoint, map_location='cpu')
    missing = method.load_state_dict(state.get('state_dict', state), strict=False).missing_keys
    if missing:
        raise ValueError(f'{checkpoint} lacks {len(missing)} tensors of the model, e.g. {missing[:3]}: give the '
                         'config it was trained with')
    return method.train()


def mixed_picture(method: Any, batch: dict[str, list[dict]], palette: Any, context: StepContext, trained: bool,
                  tile: int):
    """Picture of the mixed images, labels and weights that the method makes of one iteration's batch.

    Args:
        method: Of :func:`build_method`.
        batch: Packed samples by stream (:meth:`Stream.batch`).
        palette: RGB per class.
        context: The iteration, from which the method's random decisions follow.
        trained: The method has weights; otherwise its pseudo-labels are shown as unknown.
        tile: Longest side of one picture in pixels.
    """
    data = method.data_preprocessor({name: pseudo_collate(samples) for name, samples in batch.items()}, True)
    # the seed that training derives for the draws of this iteration
    draws = method.draw_step(data, StepGenerator(context.derive('draws', 0)))
    state = mixed_state(method, data, draws, trained)
    mean, std = (x.flatten().tolist() for x in (method.data_preprocessor.mean, method.data_preprocessor.std))
    return mixed_grid(data, state, mean, std, palette, tile, trained)


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parse_args(argv)
    cfg = read_config_file(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg['custom_imports'])
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    loaders = loaders_by_name(training_loaders(cfg), 'train')
    names = args.streams or list(loaders)
    unknown = [name for name in names if name not in loaders]
    if unknown or not names:
        sys.exit(f'{args.config}: no stream {unknown}; it has {list(loaders)}')
    seed = args.seed if args.seed is not None else (cfg.get('randomness') or {}).get('seed') or 0
    streams = {name: Stream(name, loaders[name], seed) for name in names}
    meta = next(iter(streams.values())).dataset.metainfo
    classes, palette = meta.get('classes') or (), meta.get('palette') or []
    for name, stream in streams.items():
        count = -(-args.num // stream.batch_size)  # iterations, rounded up
        samples = [s for k in range(count) for s in stream.batch(args.iteration + k)][:args.num]
        save_picture(stream_grid(samples, palette, classes, args.tile), osp.join(args.out, f'{name}.png'))
    if palette:
        save_picture(legend(classes, palette), osp.join(args.out, 'legend.png'))
    draw_mixed(args, cfg, streams, palette, seed)
    print(f'pictures of {", ".join(names)} in {args.out}')
    return 0


def draw_mixed(args: argparse.Namespace, cfg: Config, streams: dict[str, Stream], palette: Any, seed: int) -> None:
    """Write ``mixed_<iteration>.png`` (or ``strong_...``) for enough iterations to show ``--num`` images.

    Nothing is written where the method neither mixes (``mix_batch``) nor makes strong views
    (``strong_batch``), or one of its streams was not asked for.
    """
    kind = MODELS.get((cfg.get('model') or {}).get('type', ''))
    if not hasattr(kind, 'mix_batch') and not hasattr(kind, 'strong_batch'):
        return
    method = build_method(cfg, args.checkpoint)
    if not set(method.streams) <= set(streams):
        return
    if hasattr(kind, 'strong_batch'):
        draw_strong(args, method, streams, seed)
        return
    size = streams[method.streams[0]].batch_size
    for iteration in range(args.iteration, args.iteration + -(-args.num // size)):
        batch = {name: streams[name].batch(iteration) for name in method.streams}
        picture = mixed_picture(method, batch, palette, StepContext(seed, 0, iteration), args.checkpoint is not None,
                                args.tile)
        save_picture(picture, osp.join(args.out, f'mixed_{iteration}.png'))


def draw_strong(args: argparse.Namespace, method: Any, streams: dict[str, Stream], seed: int) -> None:
    """Write ``strong_<iteration>.png``: weak and strong views of the unlabeled images as the method makes them."""
    size = streams[method.unlabeled_stream].batch_size
    mean, std = (x.flatten().tolist() for x in (method.data_preprocessor.mean, method.data_preprocessor.std))
    for iteration in range(args.iteration, args.iteration + -(-args.num // size)):
        batch = {name: pseudo_collate(streams[name].batch(iteration)) for name in method.streams}
        data = method.data_preprocessor(batch, True)
        draws = method.draw_step(data, StepGenerator(StepContext(seed, 0, iteration).derive('draws', 0)))
        weak = data[method.unlabeled_stream]['inputs']
        picture = strong_grid(weak, method.strong_batch(data, draws), draws.boxes, mean, std, args.tile)
        save_picture(picture, osp.join(args.out, f'strong_{iteration}.png'))


if __name__ == '__main__':
    run_tool(main)
