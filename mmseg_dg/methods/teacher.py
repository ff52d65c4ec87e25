"""The teacher: an exponential moving average of a module, and what it does with BatchNorm."""
import math
from typing import Any, Optional, Union

import torch
from mmengine.model import BaseAveragedModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.hooks import RemovableHandle

from mmseg_dg.ops.precision import at_least_float32
from mmseg_dg.utils.buckets import buckets, flat, scatter
from mmseg_dg.utils.frozen import frozen_names

#: How a teacher's BatchNorm layers normalize, and where their running statistics come from.
BUFFER_POLICIES = ('batch', 'own', 'copy', 'average')
#: Names of the classes of stochastic depth in any library, or of base classes of theirs.
_STOCHASTIC_DEPTH = {'DropPath', 'StochasticDepth'}


class EMATeacher(BaseAveragedModel):
    """Exponential moving average of a module's parameters: ``theta' <- beta theta' + (1 - beta)
    theta``.

    The counter ``steps`` (int64 buffer) and every weight live in the state dict, so that a resumed
    run continues the ramp where it stopped; the official DAFormer code restarts it and overwrites
    the teacher.

    Args:
        model: Module to average; copied, its copy never requires gradients.
        beta: Weight of the old average, in [0, 1].
        ramp: Use ``min(1 - 1/(t + 1), beta)`` at the t-th update (t = 0 copies). Source: DACS /
            Mean Teacher.
        buffers: BatchNorm policy.

            - ``'batch'``: normalize with the statistics of the teacher's batch; its running
              statistics follow its own batches and nothing else (DAFormer, HRDA; DeFT calls it own
              running statistics in train mode).
            - ``'own'``: the same running statistics, but they also normalize (updated first, then
              used).
            - ``'copy'``: running statistics are the student's, copied at each update, and
              normalize.
            - ``'average'``: running statistics are averaged like parameters, and normalize.

        debias: Divide the bias toward the initial weights out: after T updates every source and
            the initial weights count as in an average of T + 1 values with weights beta^0, beta^1,
            ..., which sum to one. Source:
            docs/behavior/deft.md#step-5-averages-biased-toward-the-initialization. Excludes
            ``ramp`` and ``beta=1``.

    Raises:
        ValueError: ``beta`` outside [0, 1], an unknown policy, or ``debias`` where it has no
            meaning.
    """

    #: A default for the base class's __init__, which may set the mode before this one is set.
    buffer_policy = 'batch'
    #: Of :func:`_update_running_statistics`, on the BatchNorm layers of policy ``'own'``.
    _hooks: tuple[RemovableHandle, ...] = ()

    def __init__(self, model: nn.Module, beta: float = 0.999, ramp: bool = True,
                 buffers: str = 'batch', debias: bool = False) -> None:
        # buffers are this class's matter: the base class only copies the module and makes ``steps``
        super().__init__(model, update_buffers=False)
        self.configure(beta, ramp, buffers, debias)

    def configure(self, beta: float, ramp: bool, buffers: str, debias: bool = False) -> None:
        """Set what ``EMAUpdateHook`` configures before training, after a check of the values.

        Args:
            beta: Weight of the old average in an update.
            ramp: Whether this weight begins at 0 and rises with the number of updates up to beta.
            buffers: One of ``BUFFER_POLICIES``.
            debias: Whether the bias toward the initial weights is divided out (as Adam does).

        Raises:
            ValueError: A value out of range, or two that exclude each other.
        """
        if not 0.0 <= beta <= 1.0:
            raise ValueError(f'EMA beta must lie in [0, 1], got {beta} (DACS uses 0.999, DeFT '
                             '0.9999)')
        if buffers not in BUFFER_POLICIES:
            raise ValueError(f'unknown BatchNorm policy buffers={buffers!r} of the teacher: use '
                             f'one of {BUFFER_POLICIES}')
        if debias and (ramp or beta == 1.0):
            raise ValueError('debias=True divides by 1 - beta^t and replaces the ramp: set '
                             f'ramp=False and beta < 1, got ramp={ramp}, beta={beta}')
        self.beta, self.ramp, self.buffer_policy, self.debias = beta, ramp, buffers, debias

    def beta_at(self, step: int) -> float:
        """The weight of the old average in update number ``step`` (0-based); the source's is 1
        minus it.
        """
        if self.debias and self.beta > 0:  # with beta 0 every update copies: there is no bias
            # with b = beta, a the old average, s the source and t the step, the new average is
            # (b (1 - b^(t+1)) a + (1 - b) s) / (1 - b^(t+2)), so that a has the weight below;
            # expm1 is exact also for a beta close to 1
            log = math.log(self.beta)
            return self.beta * math.expm1((step + 1) * log) / math.expm1((step + 2) * log)
        return min(1.0 - 1.0 / (step + 1), self.beta) if self.ramp else self.beta

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int) -> None:
        """Move one average of any shape toward its source, in place, in update number ``steps``.

        mmengine's interface; :meth:`update_parameters`, which is used here, moves all at once.
        """
        self._blend([averaged_param], [source_param], self.beta_at(int(steps)))

    @torch.no_grad()
    def copy_from(self, model: nn.Module) -> None:
        """Make parameters and buffers equal to those of ``model``, without counting an update."""
        self.module.load_state_dict(model.state_dict())

    @torch.no_grad()
    def update_parameters(self, model: nn.Module, unless: Optional[Tensor] = None) -> None:
        """One update from ``model``, whose parameters must have the teacher's names and shapes.

        Args:
            model: The source.
            unless: 0-d, on the device: where it is not 0, neither values nor count change. The host
                does not read it.
        """
        skip = None if unless is None else unless.bool()
        if skip is None:  # without a ramp the count does not matter: do not wait for it on a GPU
            weight = self.beta_at(int(self.steps)) if self.ramp or self.debias else self.beta
            beta: Union[float, Tensor] = weight
        else:
            beta = self._beta_on_device()
        frozen, averages, sources = self._paired(model)
        self._blend(averages, [p.detach() for p in sources], beta, skip)
        if self.buffer_policy in ('copy', 'average'):
            # floating-point buffers are averaged with policy 'average'; the rest (counts, or all
            # buffers with 'copy') are copied
            buffers = dict(model.named_buffers())
            buffer_pairs = [(b, buffers[name]) for name, b in self.module.named_buffers()
                            if name not in frozen]
            floats = [x for x in buffer_pairs
                      if x[0].is_floating_point()] if self.buffer_policy == 'average' else []
            self._blend([a for a, _ in floats], [b for _, b in floats], beta, skip)
            blended = {id(a) for a, _ in floats}
            for ours, theirs in buffer_pairs:
                if id(ours) not in blended:
                    ours.copy_(theirs if skip is None else torch.where(skip, ours, theirs))
        self.steps += 1 if skip is None else (~skip).to(self.steps.dtype)

    def _paired(self, model: nn.Module) -> tuple[set[str], list[Tensor], list[Tensor]]:
        """What an update from ``model`` touches; found by a walk over all modules, which is made
        again only for another source.

        A method may wrap the same parts anew for each update (DeFT's encoder), so that not
        ``model`` but its children tell whether it is the source of the last walk.

        Returns:
            Names that are not averaged (frozen), then the other parameters of the average and those
            of ``model``, two lists in the same order.
        """
        parts = tuple(model.children()) or (model, )
        # (children of the source, and the three results)
        walk: Any = self.__dict__.get('_pairs')
        if walk is None or len(walk[0]) != len(parts) or any(a is not b
                                                             for a, b in zip(walk[0], parts)):
            source = dict(model.named_parameters())
            frozen = frozen_names(model)  # an average of equal values would drift by rounding
            pairs = [(p, source[name]) for name, p in self.module.named_parameters()
                     if name not in frozen]
            walk = parts, frozen, [a for a, _ in pairs], [b for _, b in pairs]
            # past nn.Module's __setattr__, which would make the source's parts submodules
            self.__dict__['_pairs'] = walk
        _, frozen, averages, sources = walk
        return frozen, averages, sources

    def _beta_on_device(self) -> Tensor:
        """What :meth:`beta_at` gives for the present count: float64, 0-d, where the count lies."""
        count = self.steps.double()
        if self.debias and self.beta > 0:
            # beta (1 - beta^(n + 1)) / (1 - beta^(n + 2)), exact also for a beta close to 1
            log = math.log(self.beta)
            return self.beta * torch.expm1((count + 1) * log) / torch.expm1((count + 2) * log)
        beta = torch.full_like(count, self.beta)
        return torch.minimum(1.0 - 1.0 / (count + 1), beta) if self.ramp else beta

    @staticmethod
    def _blend(averages: list[Tensor], sources: list[Tensor], beta: Union[float, Tensor],
               skip: Optional[Tensor] = None) -> None:
        """Move the averages in place by two products and a sum, as the official code (no ``lerp``).

        Args:
            averages, sources: Of equal shapes.
            beta: Weight of the averages; a 0-d tensor if, and only if, ``skip`` is given: the host
                then reads neither.
            skip: bool 0-d: where it is True, averages stay as they are whatever the sources hold.
        """
        if not averages:
            return
        if isinstance(beta, Tensor):
            assert skip is not None
            source_of = {id(a): b for a, b in zip(averages, sources)}
            for bucket in buckets(averages):  # averages of one type and device, joined: few kernels
                old, new = flat(bucket), flat([source_of[id(a)].to(a.dtype) for a in bucket])
                # with beta 0 a copy, also where the average holds infinities (0 * inf is NaN)
                mean = torch.where(beta == 0, new, old * beta + new * (1.0 - beta))
                scatter(torch.where(skip, old, mean), bucket)
            return
        # torch's fused operations on lists of tensors, in place
        if beta == 0.0:  # a plain copy, also where the average holds infinities
            torch._foreach_copy_(averages, sources)
        elif beta < 1.0:
            torch._foreach_mul_(averages, beta)
            torch._foreach_add_(averages, sources, alpha=1.0 - beta)

    def train(self, mode: bool = True) -> 'EMATeacher':
        """Training mode as a teacher means it: noise off, BatchNorm by policy. ``eval()`` is plain
        evaluation.
        """
        super().train(mode)
        self.set_teacher_mode(mode)
        return self

    def set_teacher_mode(self, mode: bool = True) -> None:
        """Switch Dropout and DropPath off and BatchNorm to the policy's behavior (see the class).

        BatchNorm layers that the network itself keeps in evaluation mode (``norm_eval``, frozen
        stages) stay there.
        """
        self.forget_statistics_hooks()
        if not mode:
            return
        policy = self.buffer_policy
        for module in self.module.modules():
            if isinstance(
                    module,
                    _DropoutNd) or _STOCHASTIC_DEPTH & {c.__name__
                                                        for c in type(module).__mro__}:
                module.eval()
            elif isinstance(module, _BatchNorm) and policy != 'batch':
                # before it is put into evaluation mode, in which a layer moves no statistics itself
                if policy == 'own' and module.training and module.track_running_stats:
                    self._hooks += (module.register_forward_pre_hook(_update_running_statistics), )
                module.eval()

    def forget_statistics_hooks(self) -> None:
        """Stop policy ``'own'`` from moving running statistics, until :meth:`set_teacher_mode`."""
        for handle in self._hooks:
            handle.remove()
        self._hooks = ()


@torch.no_grad()
def _update_running_statistics(module: _BatchNorm, inputs: tuple) -> None:
    """Forward pre-hook: fold the batch into a layer's running statistics, as its training mode
    would, before they normalize this batch (BatchNorm policy ``'own'``).
    """
    x = at_least_float32(inputs[0])  # images, channels, and perhaps height and width
    dims = [d for d in range(x.dim()) if d != 1]  # all but the channels
    count = x.numel() // x.shape[1]
    seen, mean_so_far, variance_so_far = (module.num_batches_tracked, module.running_mean,
                                          module.running_var)
    # only layers with track_running_stats have this hook
    assert seen is not None and mean_so_far is not None and variance_so_far is not None
    seen += 1  # the buffer itself, in place
    momentum = module.momentum
    if momentum is None:  # cumulative average
        momentum = 1.0 / float(seen)
    mean = x.mean(dims)
    variance = x.var(dims, unbiased=count > 1)  # of one value the unbiased one would be NaN
    mean_so_far.lerp_(mean.to(mean_so_far), momentum)
    variance_so_far.lerp_(variance.to(variance_so_far), momentum)
