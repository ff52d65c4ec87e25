"""Which parameters belong to the encoder and which to the decoder."""
from typing import Optional, Union

from torch import nn

from mmseg_dg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmseg_dg.utils.modules import network_of

from .merged_param_groups import MergedParamGroups

#: Names of the two components, as schedules and hooks use them.
COMPONENTS = ('encoder', 'decoder')


def encoder_modules(model: nn.Module) -> list[nn.Module]:
    """Backbone and neck of the network that is trained; empty for a model without a backbone.

    Args:
        model: A method (its student counts) or a plain network.
    """
    parts = dict(network_of(model).named_children())
    return [parts[name] for name in ('backbone', 'neck') if name in parts]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ComponentParamGroups(MergedParamGroups):
    """:class:`MergedParamGroups` whose groups say in ``component`` whether they are ``'encoder'``
    or ``'decoder'``.

    Encoder and decoder never share a group, even where their options are equal, so that a schedule
    (:class:`mmseg_dg.engine.optim.TwoStagePolyLR`) can treat them apart. The encoder is the
    backbone and neck of the student; all the rest is the decoder.
    """
    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '',
                   is_dcn_module: Optional[Union[int, float]] = None) -> None:
        """Collect one group per parameter, as mmengine does; at the end of its walk over the
        modules, each group gets its component.

        Args:
            params: The groups, appended to and changed in place.
            module: The model (empty ``prefix``); mmengine calls this again for modules inside it.
            prefix: Dotted name of the module in the model.
            is_dcn_module: Of mmengine: whether the module lies in a deformable convolution.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:  # a module inside the model: the walk is not over
            return
        encoder = {id(p) for part in encoder_modules(module) for p in part.parameters()}
        for group in params:
            in_encoder = id(group['params'][0]) in encoder  # one parameter each, before merging
            group['component'] = COMPONENTS[0] if in_encoder else COMPONENTS[1]
