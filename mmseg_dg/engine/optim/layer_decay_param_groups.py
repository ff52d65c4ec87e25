"""Learning rates that fall from an encoder's last layer to its first."""
from typing import Optional, Protocol, Union, runtime_checkable

from mmengine.logging import print_log
from torch import nn

from mmseg_dg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmseg_dg.utils.modules import child, network_of

from .merged_param_groups import MergedParamGroups


@runtime_checkable
class KnowsDepths(Protocol):
    """An encoder that says how deep its parameters lie (PlainViT, TinyViT, TimmEncoder)."""
    def layer_depth(self, name: str) -> int:
        """Layers between a parameter and the encoder's output."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayParamGroups(MergedParamGroups):
    """:class:`MergedParamGroups` with one rate for the decoder and a layer-wise decayed one for the
    encoder.

    A parameter of the encoder (``backbone``) has the rate ``lr * encoder_mult * decay ** depth``;
    its depth is what ``backbone.layer_depth(name)`` says: ``N - 1 - i`` in block i of N, N in the
    stem (patches, positions, tokens, final norm). Everything else (neck, heads) has ``lr``.
    mmengine's other options multiply besides, and groups of equal options are merged. Published
    values: docs/behavior/foundation_encoders.md#rates.

    Options, in ``paramwise_cfg``:
        decay: In (0, 1]; 1: one rate for the whole encoder, which then needs no ``layer_depth``.
        encoder_mult: Positive.

    Raises:
        ValueError: Values out of range, a model without ``backbone``, or ``decay < 1`` for an
            encoder that does not say how deep its parameters lie.
    """
    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '',
                   is_dcn_module: Optional[Union[int, float]] = None) -> None:
        """Collect one group per parameter, as mmengine does; at the end of its walk over the
        modules, rates are multiplied by the factor of their layer.

        Args:
            params: The groups, appended to and changed in place.
            module: The model (empty ``prefix``); mmengine calls this again for modules inside it.
            prefix: Dotted name of the module in the model.
            is_dcn_module: Of mmengine: whether the module lies in a deformable convolution.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:  # a module inside the model: the walk is not over
            return
        factors = self._factors(module)
        base = self.optimizer_cfg.get('lr')
        for group in params:  # one parameter each
            factor = factors.get(id(group['params'][0]))
            if factor is not None:  # None outside of the encoder: the decoder keeps its rate
                group['lr'] = group.get('lr', base) * factor

    def _factors(self, model: nn.Module) -> dict[int, float]:
        """Factor of the rate of every parameter of the encoder, by the parameter's id:
        ``encoder_mult * decay ** depth``; ValueError for settings or a model without meaning here.
        """
        options = self.paramwise_cfg or {}
        decay, mult = options.get('decay', 1.), options.get('encoder_mult', 1.)
        if not 0 < decay <= 1 or mult <= 0:
            raise ValueError(
                f'LayerDecayParamGroups: decay={decay} must lie in (0, 1], encoder_mult={mult} be '
                'positive')
        if self.optimizer_cfg.get('lr') is None:
            raise ValueError('LayerDecayParamGroups: the optimizer needs lr')
        encoder = child(network_of(model), 'backbone')
        if encoder is None:
            raise ValueError(f'LayerDecayParamGroups: {type(model).__name__} has no backbone')
        if decay < 1 and not isinstance(encoder, KnowsDepths):
            raise ValueError(
                f'LayerDecayParamGroups: {type(encoder).__name__} has no layer_depth, which says '
                'how deep a parameter lies (PlainViT, TinyViT and TimmEncoder have): set decay=1.')
        # without a decay the depth does not matter
        depths = {
            name: encoder.layer_depth(name) if isinstance(encoder, KnowsDepths) and decay < 1 else 0
            for name, _ in encoder.named_parameters()
        }
        print_log(
            f'encoder rates: {mult:g} of the base rate, times {decay:g} for each of up to '
            f'{max(depths.values(), default=0)} layers', logger='current')
        return {id(p): mult * decay**depths[name] for name, p in encoder.named_parameters()}
