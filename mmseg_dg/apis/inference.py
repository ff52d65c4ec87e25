"""What a user calls from Python: build a run, train it, load a trained model, predict."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmseg_dg.registry import MODELS, RUNNERS

ConfigLike = Union[str, Path, Config]


def build_runner(config: ConfigLike, work_dir: Optional[str] = None,
                 options: Optional[dict[str, Any]] = None) -> Runner:
    """The runner a config describes.

    Args:
        config: File (``mmseg_dg::daformer/...`` works inside configs) or :class:`mmengine.config.Config`.
        work_dir: Where logs and checkpoints go; None keeps the config's, or ``work_dirs/<config name>``.
        options: Dotted settings to override, as ``--cfg-options`` does, e.g. ``{'train_cfg.max_iters': 100}``.
    """
    cfg = _config(config)
    if options:
        cfg.merge_from_dict(options)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(cfg.filename or 'run').stem)
    return RUNNERS.build(cfg) if cfg.get('runner_type') else Runner.from_cfg(cfg)


def adapt(config: ConfigLike, work_dir: Optional[str] = None, options: Optional[dict[str, Any]] = None) -> nn.Module:
    """Train a config and return the trained method in evaluation mode.

    Args:
        config: As :func:`build_runner`.
        work_dir: As :func:`build_runner`.
        options: As :func:`build_runner`.
    """
    runner = build_runner(config, work_dir, options)
    runner.train()
    return _for_prediction(runner.model, runner.cfg)


def load_model(config: ConfigLike, checkpoint: Optional[str] = None,
               device: Union[str, torch.device, None] = None) -> nn.Module:
    """A trained model ready for :func:`predict`.

    Args:
        config: As :func:`build_runner`; its ``model`` is built without looking for pretrained weights.
        checkpoint: File written by a run of this config, or a plain segmentor (backbone.*, decode_head.*), which fills
            the network that predicts; None leaves random weights.
        device: None takes a GPU if there is one.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint holds no network of this method.
        RuntimeError: Its network is another one (names or shapes differ).
    """
    cfg = _config(config)
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    model = MODELS.build(cfg.model)
    if checkpoint is not None:
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(f'no checkpoint at {checkpoint}')
        state = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
        plain = any(k.startswith('backbone.') for k in state.get('state_dict', state))
        load_state_dict(getattr(model, 'evaluated_network', model) if plain else model, state.get('state_dict', state),
                        strict=True)
    model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    return _for_prediction(model, cfg)


@torch.no_grad()
def predict(model: nn.Module, images: Union[str, Path, np.ndarray, Sequence[Union[str, Path, np.ndarray]]]
            ) -> Union[np.ndarray, list[np.ndarray]]:
    """Segment images with the test pipeline of the model's config.

    Args:
        model: Result of :func:`load_model` or :func:`adapt`.
        images: One image or several: paths, or uint8 arrays (H, W, 3) in BGR order as OpenCV reads them.

    Returns:
        Class ids, int64 (H, W) at the image's own size; a list for a list.

    Raises:
        FileNotFoundError: No such image.
    """
    single = isinstance(images, (str, Path, np.ndarray))
    results = []
    for image in [images] if single else images:
        array = isinstance(image, np.ndarray)
        if not array and not Path(image).is_file():
            raise FileNotFoundError(f'no image at {image}')
        sample = Compose(_pipeline(model.cfg, array))(dict(img=image) if array else dict(img_path=str(image)))
        outputs = model.test_step(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))
        results.append(outputs[0].pred_sem_seg.data.squeeze(0).cpu().numpy())
    return results[0] if single else results


def _config(config: ConfigLike) -> Config:
    return config.copy() if isinstance(config, Config) else Config.fromfile(config)


def _for_prediction(model: nn.Module, cfg: Config) -> nn.Module:
    model = getattr(model, 'module', model)
    model.cfg = cfg
    model.eval()
    return model


def _pipeline(cfg: Config, array: bool) -> list:
    """The transforms of the first test domain, without those that read labels."""
    loader = cfg.test_dataloader
    loader = loader if 'dataset' in loader else next(x for x in loader.values() if x is not None)
    steps = [t for t in loader['dataset']['pipeline'] if 'Annotations' not in t['type']]
    if array:
        steps = [dict(t, type='LoadImageFromNDArray') if t['type'] == 'LoadImageFromFile' else t for t in steps]
    return steps
