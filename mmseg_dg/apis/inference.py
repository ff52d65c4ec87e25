"""What a user calls from Python: build a run, train it, load a trained model, predict.

Shapes: H x W pixels.
"""
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_state_dict
from mmseg.models.segmentors import BaseSegmentor
from torch import nn

from mmseg_dg.datasets.traits import traits
from mmseg_dg.engine.loops.multi_domain import predicted_classes
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.finite_state import refuse_nonfinite
from mmseg_dg.utils.modules import evaluated_network, unwrapped
from mmseg_dg.weights.shipped import PREFIX

from .inputs import Input, list_inputs
from .launch import ConfigLike, build_runner, config_of_run, read_config, set_resume
from .prediction import Observer, PredictionPipeline, dataset_meta, predict_batch


def adapt(config: ConfigLike, work_dir: Optional[str] = None, options: Optional[dict[str,
                                                                                     Any]] = None,
          *, resume: bool = False, overwrite: bool = False) -> nn.Module:
    """Train a config and return the trained method in evaluation mode.

    A work dir that holds the checkpoints of a run is not written to unless one of the last two
    arguments says so.

    Args:
        config: As :func:`build_runner`.
        work_dir: As :func:`build_runner`.
        options: As :func:`build_runner`.
        resume: Go on from the newest readable checkpoint of the work dir; where there is none,
            begin.
        overwrite: Remove the checkpoints that lie in the work dir, and begin again.

    Raises:
        FileExistsError: The work dir holds checkpoints.
        BlockingIOError: Another run works in it.
    """
    if resume and overwrite:
        raise ValueError('overwrite=True begins again and resume=True goes on: give one of them')
    cfg = config_of_run(config, work_dir, options)
    # 'auto': from the work dir, not from load_from
    set_resume(cfg, 'auto' if resume else None, overwrite=overwrite)
    runner = build_runner(cfg)
    runner.train()
    # classes and palette that the training data have; without any, those of the config
    meta = traits(runner.train_loop.dataloader.dataset).metainfo or None
    return _for_prediction(runner.model, runner.cfg, meta)


def load_model(config: ConfigLike, checkpoint: Optional[str] = None,
               device: Union[str, torch.device, None] = None) -> nn.Module:
    """A trained model ready for :func:`predict`.

    Args:
        config: As :func:`build_runner`; its ``model`` is built without looking for pretrained
            weights.
        checkpoint: File written by a run of this config, or a plain segmentor (backbone.*,
            decode_head.*), which fills the network that predicts; ``mmseg_dg://NAME`` for weights
            of the package; None leaves random weights.
        device: None takes a GPU if there is one.

    Returns:
        The model in evaluation mode, with its config in ``cfg`` and ``classes`` and ``palette`` of
        its classes in ``dataset_meta`` (those saved in the checkpoint, else of the config's
        datasets; None where neither has them).

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint holds no network of this method, or NaN or infinite numbers.
        RuntimeError: Its network is another one (names or shapes differ).
    """
    cfg = read_config(config)
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    model, meta = MODELS.build(cfg.model), None
    if checkpoint is not None:
        if not str(checkpoint).startswith(PREFIX) and not Path(checkpoint).is_file():
            raise FileNotFoundError(f'no checkpoint at {checkpoint}')
        state = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
        refuse_nonfinite(state, str(checkpoint))
        # a plain segmentor fills the network that predicts, not the method around it, whose keys
        # begin with the names of its networks (student., teacher.)
        weights = state.get('state_dict', state)
        plain = any(key.startswith('backbone.') for key in weights)
        load_state_dict(evaluated_network(model) if plain else model, weights, strict=True)
        meta = (state.get('meta') or {}).get('dataset_meta')
    model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    return _for_prediction(model, cfg, meta)


