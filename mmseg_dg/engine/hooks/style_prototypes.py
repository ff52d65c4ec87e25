"""Prototypes of the styles in the training images, for style hallucination.

Shapes: N images, C channels.
"""
from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmseg_dg.datasets.samplers import SampleRequest
from mmseg_dg.engine.named_loaders import sample_count
from mmseg_dg.methods.domain_generalization import DomainGeneralization
from mmseg_dg.models.segmentors.network import style_images
from mmseg_dg.ops import channel_statistics, farthest_points
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import method_of
from mmseg_dg.utils.rounding import ceil_div
from mmseg_dg.utils.seeding import derive_seed, local_seed

from .run_checks import CheckingHook


@HOOKS.register_module()
class StylePrototypeHook(CheckingHook):
    """Compute the prototypes of style hallucination before iteration 0 and every ``interval``
    iterations.

    One pass over the labeled stream with its training augmentation, every image once (no rare
    class sampling), the encoder in evaluation mode. Mean and standard deviation of each channel
    after stage 1 (of a multi-resolution
    network: of the context image) are a point per image; farthest point sampling chooses the
    prototypes among them. Processes share the images and get the same prototypes. What is computed
    at iteration k is a function of the weights, the seed and k, and lies in checkpoints, so that a
    resumed run continues exactly. The caller's random state is restored. Source:
    docs/behavior/daformer_hrda.md#domain-generalization.

    Args:
        interval: Iterations between two computations (4000 in the paper).
        max_images: Use so many images, spread evenly, instead of all.
        batch_size: Images at once; None: that of the stream. Results depend on it by rounding only.

    Raises:
        ValueError: Bad numbers, or a method whose encoder has no style hallucination.
    """

    priority = 'VERY_HIGH'  # before hooks that look at the model of this iteration

    def __init__(self, interval: int = 4000, max_images: Optional[int] = None,
                 batch_size: Optional[int] = None) -> None:
        for name, value in (('interval', interval), ('max_images', max_images), ('batch_size',
                                                                                 batch_size)):
            if value is not None and value < 1:
                raise ValueError(f'StylePrototypeHook: {name}={value} must be positive')
        self.interval, self.max_images, self.batch_size = interval, max_images, batch_size

    def before_train(self, runner: Runner) -> None:
        """Check again, for loops that do not ask hooks before the first iteration."""
        self.check_run(runner)

    def check_run(self, runner: Runner) -> None:
        """Refuse a run in which there is nothing to compute."""
        method = method_of(runner)
        if not isinstance(method, DomainGeneralization) or method.styles is None:
            raise ValueError(f'StylePrototypeHook: the encoder of {type(method).__name__} '
                             'hallucinates no styles: set model.type=DomainGeneralization and '
                             'model.network.backbone.style_hallucination=dict(), or remove the '
                             'hook')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Compute where it is due, and where the model has no prototypes yet (a run that goes on
        from weights without any).
        """
        method = method_of(runner)
        # styles.ready: whether prototypes were set, in this run or by the checkpoint
        if runner.iter % self.interval == 0 or not method.styles.ready:
            self.compute(runner, method)

    def compute(self, runner: Runner, method: Any) -> None:
        """Compute the prototypes and write them into ``method.styles``."""
        styles, seed = method.styles, derive_seed(runner.seed, 'style prototypes', runner.iter)
        devices = [styles.proto_mean.device] if styles.proto_mean.is_cuda else []
        # local_seed restores the generators of the CPU, fork_rng that of the GPU
        with torch.random.fork_rng(devices=devices), local_seed(seed):
            method.student.backbone.eval()
            try:
                points = self._points(runner.train_loop.dataloader[method.source_stream], method,
                                      seed)
            finally:
                method.train()
            start = np.random.RandomState(seed).randint(len(points))
        chosen = farthest_points(points, min(styles.num_prototypes, len(points)), start)
        if len(chosen) < styles.num_prototypes:
            print_log(
                f'style hallucination: {len(points)} training images give {len(chosen)} '
                f'prototypes, which are repeated to fill {styles.num_prototypes}', logger='current')
            copies = ceil_div(styles.num_prototypes, len(chosen))
            chosen = chosen.repeat(copies)[:styles.num_prototypes]
        mean, std = points[chosen].chunk(2, dim=1)  # (prototypes, 2 C) -> (prototypes, C) each
        styles.set_prototypes(mean.to(styles.proto_mean), std.to(styles.proto_std))
        print_log(
            f'style hallucination: {styles.num_prototypes} prototypes from {len(points)} '
            f'training images at iteration {runner.iter}', logger='current')

    @torch.no_grad()
    def _points(self, loader: DataLoader, method: Any, seed: int) -> Tensor:
        """Channel means and deviations of every image, (N, 2C) float32 on the CPU, means first; the
        same in all processes, of which each encodes its share.
        """
        number = sample_count(loader)
        count = min(number, self.max_images or number)
        indices = [i * number // count for i in range(count)]  # spread over the dataset
        rank, world = get_dist_info()
        parts = []
        for batch in pass_over(loader, indices[rank::world], seed, self.batch_size):
            stream = method.source_stream
            images = method.data_preprocessor({stream: batch}, True)[stream]['inputs']
            maps = method.student.backbone.style_maps(style_images(method.student, images))
            parts.append(torch.cat(channel_statistics(maps), dim=1).float())
        channels = 2 * method.styles.proto_mean.shape[1]
        points = torch.zeros(count, channels, device=method.styles.proto_mean.device)
        if parts:  # a process without images of its own still takes part in the sum
            points[rank::world] = torch.cat(parts)
        # rows of other processes are 0 here: the sum puts all together
        if world > 1:
            all_reduce(points)
        return points.cpu()


def pass_over(loader: DataLoader, indices: list[int], seed: int,
              batch_size: Optional[int]) -> Iterator[dict]:
    """Batches of a training loader's images in the given order, with its augmentation.

    Args:
        loader: Its dataset, number of workers and collation are used; its sampler is not.
        indices: Of the images in its dataset.
        seed: With the index it determines an image's augmentation.
        batch_size: Images at once; None: the loader's.
    """
    requests = [SampleRequest(i, derive_seed(seed, 'sample', i)) for i in indices]
    if not requests:
        return iter(())
    return iter(
        DataLoader(loader.dataset, batch_size=batch_size or loader.batch_size, sampler=requests,
                   num_workers=loader.num_workers, collate_fn=loader.collate_fn,
                   worker_init_fn=loader.worker_init_fn, pin_memory=loader.pin_memory,
                   generator=torch.Generator().manual_seed(seed)))
