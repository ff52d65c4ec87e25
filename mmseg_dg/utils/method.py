"""The training method behind a runner's model, as hooks and loops of this package look for it."""
from typing import TYPE_CHECKING

from mmengine.model import BaseModel, is_model_wrapper

if TYPE_CHECKING:
    from mmengine.runner import Runner  # the runner loads much, which networks do not need


def method_of(runner: 'Runner') -> BaseModel:
    """The runner's model without the wrapper of a distributed run."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
