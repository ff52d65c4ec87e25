"""How images reach a trained network: the steps of its config, single images, batches, results.

Shapes: C classes, H x W pixels.
"""
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple, Optional, Union

import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmengine.config import Config
from mmseg.models.segmentors import BaseSegmentor
from torch import nn

from mmseg_dg.datasets.doctor.streams import entries
from mmseg_dg.datasets.transforms.load_stack import LoadImageStack
from mmseg_dg.registry import DATASETS, TRANSFORMS
from mmseg_dg.utils.modules import evaluated_network

from .inputs import Input, to_bgr

#: Steps of a training pipeline that are no augmentation: an image is predicted as it was trained.
_FIXED_STEPS = ('Resize', 'ResizeToHeight', 'Normalize')
#: Steps after which a score is taken in a frame that is not the image's own.
_FRAMES = ('CenterCropPad', )
#: Sees images, the batch that was made of them, and what the network gave.
Observer = Callable[[Sequence[Input], dict, Sequence], None]


class Prediction(NamedTuple):
    """What is predicted for one image of H x W pixels.

    Attributes:
        ids: int64 (H, W), number of the class of each pixel.
        confidence: float32 (H, W) in 0..1, probability of that class as the network sees it
            (softmax of its logits; with one output channel the sigmoid's).
    """
    ids: np.ndarray
    confidence: np.ndarray


class PredictionPipeline:
    """The steps of a config that turn one image into what its network reads.

    They are those of the first test domain, else of the first validation domain, without loading
    labels and without :class:`CenterCropPad`, which scores in a frame instead of the image. A
    config with neither takes the training pipeline of its ``target`` (else first) stream without
    augmentation: loading, fixed sizes (``Resize``), packing. The normalization is the model's in
    each case.

    Args:
        cfg: The model's config.

    Raises:
        ValueError: The config names no dataset with a pipeline.
    """
    def __init__(self, cfg: Config) -> None:
        # the scope is named, so that another library's default scope in this process does not
        # matter
        steps = [
            TRANSFORMS.build(dict(dict(_scope_='mmseg_dg'), **step))
            for step in prediction_steps(cfg)
        ]
        # for each step whether it loads the image; the class of a subclass may have any name
        loads = [
            isinstance(step, MMCVLoadImageFromFile) or type(step).__name__.startswith('LoadImage')
            for step in steps
        ]
        if not any(loads):
            raise ValueError('the test pipeline has no step that loads images (LoadImageFromFile)')
        self.loader = steps[loads.index(True)]
        self.steps = [step for step, load in zip(steps, loads) if not load]

    def __call__(self, item: Input) -> dict[str, Any]:
        """Prepare one image for ``test_step``.

        Returns:
            ``inputs``, uint8 as a rule, (3, h, w) or with the channels of a stack, and
            ``data_samples``, a ``SegDataSample``.

        Raises:
            ValueError: The image cannot be read or is not of a kind that is taken.
        """
        if item.is_file:
            results = self.loader(dict(img_path=item.value))
        # an array: stacks have any number of channels, other images become BGR of 8 bits
        elif isinstance(self.loader, LoadImageStack):
            results = self.loader.from_array(item.value, item.name)
        else:
            image = to_bgr(item, getattr(self.loader, 'bit_depth', None))
            if getattr(self.loader, 'to_float32', False):
                image = image.astype(np.float32)
            # the keys that a loading step sets
            results = dict(img=image, img_path=None, img_shape=image.shape[:2],
                           ori_shape=image.shape[:2])
        for step in self.steps:
            results = step(results)
            if results is None:
                raise ValueError(f'{item.name}: {type(step).__name__} of the pipeline gave nothing')
        return results


def prediction_steps(cfg: Config) -> list[dict]:
    """Configs of the steps from a file to the network's input.

    Those of the first test domain, else of the first validation domain; a config without either
    gives the loading and fixed steps of its training pipeline (of the target's, if there is one).
    """
    # datasets of the config: ``stream`` is train/NAME, val/NAME or test/NAME, ``config`` its dict
    found = [entry for entry in entries(cfg) if entry.config.get('pipeline')]
    for role in ('test', 'val'):
        loaders = cfg.get(f'{role}_dataloader')
        # empty for the test where its loader equals that of the validation, which ``entries`` then
        # leaves out: the validation's steps, taken next, are the same
        chosen = [entry for entry in found if entry.stream.split('/')[0] == role] if loaders else []
        if chosen:
            return [dict(step) for step in chosen[0].config['pipeline'] if not _is_left_out(step)]
    train = [entry for entry in found if entry.trains]
    if not train:
        raise ValueError('the config has no test_dataloader, val_dataloader or train_dataloader '
                         'with a pipeline, so that it is not known how images are loaded: give it '
                         'a test_dataloader')
    adapted_to = next((entry for entry in train if entry.stream == 'train/target'), train[0])
    steps = [
        dict(step) for step in adapted_to.config['pipeline'] if isinstance(step, dict) and (
            _kind(step).startswith('LoadImage') or _kind(step) in _FIXED_STEPS)
    ]
    return [*steps, dict(type='PackSegInputs')]