def predict(model: nn.Module, inputs: Any, batch_size: int = 1, confidence: bool = False) -> Any:
    """Segment images as ``tools/test.py`` does, with the test pipeline of the model's config.

    Args:
        model: Result of :func:`load_model` or :func:`adapt`.
        inputs: One image or several, of any sizes: paths, folders (their images at any depth,
            sorted), patterns (``'photos/**/*.jpg'``, sorted), Pillow images, arrays. Arrays are
            uint8 (H, W, 3) in BGR order as OpenCV reads them, or gray, uint16 or floating-point
            numbers in 0..1 by the rules of :func:`mmseg_dg.apis.inputs.to_bgr`; files by those of
            :class:`mmseg_dg.datasets.transforms.LoadImageFromFile`.
        batch_size: Images that go through the network together, where they have one size.
        confidence: Also give the probability of the predicted class.

    Returns:
        Class ids, int64 (H, W) at the image's own size; with ``confidence`` a
        :class:`~mmseg_dg.apis.prediction.Prediction` ``(ids, confidence)``. A list of them for a
        folder, a pattern or several inputs, in the order of
        :func:`~mmseg_dg.apis.inputs.list_inputs`.

        A config without a test domain takes its validation domain's pipeline, or else loading and
        fixed sizes of its training pipeline (see
        :class:`~mmseg_dg.apis.prediction.PredictionPipeline`). A test pipeline that scores in a
        frame (``CenterCropPad``) is used without it, so that the result has the image's size.

    Raises:
        FileNotFoundError: No such image or folder, or nothing fits a pattern.
        TypeError: The model has no config, or an input is nothing of the above.
        ValueError: ``batch_size`` below 1; an image that cannot be read, is empty, too small for
            the network, or of a type or shape that is not taken. The message names it.
    """
    found, single = list_inputs(inputs)
    results = [result for _, result in iter_predict(model, found, batch_size, confidence)]
    return results[0] if single else results


def iter_predict(model: nn.Module, inputs: Any, batch_size: int = 1, confidence: bool = False,
                 observe: Optional[Observer] = None) -> Iterator[tuple[Input, Any]]:
    """Predict one image after the other (see :func:`predict`): for more than fit into memory.

    Args:
        model: As :func:`predict`.
        inputs: As :func:`predict`, or the list of :func:`~mmseg_dg.apis.inputs.list_inputs`.
        batch_size: As :func:`predict`.
        confidence: As :func:`predict`.
        observe: Called with the images, the batch made of them and the network's samples, before
            they are yielded.

    Yields:
        The image (its ``name`` and path ``below`` the given folder) and its prediction.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f'batch_size counts images, at least 1, got {batch_size!r}')
    # ``cfg`` is set by _for_prediction; vars: a plain attribute, no submodule of that name
    if not isinstance(model, BaseModel) or 'cfg' not in vars(model):
        raise TypeError('predict needs a model with its config, as load_model and adapt give it, '
                        f'not a bare {type(model).__name__}')
    items = inputs if _are_listed(inputs) else list_inputs(inputs)[0]
    pipeline = PredictionPipeline(model.cfg)
    training = model.training
    model.eval()
    try:
        for start in range(0, len(items), batch_size):
            group = items[start:start + batch_size]
            yield from zip(group, predict_batch(model, group, pipeline, confidence, observe))
    finally:
        model.train(training)


def _are_listed(inputs: Any) -> bool:
    """Whether the inputs are a list of :class:`Input`, as :func:`list_inputs` gives it."""
    return isinstance(inputs, list) and bool(inputs) and all(
        isinstance(item, Input) for item in inputs)


def _for_prediction(model: BaseSegmentor, cfg: Config, meta: Optional[dict]) -> BaseSegmentor:
    """A model made ready for :func:`iter_predict`, in place: evaluation mode, ``cfg``, and
    ``dataset_meta`` as mmseg's inference expects.

    Args:
        model: Perhaps in the wrapper of a distributed run, which is taken off.
        cfg: Its config.
        meta: ``dict(classes=..., palette=...)``; None or without classes: those of the first
            dataset of the config that has as many classes as the network.

    Returns:
        The model without a wrapper.
    """
    model = unwrapped(model)
    model.cfg = cfg
    model.dataset_meta = dict(meta) if meta and meta.get('classes') else dataset_meta(
        cfg, predicted_classes(model))
    model.eval()
    return model
