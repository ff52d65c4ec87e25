"""Optimizer construction: few parameter groups, trainable parameters only."""
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional, Union

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mmseg_dg.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmseg_dg.utils.modules import unwrapped

from .fused import fused_option, keep_implementation


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedParamGroups(DefaultOptimWrapperConstructor):
    """mmengine's parameter-wise options, with equal groups merged and frozen modules left out.

    mmengine's own constructor makes one group per tensor (949 for MiT-B5), which defeats the fused
    and foreach optimizers, and logs a warning per frozen teacher tensor. The options
    (``custom_keys``, ``norm_decay_mult``, ...) and their precedence are mmengine's: custom keys are
    tried longest first, then alphabetically, and win over the rest.

    Adam and AdamW step by a fused kernel where torch has one for the parameters' device and type
    (``fused=False`` in the optimizer's config: not).
    """
    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The optimizer wrapper of a model's trainable parameters; logs one line per group.

        Raises:
            ValueError: Nothing is trainable.
        """
        model = unwrapped(model)
        params: list[dict] = []  # one group per parameter, filled by add_params
        with _quiet():
            self.add_params(params, model)
        # with these, a group that sets the rate the optimizer has anyway is merged with groups that
        # set none
        defaults = {
            k: self.optimizer_cfg[k]
            for k in ('lr', 'weight_decay') if k in self.optimizer_cfg
        }
        groups = merge_param_groups(params, defaults)
        if not groups:
            raise ValueError('the model has no trainable parameter: nothing to optimize (is '
                             'everything frozen?)')
        fused = fused_option(self.optimizer_cfg, (p for group in groups for p in group['params']))
        # fused or not is this machine's choice: a loaded checkpoint does not change it
        optimizer = keep_implementation(
            OPTIMIZERS.build(dict(self.optimizer_cfg, **fused, params=groups)))
        for group in optimizer.param_groups:
            print_log(
                f'optimizer group: {len(group["params"])} tensors, lr {group["lr"]:g}, '
                f'weight decay {group.get("weight_decay", 0):g}', logger='current')
        return OPTIM_WRAPPERS.build(dict({'type': 'OptimWrapper'}, **self.optim_wrapper_cfg),
                                    default_args=dict(optimizer=optimizer))

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '',
                   is_dcn_module: Optional[Union[int, float]] = None) -> None:
        """Collect the groups of a module and those inside it, as mmengine does, but pass over
        wholly frozen modules (teachers, ImageNet copies): mmengine would log each of their tensors.
        """
        parameters = list(module.parameters(recurse=True))
        if parameters and not any(p.requires_grad for p in parameters):
            return
        super().add_params(params, module, prefix, is_dcn_module)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, mmengine does not log its two or three lines per tensor while it collects options;
    the summary that follows says the same.
    """
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def merge_param_groups(params: list[dict], defaults: Optional[dict] = None) -> list[dict]:
    """Join groups whose options are equal, keeping the order of first appearance.

    Args:
        params: One dict per parameter, as ``DefaultOptimWrapperConstructor.add_params`` collects
            them.
        defaults: Options of a parameter that does not set them.

    Returns:
        One dict per distinct set of options with all its parameters.
    """
    merged: dict[tuple, dict] = {}
    for group in params:
        tensors = [p for p in group['params'] if p.requires_grad]
        # without mmengine's notes of the factors, which it has multiplied onto lr and weight_decay
        options = {k: v for k, v in group.items() if k not in ('params', 'lr_mult', 'decay_mult')}
        options = dict(defaults or {}, **options)
        key = tuple(sorted((k, repr(v)) for k, v in options.items()))
        if tensors:
            merged.setdefault(key, dict(options, params=[]))['params'].extend(tensors)
    return list(merged.values())
