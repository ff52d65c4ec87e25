"""Data parallelism for methods with several backward passes per step."""
from typing import Any, Callable

import torch
from mmengine.dist import all_reduce, broadcast, get_world_size
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.methods.base import BaseMethod
from mmseg_dg.utils.buckets import BUCKET_BYTES, buckets, flat, scatter


@MODEL_WRAPPERS.register_module()  # mmengine looks wrappers up in its root registry
class MethodDistributedWrapper(nn.Module):
    """All passes run locally, then every gradient is averaged over the processes exactly once.

    Torch's DDP expects one forward and one backward per step, registers only what is trainable when
    it wraps, and MMEngine's version never calls a custom ``train_step``. Here the set of trainable
    parameters is read anew each step, so freezing and unfreezing works at any time. Works with any
    backend (gloo, NCCL).

    Args:
        module: The method.
        bucket_bytes: Size of the flat buffers.

    Attributes:
        synchronizations: Number of gradient synchronizations so far.
    """
    module: BaseModel

    def __init__(self, module: BaseModel, bucket_bytes: int = BUCKET_BYTES) -> None:
        super().__init__()
        self.module = module
        self.bucket_bytes = bucket_bytes
        self.synchronizations = 0
        # whether all processes have had the weights of process 0, which is done in the first step
        self._broadcast_done = False

    # ------------------------------------------------------------------ mmengine's model interface
    def train_step(self, data: Any, optim_wrapper: OptimWrapper, **kwargs: Any) -> Any:
        """The method's step with gradient synchronization before unscale, clip and optimizer step;
        returns its logged values.
        """
        # other models know no ``sync_gradients``
        if not isinstance(self.module, BaseMethod):
            raise TypeError(f'{type(self.module).__name__} is no method with passes: train it with '
                            "model_wrapper_cfg=dict(type='MMDistributedDataParallel')")
        if not self._broadcast_done:
            self.broadcast_state()
        return self.module.train_step(data, optim_wrapper, sync_gradients=self.sync_gradients,
                                      **kwargs)

    def val_step(self, data: Any) -> Any:
        return self.module.val_step(data)

    def test_step(self, data: Any) -> Any:
        return self.module.test_step(data)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    # ------------------------------------------------------------------ communication
    @torch.no_grad()
    def broadcast_state(self) -> None:
        """Give every process the parameters and buffers of process 0; done once, in the first step,
        when weights are loaded.
        """
        for tensor in [*self.module.parameters(), *self.module.buffers()]:
            broadcast(tensor.data)
        self._broadcast_done = True

    @torch.no_grad()
    def sync_gradients(self) -> None:
        """Average the gradients of all trainable parameters.

        A gradient missing here counts as zero if any other process has it (a class may be absent
        from one process's batch), and stays missing if no process has it, so that optimizers skip
        the parameter everywhere alike.
        """
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        # in how many processes each parameter has a gradient, int32 (parameters,)
        present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32,
                               device=parameters[0].device if parameters else 'cpu')
        all_reduce(present)
        gradients = []
        for parameter, count in zip(parameters, present.tolist()):
            if count:
                if parameter.grad is None:  # another process has one
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        world = get_world_size()
        self._reduce_in_buckets(gradients, lambda joined: joined.div_(world))
        self.synchronizations += 1

    @torch.no_grad()
    def average_buffers(self) -> None:
        """Average the running statistics of BatchNorm, so that what is judged is what is saved.

        Deviations from process 0 are averaged: statistics that are equal everywhere, as those of a
        frozen encoder, stay bit-identical, which ``(x + x + x) / 3`` does not ensure.
        """
        statistics: list[Tensor] = []
        for module in self.module.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                # running mean and variance, of every set; the counters are integers
                statistics += [b for b in module.buffers(recurse=False) if b.is_floating_point()]
        references = [t.clone() for t in statistics]
        for reference, tensor in zip(references, statistics):
            broadcast(reference)  # now the values of process 0
            tensor -= reference
        world = get_world_size()
        self._reduce_in_buckets(statistics, lambda joined: joined.div_(world))
        for reference, tensor in zip(references, statistics):
            tensor += reference

    def _reduce_in_buckets(self, tensors: list[Tensor], finish: Callable[[Tensor], Tensor]) -> None:
        """Sum tensors, of any shape, over the processes in place, several joined to one flat buffer
        at once; ``finish`` changes each summed buffer in place (divides it, say).
        """
        for bucket in buckets(tensors, self.bucket_bytes):
            joined = flat(bucket)
            all_reduce(joined)
            finish(joined)
            scatter(joined, bucket)


def share_buffers(model: nn.Module) -> None:
    """Let all processes have the average of their BatchNorm statistics; nothing happens to a model
    that :class:`MethodDistributedWrapper` does not wrap (a run without a launcher).
    """
    if isinstance(model, MethodDistributedWrapper):
        model.average_buffers()
