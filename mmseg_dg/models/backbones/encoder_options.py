"""What every encoder of this package can be asked for: what of it is trained, adapters, channels
beyond three."""
import os
from collections.abc import Mapping
from typing import Any, Optional

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.ops import EncodedImages
from mmseg_dg.weights.comparison import difference, is_of_detail

from .adapters import MARK, adapters_of, add_adapters
from .input_filters import EXTRA_CHANNELS, adapt_input_filters

TRAINABLE = ('all', 'adapters', 'none')


class EncoderOptions(nn.Module):
    """Mixin of encoders: ``trainable``, ``lora`` and ``extra_channels`` as arguments of the encoder
    itself.

    * ``trainable='all'``: every parameter is trained.
    * ``trainable='adapters'``: only low-rank adapters (``lora``) and the biases of the layers that
      have them; BatchNorm stays on its running statistics.
    * ``trainable='none'``: nothing; the encoder is in evaluation mode and runs under
      ``torch.no_grad``, so that a step keeps no graph of it.

    Put it first among the bases, and call :meth:`set_options` at the end of ``__init__``.

    Attributes:
        trainable: As given.
        out_channels: Channels of the maps, in their order (encoders of foundation models).
        strides: Pixels of the image per cell of each map (likewise).
    """

    trainable: str = 'all'
    #: Name of the convolution that reads the image.
    input_layer: str = ''
    #: Whether q, k and v lie in equal thirds of a layer ``qkv``.
    packed_qkv: bool = True
    _extra_channels: str = 'zeros'
    _trained: frozenset = frozenset()

    def set_options(self, trainable: str = 'all', lora: Optional[Mapping] = None,
                    extra_channels: str = 'zeros') -> None:
        """Apply the options to the built encoder: freeze it, and add adapters.

        Args:
            trainable: One of ``TRAINABLE``.
            lora: Arguments of :func:`mmseg_dg.models.backbones.adapters.add_adapters`: ``rank``
                (16), ``alpha``, ``start`` (``'zeros'`` or ``'minor'``), ``first_block``,
                ``layers``. Needs ``trainable='adapters'``.
            extra_channels: How filters of channels beyond three start when a file has three
                (:func:`mmseg_dg.models.backbones.input_filters.adapt_input_filters`).

        Raises:
            ValueError: An unknown value, adapters without ``'adapters'`` or the reverse, and as
                ``add_adapters``.
        """
        kind = type(self).__name__
        if trainable not in TRAINABLE:
            raise ValueError(f'{kind}: trainable={trainable!r}: use one of {TRAINABLE}')
        if extra_channels not in EXTRA_CHANNELS:
            raise ValueError(
                f'{kind}: extra_channels={extra_channels!r}: use one of {EXTRA_CHANNELS}')
        if (lora is not None) != (trainable == 'adapters'):
            raise ValueError(
                f"{kind}: trainable={trainable!r} with lora={lora}: adapters are trained with "
                "trainable='adapters' and lora=dict(rank=16)")
        self.trainable, self._extra_channels = trainable, extra_channels
        if trainable == 'all':
            return
        self.requires_grad_(False)
        if lora is not None:  # trainable='adapters'
            add_adapters(self, packed=self.packed_qkv, **lora)
            for layer in adapters_of(self):
                for parameter in (layer.lora_a, layer.lora_b, layer.bias):
                    if parameter is not None:
                        parameter.requires_grad_(True)
        # settled now: a decoder warm-up takes gradients away for a while
        self._trained = frozenset(n for n, p in self.named_parameters() if p.requires_grad)
        self.train(self.training)  # a frozen encoder goes into evaluation mode now

    # ------------------------------------------------------------------ running
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the encoder; a frozen one runs without gradients, and gives back cached maps
        (``EncodedImages``) that come in the place of images.
        """
        # maps that this encoder, frozen, gave before
        if args and isinstance(args[0], EncodedImages):
            if self.trainable != 'none':
                raise ValueError(f"{type(self).__name__}: trainable={self.trainable!r} got maps "
                                 "that a frozen encoder gave: cached features need "
                                 "trainable='none'")
            return args[0].maps
        if self.trainable != 'none':
            return super().__call__(*args, **kwargs)
        with torch.no_grad():
            return super().__call__(*args, **kwargs)

    def train(self, mode: bool = True) -> 'EncoderOptions':
        """Training mode, as far as ``trainable`` lets it: a frozen encoder stays in evaluation
        mode, and one with adapters keeps its BatchNorm on running statistics.

        Returns:
            The encoder itself, as ``nn.Module.train``.
        """
        if self.trainable == 'none' and not any(m.training for m in self.modules()):
            # so it is in every iteration, where asking costs less than setting; all are asked,
            # since an estimation of BatchNorm statistics leaves its layers in training mode
            return self
        super().train(mode and self.trainable != 'none')
        if self.trainable == 'adapters':
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    # ------------------------------------------------------------------ weights
    def init_weights(self) -> None:
        """As the other bases; adapters start from the result."""
        super().init_weights()  # type: ignore[misc]  # of the encoder this is mixed into
        self.start_adapters()

    def start_adapters(self) -> None:
        """Start the adapters that no loaded file has started."""
        for layer in adapters_of(self):
            if not layer.started:
                layer.restart()

    def frozen_names(self) -> set[str]:
        """Names of this encoder's state dict that training never changes: all that is neither
        trained nor an adapter nor a style prototype (counted during training).
        """
        if self.trainable == 'all':
            return set()
        return {
            name
            for name in self.state_dict()
            if name not in self._trained and MARK not in name and 'style_hallucination.' not in name
        }

    def adapted_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a weight file as this network takes them: filters for its number of
        channels.

        Args:
            state: Names of this encoder.

        Raises:
            ValueError: They cannot be those of this encoder.
        """
        state = dict(state)
        key = f'{self.input_layer}.weight'
        own = _parameter(self, key)  # filters; None where the layer has another name
        if own is not None and key in state and state[key].shape[1] != own.shape[1]:
            state[key] = adapt_input_filters(state[key], own.shape[1], self._extra_channels)
        return state

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Tensors of this encoder are adapted before they are loaded: other file layouts, patch
        sizes, channels.
        """
        own_state = {
            key[len(prefix):]: value
            for key, value in state_dict.items() if key.startswith(prefix)
        }
        if own_state:
            adapted = self.adapted_state(own_state)
            # names that the adapted state has no more, then tensors that were exchanged
            for key in own_state.keys() - adapted.keys():
                del state_dict[prefix + key]
            state_dict.update({
                prefix + key: value
                for key, value in adapted.items() if own_state.get(key) is not value
            })
        super()._load_from_state_dict(state_dict, prefix, *args)

    def load_file(self, path: str, prefix: Optional[str] = None, optional: tuple[str,
                                                                                 ...] = ()) -> None:
        """Fill every tensor from a weight file.

        Args:
            path: Local file.
            prefix: Keys of the file that belong to the encoder start so.
            optional: Beginnings of names that file or network may lack.

        Raises:
            FileNotFoundError: No such file.
            ValueError: Tensors are missing, left over, or of another shape.
        """
        if '://' not in path and not os.path.isfile(path):
            raise FileNotFoundError(
                f'no pretrained weights at {path}: put the file there (tools/prepare_weights.py '
                'says what to get), or set init_cfg=None in the backbone for a random start')
        state = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='current')
        # the weights may lie under a key of their own; else the file is the state dict
        state = next(
            (state[key] for key in ('state_dict', 'model') if isinstance(state.get(key), Mapping)),
            state)
        if prefix:
            prefix = prefix.rstrip('.') + '.'
            state = {
                key[len(prefix):]: value
                for key, value in state.items() if key.startswith(prefix)
            }
        kind = type(self).__name__
        try:
            state = self.adapted_state(state)
        except ValueError as error:
            raise ValueError(f'{path} does not fit this {kind}: {error}') from error

        def optional_or_new(name: str) -> bool:
            """Adapters, what the caller allows, statistics of a detail scale, and counters that
            older files lack."""
            return (MARK in name or name.startswith(optional) or is_of_detail(name)
                    or name.endswith('num_batches_tracked'))

        found = difference(self.state_dict(), state, optional_or_new, optional_or_new)
        if found.shapes:
            raise ValueError(f'{path} does not fit this {kind}: {len(found.shapes)} tensors have '
                             f'other shapes, {", ".join(found.shape_lines()[:3])}: another size of '
                             'this encoder?')
        if found.missing or found.unexpected:
            raise ValueError(f'{path} does not fit this {kind}: it lacks {len(found.missing)} '
                             f'tensors {found.missing[:5]} and has {len(found.unexpected)} that '
                             f'the network has not, {found.unexpected[:5]}')
        self.load_state_dict(state, strict=False)
        print_log(f'backbone: {kind} loaded from {path}', logger='current')


def _parameter(module: nn.Module, name: str) -> Optional[Tensor]:
    """The parameter of that name; None if there is none."""
    try:
        return module.get_parameter(name)
    except AttributeError:
        return None
