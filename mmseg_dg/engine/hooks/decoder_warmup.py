"""Train the decoder alone for a while, then hand over to the training of everything."""
import logging
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from mmseg_dg.engine.named_loaders import NamedLoaders, sample_count
from mmseg_dg.engine.optim.component_param_groups import encoder_modules
from mmseg_dg.engine.optim.schedules import TakesWarmup
from mmseg_dg.engine.training_loop import AnnouncingLoop
from mmseg_dg.methods.base import BaseMethod, HandsOver
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import method_of

from .run_checks import CheckingHook


@HOOKS.register_module()
class DecoderWarmupHook(CheckingHook):
    """Freeze the encoder for the first iterations, then hand over.

    While it lasts no encoder weight receives a gradient (BatchNorm statistics move, as in every
    forward pass in training mode). At the hand-over the encoder is released, the optimizer's memory
    (momentum) is cleared, a method with ``hand_over()`` (DeFT) is told, and schedules that know two
    stages (``TwoStagePolyLR``) restart. Works with any method, and with a plain segmentor in
    mmengine's loops. Which stage a resumed run is in follows from its iteration.
    Source: docs/behavior/deft.md#step-2-decoder-warm-up, docs/behavior/deft.md#step-3-hand-over.

    Args:
        warmup_iters: Length in iterations. None with ``warmup_epochs=None``: the method's own
            ``warmup_iters``.
        warmup_epochs: Length in epochs of the labeled stream (of the first one of a method, of the
            dataloader otherwise); one epoch is ``floor(N / (batch size * processes))`` iterations.
        clear_momentum: Forget the optimizer's state at the hand-over.

    Raises:
        ValueError: Both lengths, none, a negative one, or one longer than the training.
    """

    priority = 'VERY_HIGH'  # before hooks that look at the model of this iteration

    def __init__(self, warmup_iters: Optional[int] = None, warmup_epochs: Optional[int] = None,
                 clear_momentum: bool = True) -> None:
        if warmup_iters is not None and warmup_epochs is not None:
            raise ValueError(f'DecoderWarmupHook: give warmup_iters={warmup_iters} or '
                             f'warmup_epochs={warmup_epochs}, not both')
        for name, value in (('warmup_iters', warmup_iters), ('warmup_epochs', warmup_epochs)):
            if value is not None and value < 0:
                raise ValueError(f'DecoderWarmupHook: {name}={value} must not be negative')
        self.warmup_iters, self.warmup_epochs = warmup_iters, warmup_epochs
        self.clear_momentum = clear_momentum
        self.length = 0  # iterations of the warm-up, settled in before_train
        # the encoder's parameters that this hook keeps frozen; None outside the warm-up
        self._frozen: Optional[list[nn.Parameter]] = None

    def check_run(self, runner: Runner) -> None:
        """Refuse a method without a length of its own where the hook has none either, or without an
        encoder.
        """
        model = method_of(runner)
        # a length in epochs needs the training loop, and this is called while that is built
        if self.warmup_epochs is None:
            self._warmup_length(runner, model)
        if not encoder_modules(model):
            raise ValueError(f'DecoderWarmupHook: {type(model).__name__} has no backbone to freeze')

    def before_train(self, runner: Runner) -> None:
        """Settle the length, tell method and schedules, and freeze where the run is inside the
        warm-up.
        """
        model = method_of(runner)
        self.length = self._warmup_length(runner, model)
        if self.length > runner.max_iters:
            raise ValueError(f'the decoder warm-up of {self.length} iterations is longer than the '
                             f'training of {runner.max_iters}: max_iters counts both stages')
        method_length = _method_length(model)
        if method_length is not None and method_length != self.length:
            print_log(
                f'the decoder warm-up lasts {self.length} iterations, as DecoderWarmupHook '
                f'says; model.warmup_iters={method_length} is not used', logger='current',
                level=logging.WARNING)
        if isinstance(model, HandsOver):
            model.begin_warmup(self.length, runner.iter)
        for scheduler in runner.param_schedulers or ():
            if isinstance(scheduler, TakesWarmup):
                scheduler.bind_warmup(self.length)
        if runner.iter < self.length:
            self._freeze(runner, model)
        # resumed between the last iteration of the warm-up and the hand-over: nothing to free,
        # but not None, so that before_train_iter hands over
        elif runner.iter == self.length > 0:
            self._frozen = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Free the encoder in the first iteration after the warm-up, and let the method hand over
        (DeFT's adaptive decoder becomes the retentive one); in all others nothing happens.

        A method of two stages hands over also where nothing was frozen: a warm-up of length 0, or a
        run that goes on after the warm-up and whose weights are of before the hand-over.
        """
        if runner.iter < self.length:
            return
        model = method_of(runner)
        if self._frozen is not None:
            for parameter in self._frozen:
                parameter.requires_grad_(True)
            self._frozen = None
        elif not isinstance(model, HandsOver) or model.handed_over:
            return  # over since an earlier iteration
        if self.clear_momentum:
            runner.optim_wrapper.optimizer.state.clear()  # what it has averaged, of all parameters
        if isinstance(model, HandsOver):
            model.hand_over()
            forget_logged(runner, model.warmup_logs)  # values that only the warm-up logs
        print_log(
            f'decoder warm-up is over at iteration {runner.iter}: the encoder is trained '
            'from here on, the optimizer '
            f'{"starts without momentum" if self.clear_momentum else "keeps its momentum"}',
            logger='current')

    def _freeze(self, runner: Runner, model: nn.Module) -> None:
        """Take the encoder of ``model`` (the runner's, without a wrapper) out of the training until
        the warm-up is over.
        """
        wrapper = runner.model
        if isinstance(wrapper,
                      nn.parallel.DistributedDataParallel) and not wrapper.find_unused_parameters:
            raise ValueError('torch DDP waits for the gradients of the frozen encoder: set '
                             'find_unused_parameters=True, or '
                             "model_wrapper_cfg=dict(type='MethodDistributedWrapper') for a method")
        parts = encoder_modules(model)
        if not parts:
            raise ValueError(f'DecoderWarmupHook: {type(model).__name__} has no backbone to freeze')
        self._frozen = [p for part in parts for p in part.parameters() if p.requires_grad]
        for parameter in self._frozen:
            parameter.requires_grad_(False)
        print_log(
            f'decoder warm-up: {len(self._frozen)} tensors of the encoder are frozen until '
            f'iteration {self.length}', logger='current')

    def _warmup_length(self, runner: Runner, model: nn.Module) -> int:
        """Iterations of the warm-up: from the hook's epochs or iterations, else the method's own.
        """
        if self.warmup_epochs is not None:
            return self.warmup_epochs * epoch_length(runner, model)
        length = _method_length(model) if self.warmup_iters is None else self.warmup_iters
        if length is None:
            raise ValueError(f'DecoderWarmupHook: {type(model).__name__} has no warm-up of its '
                             'own: give warmup_iters or warmup_epochs')
        return int(length)


def _method_length(model: nn.Module) -> Optional[int]:
    """Iterations of the warm-up that the method itself wants; None for a method of one stage."""
    return model.warmup_iters if isinstance(model, HandsOver) else None


def forget_logged(runner: Runner, prefixes: Sequence[str]) -> None:
    """Take values that are not computed any more out of the log, which would repeat the last one
    for ever.

    Args:
        runner: The runner; each process has its own message hub, which the log reads.
        prefixes: Beginnings of the names a method returns (``'warmup.'``), without ``train/``.
    """
    scalars = runner.message_hub.log_scalars
    beginnings = tuple(f'train/{prefix}' for prefix in prefixes)
    for name in [name for name in scalars if name.startswith(beginnings)]:
        del scalars[name]


def epoch_length(runner: Runner, model: nn.Module) -> int:
    """Iterations in which every sample of the labeled stream (or of the one dataloader) is seen
    about once.

    Args:
        runner: With any training loop, one of mmengine's too.
        model: Its model without a wrapper; only a method of this package names labeled streams.

    Raises:
        ValueError: Fewer samples than one batch.
    """
    loop = runner.train_loop
    loader = loop.dataloader
    if not isinstance(loader, NamedLoaders):
        return len(loader)
    labeled = model.labeled_streams if isinstance(model, BaseMethod) else ()
    # the first labeled stream; without one, the first of all
    name = next((s for s in labeled if s in loader.names), loader.names[0])
    stream = loader[name]
    several = loop.accumulate if isinstance(loop, AnnouncingLoop) else 1
    batch, count = (stream.batch_size or 1) * several * get_world_size(), sample_count(stream)
    if count < batch:
        raise ValueError(f'stream "{name}" has {count} samples, fewer than one batch '
                         f'of {batch}: lower batch_size, or give the warm-up in iterations')
    return count // batch
