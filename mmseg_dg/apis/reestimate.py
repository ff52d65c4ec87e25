"""BatchNorm statistics of a trained model estimated anew on images of another domain: a control
without training.

Shapes: B images, H x W pixels.
"""
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmseg_dg.datasets.checks import build_checked
from mmseg_dg.models.norm_statistics import estimate_statistics
from mmseg_dg.utils.console import Progress
from mmseg_dg.utils.loaders import loaders_by_name
from mmseg_dg.utils.modules import evaluated_network
from mmseg_dg.utils.seeding import derive_seed

from .inference import load_model
from .launch import ConfigLike, read_config
from .prediction import prediction_steps


def reestimate_statistics(config: ConfigLike, checkpoint: str, out: Union[str, Path],
                          stream: str = 'target', images: int = 200, batch_size: int = 8,
                          seed: int = 0, device: Union[str, torch.device,
                                                       None] = None) -> nn.Module:
    """Load a checkpoint, estimate the BatchNorm statistics of the judged network on images, and
    save the result.

    The images are those of a training stream, whole and as the test pipeline prepares them; labels
    are not read.

    Args:
        config: File or config; its ``train_dataloader[stream].dataset`` names the images.
        checkpoint: As :func:`mmseg_dg.apis.inference.load_model`.
        out: The new checkpoint, a plain segmentor (``backbone.*``, ``decode_head.*``), written as
            one file.
        stream: Name of a training stream.
        images: How many images at most, drawn by ``seed`` without replacement.
        batch_size: Images at once; their statistics are what one batch normalizes with while they
            are collected.
        seed: Of the choice.
        device: None takes a GPU if there is one.

    Returns:
        The method or segmentor with the new statistics.

    Raises:
        ValueError: Unknown stream, bad numbers, images of different sizes within a batch, or no
            BatchNorm layers.
    """
    cfg = read_config(config)
    if stream not in cfg.train_dataloader:
        raise ValueError(f'stream={stream!r} is none of {sorted(cfg.train_dataloader)} of '
                         f'{cfg.filename}')
    if images < 1 or batch_size < 1:
        raise ValueError(f'images={images} and batch_size={batch_size} must be positive')
    model = load_model(cfg, checkpoint, device)
    network = evaluated_network(model)
    count = estimate_statistics(network, _batches(model, cfg, stream, images, batch_size, seed))
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=network.state_dict(), meta=dict(statistics_of=stream, images=count)),
               out)
    return model


def _batches(model: BaseModel, cfg: Any, stream: str, images: int, batch_size: int,
             seed: int) -> Iterator[Tensor]:
    """Batches of images (B, 3, H, W) of a stream, drawn by ``seed``, prepared as for a test and
    normalized; ValueError for different sizes in one batch.
    """
    # no pipeline: only paths are asked for, images are loaded as in a test
    dataset = build_checked(dict(cfg.train_dataloader[stream]['dataset'], pipeline=[]))
    dataset.full_init()
    pipeline = Compose([dict(type='LoadImageFromFile'), *_test_transforms(cfg)])
    random = np.random.RandomState(derive_seed(seed, 'statistics') % 2**32)
    chosen = random.permutation(len(dataset))[:images]
    progress = Progress('re-estimating statistics', len(chosen))
    for start in range(0, len(chosen), batch_size):
        samples = [
            pipeline(dict(img_path=dataset.get_data_info(int(i))['img_path']))
            for i in chosen[start:start + batch_size]
        ]
        sizes = {tuple(sample['inputs'].shape[-2:]) for sample in samples}
        if len(sizes) > 1:
            raise ValueError(f'images of stream "{stream}" have different sizes, e.g. '
                             f'{sorted(sizes)[:2]} (height, width): use batch_size=1, or a Resize '
                             'in the test pipeline')
        data = dict(inputs=[sample['inputs'] for sample in samples],
                    data_samples=[sample['data_samples'] for sample in samples])
        yield model.data_preprocessor(data, False)['inputs']
        progress.update(len(samples))


def _test_transforms(cfg: Any) -> list:
    """Configs of the steps that prepare an image which is already loaded: those of the first test
    domain, or without a test domain those that prediction takes, without the steps that load an
    image or a label.
    """
    loaders = list(loaders_by_name(cfg.get('test_dataloader')).values())
    steps = loaders[0]['dataset']['pipeline'] if loaders else prediction_steps(cfg)
    return [
        t for t in steps if 'Annotations' not in t['type'] and not t['type'].startswith('LoadImage')
    ]
