"""BatchNorm statistics of a trained model estimated anew on images of another domain: a control
without training.

Shapes: B images, H x W pixels.
"""
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmseg_dg.datasets.checks import build_checked
from mmseg_dg.models.norm_statistics import estimate_statistics
from mmseg_dg.utils.console import Progress
from mmseg_dg.utils.modules import evaluated_network
from mmseg_dg.utils.seeding import derive_seed

from .inference import load_model
from .inputs import Input
from .launch import ConfigLike, read_config
from .prediction import PredictionPipeline


def reestimate_statistics(config: ConfigLike, checkpoint: str, out: Union[str, Path],
                          stream: str = 'target', images: int = 200, batch_size: int = 8,
                          seed: int = 0, device: Union[str, torch.device,
                                                       None] = None) -> nn.Module:
    """Load a checkpoint, estimate the BatchNorm statistics of the judged network on images, and
    save the result.

    The images are those of a training stream, whole, loaded and prepared as for a prediction
    (:class:`~mmseg_dg.apis.prediction.PredictionPipeline`); labels are not read.

    Args:
        config: File or config; its ``train_dataloader[stream].dataset`` names the images.
        checkpoint: As :func:`mmseg_dg.apis.inference.load_model`.
        out: The new checkpoint, a plain segmentor (``backbone.*``, ``decode_head.*``), written as
            one file.
        stream: Name of a training stream.
        images: How many images at most, drawn by ``seed`` without replacement.
        batch_size: Images at once; their statistics are what one batch normalizes with while they
            are collected. A single image is never left over for the last batch
            (:func:`batch_bounds`).
        seed: Of the choice.
        device: None takes a GPU if there is one.

    Returns:
        The method or segmentor with the new statistics.

    Raises:
        ValueError: Unknown stream, bad numbers, images of different sizes within a batch, no
            BatchNorm layers, or batches of one image where a BatchNorm layer is behind global
            pooling.
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
    pipeline = PredictionPipeline(cfg)
    random = np.random.RandomState(derive_seed(seed, 'statistics') % 2**32)
    chosen = random.permutation(len(dataset))[:images]
    progress = Progress('re-estimating statistics', len(chosen))
    for start, end in batch_bounds(len(chosen), batch_size):
        paths = [dataset.get_data_info(int(i))['img_path'] for i in chosen[start:end]]
        samples = [pipeline(Input(path, path)) for path in paths]
        sizes = {tuple(sample['inputs'].shape[-2:]) for sample in samples}
        if len(sizes) > 1:
            raise ValueError(f'images of stream "{stream}" have different sizes, e.g. '
                             f'{sorted(sizes)[:2]} (height, width): use batch_size=1, or a Resize '
                             'in the test pipeline')
        data = dict(inputs=[sample['inputs'] for sample in samples],
                    data_samples=[sample['data_samples'] for sample in samples])
        yield model.data_preprocessor(data, False)['inputs']
        progress.update(len(samples))


def batch_bounds(images: int, batch_size: int) -> list[tuple[int, int]]:
    """First and one past the last image of each batch.

    All have ``batch_size`` images but the last, which has what is left. One image alone would have
    no variance behind global pooling: it gets a second one of the batch before, or joins it where
    that has two.
    """
    starts = list(range(0, images, batch_size))
    if batch_size > 1 and len(starts) > 1 and images - starts[-1] == 1:
        if batch_size > 2:
            starts[-1] -= 1
        else:
            starts.pop()
    return list(zip(starts, [*starts[1:], images]))
