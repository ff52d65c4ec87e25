"""The training method and the iteration of a runner, as hooks and loops of this package look for
them."""
from typing import TYPE_CHECKING

from mmengine.model import BaseModel, is_model_wrapper

if TYPE_CHECKING:
    from mmengine.runner import Runner  # the runner loads much, which networks do not need


def iteration_of(runner: 'Runner') -> int:
    """Iterations done; 0 in a mere test, in which ``runner.iter`` would build (and so check) the
    training loop.
    """
    loop = runner._train_loop  # mmengine's: the loop; its config or None until it is built
    return 0 if loop is None or isinstance(loop, dict) else loop.iter


def method_of(runner: 'Runner') -> BaseModel:
    """The runner's model without the wrapper of a distributed run."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