def _kind(step: dict) -> str:
    """The bare name of a step's class, without a scope (``mmseg_dg.``) or module; ``type`` may be
    the class itself.
    """
    kind = step['type']
    return kind.split('.')[-1] if isinstance(kind, str) else kind.__name__


def _is_left_out(step: Any) -> bool:
    """Whether a step of a test pipeline is not used to predict: it loads labels (LoadAnnotations),
    or cuts the image to the frame of a score.
    """
    return isinstance(step, dict) and ('Annotations' in _kind(step) or _kind(step) in _FRAMES)


@torch.no_grad()
def predict_batch(model: BaseSegmentor, items: Sequence[Input], pipeline: PredictionPipeline,
                  confidence: bool,
                  observe: Optional[Observer] = None) -> Iterator[Union[np.ndarray, Prediction]]:
    """Results of some images, in order; those that the pipeline gives one size go through the
    network together.

    Args:
        model: In evaluation mode.
        items: The images.
        pipeline: Of the model's config.
        confidence: Whether each result is a ``Prediction`` instead of class ids (H, W).
        observe: Called with the images, the batch and the network's samples of each group of equal
            size.

    Yields:
        Of each image class ids int64 (H, W), or a ``Prediction``.

    Raises:
        ValueError: The network cannot read an image; the message names the first of its group.
    """
    samples = [pipeline(item) for item in items]
    by_size: dict[tuple, list[int]] = {}  # shape of the input -> places in ``items``
    for index, sample in enumerate(samples):
        by_size.setdefault(tuple(sample['inputs'].shape), []).append(index)
    results: list[Any] = [None] * len(items)
    for size, indices in by_size.items():
        batch = dict(inputs=[samples[i]['inputs'] for i in indices],
                     data_samples=[samples[i]['data_samples'] for i in indices])
        try:
            outputs = model.test_step(batch)
        except torch.cuda.OutOfMemoryError:  # a RuntimeError that is no fault of the image
            raise
        except (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
            raise ValueError(
                f'{items[indices[0]].name}: the network cannot read an image of '
                f'{size[2]}x{size[1]} (width x height, '
                f'{samples[indices[0]]["inputs"].dtype} {tuple(size)}): {error}') from error
        if observe is not None:
            observe([items[i] for i in indices], batch, outputs)
        for index, output in zip(indices, outputs):
            results[index] = _result(output, evaluated_network(model), confidence)
    yield from results


def _result(output: Any, network: nn.Module, confidence: bool) -> Union[np.ndarray, Prediction]:
    """The result for one image.

    Args:
        output: mmseg's sample: ``pred_sem_seg`` (1, H, W) and perhaps ``seg_logits`` (C, H, W), at
            the image's own size.
        network: That gave it, for messages.
        confidence: Whether the probabilities are asked for, which needs the logits.

    Returns:
        Class ids int64 (H, W), or with ``confidence`` a ``Prediction``.

    Raises:
        ValueError: The network gives no classes, or no logits where they are needed.
    """
    if 'pred_sem_seg' not in output:
        raise ValueError(f'{type(network).__name__} predicts no classes: it is a method of '
                         'pretraining; finetune it first')
    ids = output.pred_sem_seg.data.squeeze(0).long()
    if not confidence:
        return ids.cpu().numpy()
    if 'seg_logits' not in output:
        raise ValueError(f'{type(network).__name__} gives classes without logits, so there is no '
                         'confidence; call predict without it')
    logits = output.seg_logits.data.float()  # (C, H, W)
    if len(logits) == 1:  # mmseg has applied the sigmoid
        probability = torch.where(ids > 0, logits[0], 1 - logits[0])
    else:
        probability = logits.softmax(dim=0).amax(dim=0)
    return Prediction(ids.cpu().numpy(), probability.cpu().numpy())


def dataset_meta(cfg: Config, num_classes: Optional[int]) -> Optional[dict]:
    """``dict(classes=..., palette=...)`` of the first dataset of a config that has as many classes
    as the network.

    Args:
        cfg: Config; its training streams come first, then validation and test domains.
        num_classes: Of the network; None: any number.

    Returns:
        The dataset's meta information; None where no dataset of the config has it. No file is read.
    """
    for entry in entries(cfg):
        try:
            meta = DATASETS.build(dict(entry.config, pipeline=[], lazy_init=True)).metainfo
        except Exception:  # a dataset class that cannot be made without its files says nothing here
            continue
        if meta.get('classes') and num_classes in (None, len(meta['classes'])):
            return dict(meta)
    return None
