"""Draws images of one test domain with their labels and the predictions of several checkpoints.

Example::

    python tools/analysis_tools/picture_grid.py grid.png --domain camera \\
        --config configs/demo/daformer_synthcity_demo.py \\
        --checkpoints source-only=work_dirs/source/iter_2000.pth adapted=work_dirs/daformer/iter_2000.pth --num 4

All checkpoints are loaded into the model of the one config; they must have its network.
"""
import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import mmcv
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint

import mmseg_dg  # noqa: F401  prepares the library stack before mmseg is imported
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.registry import DATASETS, MODELS
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.visualization import prediction_grid, save_picture


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='picture to write (.png or .jpg)')
    parser.add_argument('--config', required=True, help='config with the model and test_dataloader')
    parser.add_argument('--domain', help='name in test_dataloader; may be left out when there is only one')
    parser.add_argument('--checkpoints', nargs='+', required=True, metavar='NAME=PATH', help='one column each')
    parser.add_argument('--num', type=int, default=4, help='number of images, evenly spaced over the domain')
    parser.add_argument('--indices', type=int, nargs='+', help='indices of the images, instead of --num')
    parser.add_argument('--tile', type=int, default=384, help='longest side of one picture in pixels')
    parser.add_argument('--predictions-only', action='store_true',
                        help='no images and labels: for data whose license forbids passing them on')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value overrides of the config')
    return parser.parse_args(argv)


def named_checkpoints(entries: Sequence[str]) -> dict[str, str]:
    """``['a=x.pth', ...]`` as ``{'a': 'x.pth', ...}``, in order; ValueError for another form."""
    pairs = [entry.partition('=') for entry in entries]
    bad = [entry for entry, (name, sign, path) in zip(entries, pairs) if not (name and sign and path)]
    if bad:
        raise ValueError(f'--checkpoints takes NAME=PATH, not {bad}')
    return {name: path for name, _, path in pairs}


def domain_config(cfg: Config, domain: Optional[str]) -> tuple[dict, Optional[Any]]:
    """Dataset config of a test domain and the config of its metric.

    Raises:
        ValueError: The domain is not in the config, or several are and none was named.
    """
    loaders, evaluator = cfg.test_dataloader, cfg.get('test_evaluator')
    if 'dataset' in loaders:  # one dataloader, without a name
        return loaders.dataset, evaluator
    if domain is None and len(loaders) == 1:
        domain = next(iter(loaders))
    if domain not in loaders:
        raise ValueError(f'--domain {domain} is not a test domain of {cfg.filename}: use one of {list(loaders)}')
    if isinstance(evaluator, Mapping) and 'type' not in evaluator:  # one for each domain
        evaluator = evaluator.get(domain)
    return loaders[domain].dataset, evaluator


def display_table(evaluator: Optional[Any], num_classes: int) -> np.ndarray:
    """Class id that stands for each class in the picture: where the metric joins classes, they share one color.

    Args:
        evaluator: Config of the domain's metric (or a list of them); its ``label_map`` has the
            scored class of each class.
        num_classes: Of the network.

    Returns:
        (256,): id -> id to draw; 255 (no label) stays.
    """
    table = np.arange(256)
    entries = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    label_map = next((e.get('label_map') for e in entries if isinstance(e, Mapping) and e.get('label_map')), None)
    if label_map is None or isinstance(label_map, Mapping) or len(label_map) != num_classes:
        return table
    # scored class -> the first class that is joined to it
    first = {scored: i for i, scored in reversed(list(enumerate(label_map)))}
    # a class that is not scored is black, like pixels without a label
    table[:num_classes] = [first[scored] if 0 <= scored < 255 else 255 for scored in label_map]
    return table


def load_model(cfg: Config, path: str, device: str) -> torch.nn.Module:
    """The config's model with the weights of a checkpoint, in evaluation mode.

    Raises:
        ValueError: Weights of the evaluated network are missing in the file.
    """
    model = MODELS.build(cfg.model)
    checkpoint = _load_checkpoint(path, map_location='cpu')
    missing = set(model.load_state_dict(checkpoint.get('state_dict', checkpoint), strict=False).missing_keys)
    # tensors are compared by identity: the network's own names differ from the method's
    network = getattr(model, 'evaluated_network', model)
    judged = {id(tensor) for tensor in network.state_dict(keep_vars=True).values()}
    lost = [key for key, tensor in model.state_dict(keep_vars=True).items() if key in missing and id(tensor) in judged]
    if lost:
        raise ValueError(f'{path} lacks {len(lost)} tensors of the network of {cfg.filename}, e.g. {lost[:3]}: give '
                         'the config the checkpoint was trained with')
    model.to(device)
    model.eval()
    return model


def predict(model: torch.nn.Module, samples: Sequence[dict]) -> list[np.ndarray]:
    """Predicted ids (H, W) of each sample, one image at a time."""
    with torch.no_grad():
        outputs = [model.test_step(pseudo_collate([sample]))[0] for sample in samples]
    return [output.pred_sem_seg.data[0].cpu().numpy() for output in outputs]


def label_of(sample: dict) -> Optional[np.ndarray]:
    """Ground truth ids (H, W) of a sample, 255 ignored; None without any."""
    annotation = sample['data_samples']
    return annotation.gt_sem_seg.data[0].numpy() if 'gt_sem_seg' in annotation else None


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    checkpoints = named_checkpoints(args.checkpoints)
    cfg = read_config_file(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    dataset_cfg, evaluator = domain_config(cfg, args.domain)
    dataset = DATASETS.build(dataset_cfg)
    indices = args.indices or np.linspace(0, len(dataset) - 1, min(args.num, len(dataset))).round().astype(int)
    samples = [dataset[int(i)] for i in indices]
    images = [mmcv.imread(s['data_samples'].img_path, channel_order='rgb') for s in samples]
    table = display_table(evaluator, len(dataset.metainfo['classes']))
    labels = [None if (ids := label_of(s)) is None else table[ids] for s in samples]
    predictions = {}
    for name, path in checkpoints.items():
        model = load_model(cfg, path, args.device)
        predictions[name] = [table[ids] for ids in predict(model, samples)]
    grid = prediction_grid(images, None if all(x is None for x in labels) else labels, predictions,
                           dataset.metainfo['palette'], args.tile, inputs=not args.predictions_only)
    save_picture(grid, args.out)


if __name__ == '__main__':
    run_tool(main)
