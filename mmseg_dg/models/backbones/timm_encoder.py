"""Vision Transformers of timm (EVA-02, DINOv3, and others) as encoders of maps.

Shapes: B images, C channels of an image, D channels, H x W pixels, h x w places of a smaller map.
"""
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Protocol, runtime_checkable

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_dg.registry import MODELS
from mmseg_dg.utils.modules import child

from .encoder_options import EncoderOptions
from .plain_vit import _indices, quarters
from .token_sizes import check_resize, fit_size

DINOV3 = (
    "weights of DINOv3 are under Meta's DINOv3 License, which is not an open-source license, "
    "forbids some uses and puts terms on what is made with them: read it before you use or publish "
    "anything")


@runtime_checkable
class GivesIntermediates(Protocol):
    """A network of timm that gives the maps of its blocks."""
    def forward_intermediates(self, x: Tensor, indices: Optional[list[int]] = None) -> Any:
        """Maps (B, D, h, w) of the blocks in ``indices``, of images (B, C, H, W)."""


@MODELS.register_module()
class TimmEncoder(EncoderOptions, BaseModule):
    """Any Vision Transformer of timm that gives intermediate maps; timm is an optional dependency.

    Nothing is downloaded: weights are a local file in timm's own names (``init_cfg``). DINOv3
    (``vit_small_patch16_dinov3``, ...) needs timm 1.0.20 and weights whose license forbids some
    uses; no config of this package uses them.

    Args:
        name: timm's model, e.g. ``eva02_large_patch14_448``.
        out_indices: Blocks whose maps are given, from 0, negative ones from the end; None: the last
            block of each quarter.
        final_norm: Apply the model's final norm to each map; of a model that is made to classify
            pooled tokens (EVA-02, BEiT) the norm that follows the pooling, its ``fc_norm``.
        resize, scale_factor: As in :class:`PlainViT`.
        in_channels: Channels of the image.
        with_cp: Activation checkpointing.
        timm_args: Further arguments of ``timm.create_model`` (``img_size``, ``patch_size``,
            ``drop_path_rate``).
        trainable, lora, extra_channels: See :class:`EncoderOptions`.
        init_cfg: None: timm's random start; ``dict(type='Pretrained', checkpoint=FILE)``: every
            tensor or an error.

    Raises:
        ImportError: timm is not installed, or older than the model.
        ValueError: A model without patches, intermediate maps or the final norm that is asked for,
            or unknown values.
    """

    # the convolution that reads the image, see EncoderOptions
    input_layer = 'model.patch_embed.proj'
    grid_argument = 'timm_args=dict(img_size={pixels})'

    def __init__(self, name: str, out_indices: Optional[Sequence[int]] = None,
                 final_norm: bool = True, resize: Optional[str] = None, scale_factor: float = 1.1,
                 in_channels: int = 3, with_cp: bool = False, timm_args: Optional[Mapping] = None,
                 trainable: str = 'all', lora: Optional[Mapping] = None,
                 extra_channels: str = 'zeros', init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        check_resize(resize, scale_factor, 'TimmEncoder')
        self.model = _create(name, in_channels, dict(timm_args or {}))
        # timm gives maps through ``norm``, which is empty where the norm follows the pooling
        if final_norm and _is_empty(self.model, 'norm') and not _is_empty(self.model, 'fc_norm'):
            self.model.norm, self.model.fc_norm = self.model.fc_norm, nn.Identity()
        if final_norm and _is_empty(self.model, 'norm'):
            raise ValueError(f'TimmEncoder: {name} has no final norm: set final_norm=False')
        count = len(self.model.blocks)
        self.out_indices = _indices(quarters(count) if out_indices is None else out_indices, count)
        self.final_norm, self.resize, self.scale_factor = final_norm, resize, scale_factor
        patch = self.model.patch_embed.patch_size
        self.patch_size = patch if isinstance(patch, int) else patch[0]
        self.embed_dims = self.model.embed_dim
        self.out_channels = (self.embed_dims, ) * len(self.out_indices)
        self.strides = (self.patch_size, ) * len(self.out_indices)
        if with_cp:
            self.model.set_grad_checkpointing(True)
        for module in self.model.modules():
            # timm's switch of EVA's attention: False, it reads the weight of its qkv layer itself,
            # past an adapter (LoRALinear) in its place; True, it calls the layer
            if 'qkv_bias_separate' in vars(module):
                module.qkv_bias_separate = True
        self.set_options(trainable, lora, extra_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (B, in_channels, H, W) -> one map (B, D, h, w) per entry of ``out_indices``."""
        x = fit_size(x, self.patch_size, self.resize, self.scale_factor, 'TimmEncoder')
        # timm gives maps in the order of the blocks, each block once; the caller asked for the
        # order of out_indices
        order = sorted(set(self.out_indices))
        maps = self.model.forward_intermediates(x, indices=order, norm=self.final_norm,
                                                stop_early=True, output_fmt='NCHW',
                                                intermediates_only=True)
        return tuple(maps[order.index(i)] for i in self.out_indices)

    def init_weights(self) -> None:
        """Fill the parameters as ``init_cfg`` says (see the class)."""
        if isinstance(self.init_cfg, dict) and self.init_cfg.get('type') == 'Pretrained':
            # optional: what only classification and pretraining need
            self.load_file(self.init_cfg['checkpoint'], self.init_cfg.get('prefix'),
                           optional=('head.', 'model.head.', 'model.fc_norm.', 'model.mask_token'))
        elif self.init_cfg is not None:
            super().init_weights()
        self.start_adapters()
        self._is_init = True  # mmengine's mark of a module whose weights are initialized

    def adapted_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file as this encoder takes them: its names are timm's with ``model.`` before
        them, its final norm is ``model.norm``, its first convolution reads this number of channels.

        A file that has ``model.`` already is one of this encoder, and keeps its names: trained
        before ``final_norm`` acted on norms behind the pooling, it is refused where that is on.
        """
        if not any(key.startswith('model.') for key in state):
            state = {f'model.{key}': value for key, value in state.items()}
            if self.final_norm and not any(key.startswith('model.norm.') for key in state):
                state = {
                    key.replace('model.fc_norm.', 'model.norm.', 1): value
                    for key, value in state.items()
                }
        return super().adapted_state(state)

    def layer_depth(self, name: str) -> int:
        """How often a layer-wise decay is applied to the learning rate of the parameter ``name``
        (of this encoder): N - 1 - i in block i of N, N for all else (patches, positions, tokens,
        final norm).
        """
        count = len(self.model.blocks)
        # names are model.blocks.<block>...
        return count - 1 - int(name.split('.')[2]) if name.startswith('model.blocks.') else count


def _is_empty(model: nn.Module, name: str) -> bool:
    """Whether a model has no layer of this name, or one that changes nothing."""
    layer = child(model, name)
    return layer is None or isinstance(layer, nn.Identity)


def _create(name: str, in_channels: int, options: dict) -> Any:
    """timm's model of this name, without pretrained weights and without classifier.

    Args:
        name: As in ``timm.list_models``.
        in_channels: Channels of the image.
        options: Further arguments of ``timm.create_model``.

    Raises:
        ImportError: timm is not installed.
        ValueError: The model is unknown, or no plain Vision Transformer that takes images of any
            size and gives intermediate maps.
    """
    if importlib.util.find_spec('timm') is None:
        raise ImportError(f'TimmEncoder(name={name!r}) needs timm: pip install "timm>=1.0.20"')
    import timm
    if not timm.is_model(name):
        near = timm.list_models(f'*{name.split("_")[0]}*')[:6]
        raise ValueError(f'TimmEncoder: timm {timm.__version__} has no model {name!r}; similar: '
                         f'{", ".join(near)}')
    if 'dinov3' in name:
        print_log(f'TimmEncoder: {DINOV3}', logger='current', level=logging.WARNING)
    try:
        # num_classes=0: without classifier; models that have no dynamic_img_size raise TypeError
        model = timm.create_model(name, pretrained=False, num_classes=0, in_chans=in_channels,
                                  **{'dynamic_img_size': True, **options})
    except TypeError as error:
        raise ValueError(
            f'TimmEncoder: {name} cannot be built for images of any size: {error}') from error
    parts = dict(model.named_children())
    if not {'blocks', 'patch_embed'} <= parts.keys() or not isinstance(model, GivesIntermediates):
        raise ValueError(
            f'TimmEncoder: {name} is no plain Vision Transformer with intermediate maps')
    return model
