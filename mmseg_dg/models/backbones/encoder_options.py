"""What every encoder of this package can be asked for: what of it is trained, adapters, channels
beyond three."""
import math
import os
from collections.abc import Callable, Mapping
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
    #: Called as ``stored_maps(encode, images)`` by a frozen encoder in the place of
    #: ``encode(images)``: gives maps that were computed before. None: the encoder always computes.
    stored_maps: Optional[Callable] = None
    #: The weight file of what is frozen (``file``, ``prefix``, ``sha256``), once a checkpoint of
    #: the trained part has asked for it.
    frozen_file: Optional[dict] = None
    #: Name of the convolution that reads the image.
    input_layer: str = ''
    #: What sets the side of the stored grid of positions, with ``{side}`` or ``{pixels}`` in it; ''
    #: for encoders without one.
    grid_argument: str = ''
    #: Whether q, k and v lie in equal thirds of a layer ``qkv``.
    packed_qkv: bool = True
    # as given to set_options
    _extra_channels: str = 'zeros'
    # names of the parameters that are trained, where not all are
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
            for layer in adapters_of(self):  # the biases of the adapted layers are trained, too
                for parameter in (layer.lora_a, layer.lora_b, layer.bias):
                    if parameter is not None:
                        parameter.requires_grad_(True)
        # noted now, not when it is asked for: a warm-up of the decoder sets requires_grad=False on
        # all parameters of the encoder for a while
        self._trained = frozenset(n for n, p in self.named_parameters() if p.requires_grad)
        self.train(self.training)  # a frozen encoder goes into evaluation mode now

    # ------------------------------------------------------------------ running
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the encoder, ``trainable='none'`` without gradients.

        A frozen encoder may also be called with ``EncodedImages``: the maps that it gave for the
        images before, stored in a cache. It gives these maps back and computes nothing.

        Raises:
            ValueError: Such maps for an encoder of which something is trained.
        """
        if args and isinstance(args[0], EncodedImages):
            if self.trainable != 'none':
                raise ValueError(f"{type(self).__name__}: trainable={self.trainable!r} got maps "
                                 "that a frozen encoder gave: cached features need "
                                 "trainable='none'")
            return args[0].maps
        if self.trainable != 'none':
            return super().__call__(*args, **kwargs)
        with torch.no_grad():
            if self.stored_maps is not None and len(args) == 1 and not kwargs:
                return self.stored_maps(super().__call__, args[0])
            return super().__call__(*args, **kwargs)

    def train(self, mode: bool = True) -> 'EncoderOptions':
        """Training mode, as far as ``trainable`` lets it: a frozen encoder stays in evaluation
        mode, and one with adapters keeps its BatchNorm on running statistics.

        Returns:
            The encoder itself, as ``nn.Module.train``.
        """
        if self.trainable == 'none' and not any(m.training for m in self.modules()):
            # nothing to change, as in nearly every iteration; asking costs less than setting. All
            # modules are asked, because an estimation of BatchNorm statistics may leave single
            # layers in training mode
            return self
        super().train(mode and self.trainable != 'none')
        if self.trainable == 'adapters':
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    # ------------------------------------------------------------------ weights
    def init_weights(self) -> None:
        """Initialize the weights as the other base class does; adapters start from the result."""
        super().init_weights()  # type: ignore[misc]  # of the encoder this is mixed into
        self.start_adapters()

    def start_adapters(self) -> None:
        """Start the adapters that were not fitted to the weights yet: loading a weight file does
        it, a random start does not.
        """
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

        Encoders that read files of other layouts or patch sizes override it.

        Args:
            state: Tensors of the file by the names of this encoder; not changed.

        Raises:
            ValueError: They cannot be those of this encoder.
        """
        state = dict(state)
        key = f'{self.input_layer}.weight'
        filters = _parameter(self, key)  # (out, channels, k, k); None: no parameter of this name
        if filters is not None and key in state and state[key].shape[1] != filters.shape[1]:
            state[key] = adapt_input_filters(state[key], filters.shape[1], self._extra_channels)
        return state

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Load as ``nn.Module`` does, after the encoder's tensors in ``state_dict`` (names with
        ``prefix``) were exchanged in place for those of :meth:`adapted_state`.
        """
        own_state = {
            key[len(prefix):]: value
            for key, value in state_dict.items() if key.startswith(prefix)
        }
        if own_state:
            adapted = self.adapted_state(own_state)
            # only what adapting changed is written: names that are gone, and other tensors
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
            prefix: How the encoder's names begin in the file; other tensors of the file are not
                read. None: the file is the encoder's alone.
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
            """Whether the tensor may be in the network alone or in the file alone: adapters, what
            the caller allows, BatchNorm statistics of a detail scale, and BatchNorm's counters,
            which older files lack.
            """
            return (MARK in name or name.startswith(optional) or is_of_detail(name)
                    or name.endswith('num_batches_tracked'))

        differing = difference(self.state_dict(), state, optional_or_new, optional_or_new)
        if differing.shapes:
            raise ValueError(f'{path} does not fit this {kind}: {len(differing.shapes)} tensors '
                             f'have other shapes, {", ".join(differing.shape_lines()[:3])}: '
                             f'{self._shape_hint(differing.shapes)}')
        if differing.missing or differing.unexpected:
            raise ValueError(f'{path} does not fit this {kind}: it lacks {len(differing.missing)} '
                             f'tensors {differing.missing[:5]} and has '
                             f'{len(differing.unexpected)} that the network has not, '
                             f'{differing.unexpected[:5]}')
        self.load_state_dict(state, strict=False)  # strict would refuse the optional ones
        print_log(f'backbone: {kind} loaded from {path}', logger='current')

    def _shape_hint(self, shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> str:
        """What may be wrong with a file whose tensors have other shapes: ``(name, shape in the
        file, shape in the encoder)``.
        """
        name, theirs, ours = shapes[0]
        if not (self.grid_argument and len(shapes) == 1 and name.endswith('pos_embed')
                and theirs[-1] == ours[-1]):
            return 'another size of this encoder?'
        side = math.isqrt(theirs[-2])  # of side * side positions and perhaps that of a class token
        argument = self.grid_argument.format(side=side, pixels=side * vars(self)['patch_size'])
        return f'its grid of positions has another side: set {argument} of the encoder'


def _parameter(module: nn.Module, name: str) -> Optional[Tensor]:
    """The parameter of this dotted name; None if there is none."""
    try:
        return module.get_parameter(name)
    except AttributeError:
        return None
