"""Optim wrappers mmengine lacks."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import autocast
from torch import nn

from mmseg_dg.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """bfloat16 autocast without loss scaling, on GPU and on CPU.

    ``AmpOptimWrapper`` refuses to be built without an accelerator, and scales the loss even for
    bfloat16, whose range does not need it. Arguments as :class:`mmengine.optim.OptimWrapper`.
    """
    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Inside, forward passes run in bfloat16."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
