"""Normalization and batching of one or several named streams.

Shapes: B images, C channels, H x W pixels.
"""
from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from torch import Tensor, nn

from mmseg_dg.ops import EncodedImages
from mmseg_dg.registry import MODELS


class _AnyChannels(SegDataPreProcessor):
    """mmseg's preprocessor for any number of channels; the one of mmseg's maintained fork refuses
    other numbers of means than one and three.
    """
    def __init__(self, mean: Any = None, std: Any = None, **kwargs: Any) -> None:
        # nothing to normalize, or one or three values: mmseg itself makes the buffers ``mean`` and
        # ``std``; for other numbers the buffers are made here under the same names
        if mean is None or std is None or {len(mean), len(std)} <= {1, 3}:
            super().__init__(mean=mean, std=std, **kwargs)
            return
        super().__init__(**kwargs)
        # private switch of mmseg's class, whose ``forward`` normalizes only if it is True; mmseg
        # sets it only where it is given a mean
        self._enable_normalize = True
        # not persistent, as mmseg's: checkpoints do not hold them
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), False)  # (C, 1, 1)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), False)  # (C, 1, 1)


@MODELS.register_module()
class MultiStreamDataPreprocessor(_AnyChannels):
    """mmseg's preprocessor, applied to each stream of ``{name: batch}``.

    Args:
        streams: Overrides by stream name, e.g. ``dict(target=dict(mean=[...], std=[...]))``; the
            other streams use the arguments of this class.
        **kwargs: Of :class:`mmseg.models.SegDataPreProcessor` (mean and std are RGB on the 0..255
            scale).

    A single batch (keys ``inputs`` and ``data_samples``), as evaluation has it, is handled as by
    the base class.
    """
    def __init__(self, streams: Optional[dict[str, dict]] = None, **kwargs: Any) -> None:
        # mmseg wants exactly one of ``size`` and ``size_divisor``; size_divisor=1 pads nothing
        kwargs.setdefault('size_divisor', None if kwargs.get('size') is not None else 1)
        super().__init__(**kwargs)
        self.streams = {}  # those with overrides, by name
        for name, override in (streams or {}).items():
            preprocessor = _AnyChannels(**{**kwargs, **override})
            # a submodule, so that it moves to the device with this one; the prefix keeps a stream's
            # name from hiding an attribute
            self.add_module(f'stream_{name}', preprocessor)
            self.streams[name] = preprocessor

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Normalize and stack the images of every stream.

        Args:
            data: ``{stream: {'inputs': list of uint8 (3, H, W) BGR, 'data_samples': list}}`` or one
                such batch.
            training: Pad to a common size (training) or to the test configuration.

        Returns:
            The same nesting with ``inputs`` float32 (B, 3, H, W), normalized RGB. A stream whose
            samples came with labels of that size on the CPU also gets ``host_labels`` (B, 1, H,
            W), a copy that stays on the CPU: decisions by labels (which classes to mix) then need
            no transfer from a GPU.
        """
        if 'inputs' in data:
            check_channels('images', self, data['inputs'])
            return super().forward(data, training)
        return {name: self._one_stream(name, batch, training) for name, batch in data.items()}

    def _one_stream(self, name: str, batch: dict, training: bool) -> dict[str, Any]:
        """Normalize and stack the batch of one stream.

        Returns:
            ``inputs``, ``data_samples`` and perhaps ``host_labels``, as of :meth:`forward`. The
            mask ``valid_pseudo_mask`` of a sample is padded like its image.
        """
        # cached maps of a frozen encoder in the place of images: they were normalized and padded
        # before they were encoded
        if isinstance(batch['inputs'][0], EncodedImages):
            return dict(inputs=EncodedImages.join(batch['inputs']).to(self.device, torch.float32),
                        data_samples=self.cast_data(batch['data_samples']))
        check_channels(f'images of stream "{name}"', self.streams.get(name, self), batch['inputs'])
        forward = self.streams[name] if name in self.streams else super().forward
        # kept before ``forward`` moves the samples to the device, (1, H, W) each
        labels = [
            sample.gt_sem_seg.data for sample in batch['data_samples'] or ()
            if 'gt_sem_seg' in sample
        ]
        batch = forward(batch, training)
        size = batch['inputs'].shape[-2:]
        if labels and all(x.device.type == 'cpu' and x.shape[-2:] == size for x in labels):
            batch['host_labels'] = torch.stack(labels)
        for sample in batch['data_samples'] or ():
            # uint8 (1, H, W) of the data pipeline, 1 where pseudo-labels count; mmseg pads images
            # and labels only, so that the mask gets its zeros here
            if 'valid_pseudo_mask' in sample:
                mask = sample.valid_pseudo_mask.data
                below, right = size[0] - mask.shape[-2], size[1] - mask.shape[-1]
                if below or right:
                    padded = F.pad(mask, (0, right, 0, below))
                    sample.set_data(dict(valid_pseudo_mask=PixelData(data=padded)))
        return batch


def check_channels(what: str, preprocessor: SegDataPreProcessor, inputs: Any) -> None:
    """Refuse images that do not have the channels the normalization is for. A single mean or
    standard deviation is for all of them.

    Args:
        what: What the images are called in the message.
        preprocessor: The one that will normalize them.
        inputs: One tensor (B, C, H, W), or a list of (C, H, W). Anything else (cached maps, an
            empty list) is not checked.

    Raises:
        ValueError: Another number of channels than means or standard deviations, or an order of
            three channels for more of them.
    """
    if len(inputs) == 0 or not isinstance(inputs[0], Tensor):
        return
    count, normalization = inputs[0].shape[0], normalization_of(preprocessor)
    for name, values in normalization._asdict().items() if normalization is not None else ():
        if values.numel() not in (1, count):
            raise ValueError(
                f'{what} have {count} channels, but data_preprocessor.{name} has '
                f'{values.numel()} values: give one mean and std per channel, in the order '
                'of the file (tools/analysis_tools/channel_statistics.py computes them), '
                'and in_channels of the encoder')
    if preprocessor.channel_conversion and count > 3:
        raise ValueError(f'{what} have {count} channels: bgr_to_rgb (rgb_to_bgr) of the '
                         'data_preprocessor swaps three and would do nothing here; set it to '
                         'False, stacks keep the order of the file')


class Normalization(NamedTuple):
    """Mean and standard deviation of each channel of images on the scale 0..255.

    Attributes:
        mean: (C, 1, 1), RGB for three channels.
        std: (C, 1, 1), likewise.
    """
    mean: Tensor
    std: Tensor


def normalization_of(preprocessor: Any) -> Optional[Normalization]:
    """Mean and standard deviation of a preprocessor of any class; None where it normalizes nothing.

    mmengine's preprocessors have the buffers ``mean`` and ``std`` only where they were given.
    """
    if not isinstance(preprocessor, nn.Module):
        return None
    buffers = dict(preprocessor.named_buffers(recurse=False))
    if 'mean' not in buffers or 'std' not in buffers:
        return None
    return Normalization(buffers['mean'], buffers['std'])


def converts_channels(preprocessor: nn.Module) -> bool:
    """Whether a preprocessor swaps BGR and RGB. Other classes than mmseg's have no attribute that
    says so and count as True.
    """
    return preprocessor.channel_conversion if isinstance(preprocessor,
                                                         SegDataPreProcessor) else True


def stream_preprocessor(preprocessor: BaseDataPreprocessor, stream: str) -> BaseDataPreprocessor:
    """The preprocessor that normalizes the stream of this name: its own where the config overrides
    something for the stream, else ``preprocessor`` itself.
    """
    if isinstance(preprocessor, MultiStreamDataPreprocessor):
        return preprocessor.streams.get(stream, preprocessor)
    return preprocessor


def check_one_normalization(preprocessor: nn.Module, why: str) -> None:
    """Refuse streams that are normalized apart, where their images are mixed or treated as one
    kind.

    Args:
        preprocessor: A method's; of any class.
        why: What needs it, for the message.

    Raises:
        ValueError: A stream has a mean, a standard deviation or an order of channels of its own.
    """
    if not isinstance(preprocessor, MultiStreamDataPreprocessor):
        return
    for name, other in preprocessor.streams.items():
        for key, ours, theirs in zip(('mean', 'std', 'channel_conversion'), _settings(preprocessor),
                                     _settings(other)):
            same = ours is theirs
            if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
                same = torch.equal(ours, theirs)
            if not same:
                raise ValueError(f'data_preprocessor.streams.{name} has its own {key}: {why} needs '
                                 'one normalization for all streams, remove it there')


def _settings(preprocessor: nn.Module) -> tuple:
    """``(mean, std, whether BGR and RGB are swapped)``, which must be equal for two streams to give
    the same values; mean and std are None where nothing is normalized.
    """
    normalization = normalization_of(preprocessor)
    mean, std = (None, None) if normalization is None else normalization
    return mean, std, converts_channels(preprocessor)
