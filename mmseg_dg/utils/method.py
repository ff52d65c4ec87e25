"""The training method behind a runner's model, as hooks and loops of this package look for it."""
from typing import TYPE_CHECKING

from mmengine.model import is_model_wrapper
from torch import nn

if TYPE_CHECKING:
    from mmengine.runner import Runner  # the runner loads much, which networks do not need


def method_of(runner: 'Runner') -> nn.Module:
    """The runner's model without the wrapper of a distributed run."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
