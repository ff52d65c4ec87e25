"""SHADE's style hallucination: feature maps in random styles that the training images do not have.

Shapes: B images, C channels, H x W pixels.
"""
from typing import Optional

import torch
from torch import Tensor, nn

from mmseg_dg.ops import restyle


class StyleHallucination(nn.Module):
    """Appends a stylized copy to a batch of feature maps, in training only.

    A style is the mean and the standard deviation of every channel. New ones are random convex
    combinations of prototypes, which :class:`mmseg_dg.engine.hooks.StylePrototypeHook` takes from
    the training images. Source: SHADE (Zhao et al., ECCV 2022) in the form of HRDA's generalization
    branch (docs/behavior/daformer_hrda.md#domain-generalization).

    Args:
        channels: Channels of the maps.
        num_prototypes: Prototypes; None: as many as channels, as in the official code.
        concentration: Parameter of the symmetric Dirichlet distribution of the weights; small
            values give styles near one prototype. None: 1 / ``num_prototypes`` (the official 0.0156
            for 64).

    Attributes:
        proto_mean, proto_std: Buffers (num_prototypes, channels), in checkpoints; all zeros until
            they are computed.

    Raises:
        ValueError: Numbers that are not positive; in training, prototypes that were never computed.
    """
    proto_mean: Tensor
    proto_std: Tensor

    def __init__(self, channels: int, num_prototypes: Optional[int] = None,
                 concentration: Optional[float] = None) -> None:
        super().__init__()
        self.num_prototypes = channels if num_prototypes is None else num_prototypes
        if self.num_prototypes < 1:
            raise ValueError(
                f'style_hallucination.num_prototypes={num_prototypes} must be positive')
        self.concentration = 1 / self.num_prototypes if concentration is None else concentration
        if self.concentration <= 0:
            raise ValueError(f'style_hallucination.concentration={concentration} must be positive')
        self.register_buffer('proto_mean', torch.zeros(self.num_prototypes, channels))
        self.register_buffer('proto_std', torch.zeros(self.num_prototypes, channels))
        # what ``ready`` answered last; True is kept, because to ask the buffers again a GPU would
        # have to be waited for. Set to False wherever the buffers are written
        self._known_ready = False

    @property
    def ready(self) -> bool:
        """Whether prototypes have been computed or loaded: the buffers start as zeros, and a
        standard deviation of real features is positive.
        """
        if not self._known_ready:
            self._known_ready = bool((self.proto_std > 0).any())
        return self._known_ready

    @torch.no_grad()
    def set_prototypes(self, mean: Tensor, std: Tensor) -> None:
        """Take over prototypes, both (num_prototypes, channels).

        Raises:
            ValueError: Another shape.
        """
        for name, values in (('mean', mean), ('std', std)):
            if values.shape != self.proto_mean.shape:  # both buffers have one shape
                raise ValueError(f'prototypes: {name} has shape {tuple(values.shape)}, expected '
                                 f'{tuple(self.proto_mean.shape)}')
        self.proto_mean.copy_(mean)
        self.proto_std.copy_(std)
        self._known_ready = False

    def draw_weights(self, count: int) -> Tensor:
        """Weights of the prototypes, (count, num_prototypes), each row summing to 1, from torch's
        global generator of the buffers' device (the training step seeds it)."""
        parameters = torch.full((self.num_prototypes, ), self.concentration,
                                device=self.proto_mean.device)
        # validated arguments would cost a transfer from the device per step
        return torch.distributions.Dirichlet(parameters, validate_args=False).sample((count, ))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> in training (2B, C, H, W), the maps themselves and then stylized
        copies of them.
        """
        if not self.training:
            return maps
        if not self.ready:
            raise ValueError('style hallucination has no prototypes yet: add '
                             'dict(type="StylePrototypeHook") to custom_hooks, which computes '
                             'them before the first iteration')
        weights = self.draw_weights(len(maps)).to(self.proto_mean.dtype)
        # without autocast, which would round the styles to half precision
        with torch.autocast(maps.device.type, enabled=False):
            mean, std = weights @ self.proto_mean, weights @ self.proto_std
        return torch.cat([maps, restyle(maps, mean, std)])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict,
                              strict: bool, missing_keys: list[str], unexpected_keys: list[str],
                              error_msgs: list[str]) -> None:
        """Load as ``nn.Module`` does; a checkpoint with neither of the two buffers of prototypes
        (ImageNet's, say) is complete: the hook ``StylePrototypeHook`` computes them.
        """
        absent: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, absent,
                                      unexpected_keys, error_msgs)
        # both absent: a file without prototypes; one of the two alone: a damaged file, reported
        if len(absent) < 2:
            missing_keys.extend(absent)
        self._known_ready = False
