"""BatchNorm statistics of the judged network on the features it really sees."""
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.engine.distributed import share_buffers
from mmseg_dg.engine.training_loop import state_is_due
from mmseg_dg.models.norm_statistics import collecting, norm_layers
from mmseg_dg.models.segmentors.network import predict_logits
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import method_of
from mmseg_dg.utils.rounding import ceil_div
from mmseg_dg.utils.seeding import derive_seed, local_seed

from .style_prototypes import pass_over


@HOOKS.register_module()
class ReestimateStatisticsHook(Hook):
    """Estimate running statistics anew before each validation and each checkpoint of a training.

    DeFT's retentive decoder collects its statistics on features of the adaptive encoder, but is
    tested on those of the retentive one. This hook runs training images through the evaluated
    network in evaluation mode and replaces the running mean and variance of the chosen parts by
    their averages over these batches. Not in the papers: an option of
    docs/behavior/deft.md#unknown-settings. The images are a function of seed and iteration, the
    random state of the run is restored, and with BatchNorm on batch statistics training itself is
    not changed.

    Args:
        batches: Batches to average over, of the labeled stream with its training augmentation, on
            all processes together.
        parts: Attributes of the evaluated network whose statistics are replaced; later parts see
            the old statistics of earlier ones unless those are named as well.
        batch_size: Images at once; None: that of the stream.

    Raises:
        ValueError: Bad numbers, unknown parts, no BatchNorm in them, or statistics that training
            itself or its cached features depend on.
    """

    priority = 'BELOW_NORMAL'  # after EMAUpdateHook, before validation and checkpoint

    def __init__(self, batches: int = 50, parts: Sequence[str] = ('decode_head', ),
                 batch_size: Optional[int] = None) -> None:
        for name, value in (('batches', batches), ('batch_size', batch_size)):
            if value is not None and value < 1:
                raise ValueError(f'ReestimateStatisticsHook: {name}={value} must be positive')
        self.batches, self.parts, self.batch_size = batches, tuple(parts), batch_size

    def before_train(self, runner: Runner) -> None:
        """Refuse runs in which this would change the training, or do nothing.

        Only under the buffer policy ``'batch'`` do the averages of a method (teachers) normalize by
        batch statistics during training.
        """
        method = method_of(runner)
        policies = {average.buffer_policy for _, average in method.ema_pairs().values()}
        if method.norm_eval or policies - {'batch'}:
            raise ValueError(
                'ReestimateStatisticsHook replaces running statistics, with which BatchNorm '
                f'normalizes in this training (norm_eval={method.norm_eval}, '
                f'buffers={sorted(policies)}): remove the hook, or set norm_eval=False and '
                "EMAUpdateHook's buffers='batch'")
        cached = (runner.cfg.get('train_cfg') or {}).get('cached_features')
        if cached is not None and 'backbone' in self.parts:
            # the streams have maps in the place of pixels, so that these layers would see nothing
            raise ValueError(
                f'ReestimateStatisticsHook: parts={list(self.parts)} has the encoder, whose maps '
                'train_cfg.cached_features keeps as they are: leave backbone out, or remove '
                'cached_features')
        if not self._layers(method.evaluated_network):
            raise ValueError(f'ReestimateStatisticsHook: no BatchNorm in {self.parts} of the '
                             'network')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Estimate where the iteration is validated or saved, once the averages of the method move
        (DeFT's wait while its decoder is warmed up).
        """
        method = method_of(runner)
        if method.averages_follow and state_is_due(runner.train_loop):
            self.estimate(runner, method)

    def estimate(self, runner: Runner, method: Any) -> None:
        """Replace the BatchNorm statistics of the network that is judged; the run's random state
        is put back.
        """
        seed = derive_seed(runner.seed, 'batch norm statistics', runner.iter)
        network = method.evaluated_network
        layers = self._layers(network)
        mean = layers[0].running_mean  # it tells the device of the network
        devices = [mean.device] if mean is not None and mean.is_cuda else []
        method.eval()  # all but the chosen layers, which collecting() puts into training mode
        try:
            with collecting(layers) as holds, torch.random.fork_rng(
                    devices=devices), local_seed(seed), torch.no_grad():
                holds(1)  # batches are of one size: every pass of a layer counts the same
                self._run(runner, method, network, seed)
        finally:
            method.train()
        share_buffers(runner.model)
        print_log(
            f'BatchNorm statistics of {self.parts} estimated anew on {self.batches} batches '
            f'at iteration {runner.iter + 1}', logger='current')

    def _run(self, runner: Runner, method: Any, network: nn.Module, seed: int) -> None:
        """Send drawn images of the labeled stream through the network, each process its share; its
        layers collect statistics meanwhile (:meth:`estimate`). ``seed`` decides on the images.
        """
        stream = method.labeled_streams[0]
        loader = runner.train_loop.dataloader[stream]
        size, number = self.batch_size or loader.batch_size, len(loader.dataset)
        rank, world = get_dist_info()
        count = ceil_div(self.batches, world) * size  # per process, and the same on all
        too_few = number < count * world  # then images are drawn more than once
        # NumPy takes seeds of 32 bits
        chosen = np.random.RandomState(seed % 2**32).choice(number, count * world, replace=too_few)
        for batch in pass_over(loader, chosen.tolist()[rank::world], seed, size):
            images = method.data_preprocessor({stream: batch}, True)[stream]['inputs']
            predict_logits(network, images)

    def _layers(self, network: nn.Module) -> list[_BatchNorm]:
        """Batch-normalization layers of the chosen parts of a network; ValueError for a part that
        it does not have.
        """
        parts = dict(network.named_children())
        unknown = [name for name in self.parts if name not in parts]
        if unknown:
            raise ValueError(f'ReestimateStatisticsHook: {type(network).__name__} has no {unknown}')
        return [layer for name in self.parts for layer in norm_layers(parts[name])]
