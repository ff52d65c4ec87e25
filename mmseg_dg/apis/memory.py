"""How much memory a training step takes: two small ones are run and extended to the size that is
meant.

Shapes: C channels of an image.
"""
import gc
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

from mmseg_dg.methods.step import StepContext
from mmseg_dg.models.backbones.encoder_interfaces import image_channels
from mmseg_dg.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmseg_dg.weights.files import without_pretrained

#: Sides of the crops at which memory is measured, with two images, which BatchNorm wants.
PROBES = (96, 160)


class MemoryUse(NamedTuple):
    """Peak of what PyTorch's allocator holds, as a function of the pixels of one stream per step.

    Attributes:
        base: Bytes of weights, optimizer, gradients, averages.
        per_pixel: Bytes per pixel of all images that one stream brings in a step.
    """
    base: float
    per_pixel: float

    def bytes(self, crop: tuple[int, int], batch_size: int) -> float:
        """Peak in bytes of a step.

        Args:
            crop: (height, width) in pixels.
            batch_size: Images that one stream brings in a step.
        """
        return self.base + self.per_pixel * crop[0] * crop[1] * batch_size


def measure(cfg: Config, device: str) -> MemoryUse:
    """Run two iterations at each of two sizes, with random images and the method, network and
    optimizer of a config.

    Args:
        cfg: Of the run; pretrained files are not read, which does not change the memory.
        device: ``cpu`` or ``cuda``.

    Returns:
        The straight line through both peaks: a fixed part, and bytes for each pixel of the batch.
    """
    state = torch.get_rng_state()
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # nobody wants to read about the optimizer of the trial
    try:
        low, high = (peak(partial(_iterate, cfg, device, size), device) for size in PROBES)
    finally:
        torch.set_rng_state(state)
        logger.setLevel(level)
    # bytes per pixel; both probes have a batch of 2
    slope = (high - low) / (2 * (PROBES[1]**2 - PROBES[0]**2))
    return MemoryUse(max(low - slope * 2 * PROBES[0]**2, 0.), slope)


def peak(run: Callable[[], Any], device: str) -> int:
    """Most bytes that PyTorch's allocator held while ``run`` ran, on CUDA with what lay there
    before, on the CPU only what ``run`` allocates; scratch memory of libraries is not in it.

    Differences between calls mean the same on both.
    """
    # what is left of earlier work would else be released while ``run`` runs, and count as negative
    gc.collect()
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                profile_memory=True) as profile:
        run()
    return peak_of(profile)


def peak_of(profile: torch.profiler.profile) -> int:
    """Largest running sum of the allocations (+) and releases (-) on the CPU that a profile
    recorded, in bytes."""
    recorded: Any = profile.profiler  # Any: torch declares no type of these events
    events = [(event.start_ns(), event.nbytes()) for event in recorded.kineto_results.events()
              if event.name() == '[memory]' and event.device_type() == torch.autograd.DeviceType.CPU
              ]
    allocated = most = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        allocated += size
        most = max(most, allocated)
    return most


def _iterate(cfg: Config, device: str, size: int) -> None:
    """Two training steps on random images of ``size`` pixels a side, with optimizer and averages:
    the optimizer makes its state in the first, so that the second needs the most.
    """
    init_default_scope('mmseg_dg')
    model = MODELS.build(without_pretrained(cfg.model)).to(device)
    wrapper = dict(cfg.optim_wrapper)
    build = dict(type=wrapper.pop('constructor', 'DefaultOptimWrapperConstructor'),
                 paramwise_cfg=wrapper.pop('paramwise_cfg', None), optim_wrapper_cfg=wrapper)
    optim = OPTIM_WRAPPER_CONSTRUCTORS.build(build)(model)
    averages = [
        HOOKS.build({k: v
                     for k, v in hook.items() if k != 'priority'})
        for hook in cfg.get('custom_hooks') or () if hook['type'] == 'EMAUpdateHook'
    ]
    # a stand-in for the runner, with all that EMAUpdateHook reads of it
    runner = SimpleNamespace(model=model, iter=0)
    for hook in averages:
        hook.before_train(runner)
    data = _batch(model, size)
    for runner.iter in range(2):  # counts in the stand-in itself, where the hooks read it
        model.train()
        for hook in averages:
            hook.before_train_iter(runner, runner.iter)
        # 0: the seed; a long run of which these are the first steps
        model.train_step(data, optim, context=StepContext(0, iteration=runner.iter, total=10**6))
        for hook in averages:
            hook.after_train_iter(runner, runner.iter)


def _batch(model: Any, size: int) -> dict[str, dict]:
    """A batch of two random images per stream, (C, size, size) uint8 with the C channels that the
    encoder reads, with labels in blocks of 16 pixels, in the form that the data preprocessor takes.
    """
    from mmseg.structures import SegDataSample
    generator, batch = torch.Generator().manual_seed(0), {}
    shape = (image_channels(model.student.backbone), size, size)
    # ``streams``: names of the method's streams; ``labeled_streams``: those that must have labels
    for stream in model.streams:
        images, samples = [], []
        for _ in range(2):
            images.append(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))
            blocks = torch.randint(0, model.student.num_classes, (1, size // 16, size // 16),
                                   generator=generator)
            # (1, size / 16, size / 16) -> (1, size, size)
            label = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)
            sample = SegDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size)))
            if stream in model.labeled_streams:
                sample.gt_sem_seg = PixelData(data=label)
            else:  # all pixels may get pseudo-labels
                sample.set_data(dict(valid_pseudo_mask=PixelData(data=torch.ones(1, size, size))))
            samples.append(sample)
        batch[stream] = dict(inputs=images, data_samples=samples)
    return batch
