"""Parts of networks of any library."""
from typing import Any, Optional, Protocol, runtime_checkable

from mmengine.model import is_model_wrapper
from torch import nn


def child(module: nn.Module, name: str) -> Optional[nn.Module]:
    """The direct submodule of this name; None without one."""
    return dict(module.named_children()).get(name)


def unwrapped(model: Any) -> nn.Module:
    """A model without the wrapper of a distributed run."""
    return model.get_submodule('module') if is_model_wrapper(model) else model


def network_of(model: nn.Module) -> nn.Module:
    """The network that is trained: a method's student, or a plain network itself."""
    return child(model, 'student') or model


@runtime_checkable
class HasNetworks(Protocol):
    """A training method, as rooms see it that do not know methods.

    Attributes:
        evaluate: Name of the network that is judged.
    """
    evaluate: str

    def networks(self) -> dict[str, nn.Module]:
        """Networks that may be judged, by name."""


@runtime_checkable
class IsJudgedByPart(Protocol):
    """A model of which one part predicts, such as a training method.

    Attributes:
        evaluated_network: The part (a segmentor) that predicts.
    """
    evaluated_network: Any


def evaluated_network(model: Any) -> Any:
    """The segmentor that predicts: a method's evaluated network, or a plain segmentor itself.

    Args:
        model: A method or segmentor, perhaps inside wrappers, each of which has it as its child
            ``module``: those of a distributed run and of test-time augmentation.
    """
    while not isinstance(model, IsJudgedByPart) and child(model, 'module') is not None:
        model = model.module
    return model.evaluated_network if isinstance(model, IsJudgedByPart) else model
