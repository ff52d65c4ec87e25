"""Time per iteration and peak memory of training method A against method B, measured in one run.

    python tools/analysis_tools/method_cost.py configs/deft/deft_r50_gta.py configs/deft/joint_r50_gta.py
        [--iters 20] [--skip 3] [--size 768 768] [--batch-size 4] [--device cuda] [--stage finetune] [--json out.json]

Both methods, with the optimizers of their configs, train on the same random images (no data loading, no pretrained
weights: neither changes the cost). Time: both are held in one process and take turns iteration by iteration, so that
other load on the machine hits both; the medians after ``--skip`` iterations are reported, and the median ratio of
neighbors. An iteration is preprocessing, all passes, the optimizer step and the update of averages. On the CPU the
time the process really computed is given as well, whose ratio holds on a busy machine. Memory: each method runs alone
in a process of its own. On a GPU the peak is ``torch.cuda.max_memory_allocated``; on the CPU it is the peak of what
PyTorch's allocator holds (weights, optimizer, gradients, activations), from the profiler's allocation events; scratch
memory inside libraries is not in it. ``--stage warmup`` measures methods with a decoder warm-up
(DeFT) in their first stage. ``--size`` and ``--batch-size`` replace the crop and batch of the configs.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported

# isort: split
from mmseg.structures import SegDataSample

from mmseg_dg.apis.entry import DEBUG, run_tool
from mmseg_dg.datasets.crop_setting import training_loaders
from mmseg_dg.engine.compiling import compile_networks
from mmseg_dg.engine.hooks import EMAUpdateHook
from mmseg_dg.engine.preflight import CROPS
from mmseg_dg.methods.step import StepContext
from mmseg_dg.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmseg_dg.utils.allocator import keep_freed_memory
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.weights.files import without_pretrained

MIB = 2**20


class Trainer:
    """One method that trains on random images.

    Args:
        config: File of the config.
        size: (height, width) of the images; None: the crop of the config's pipeline.
        batch_size: Images per stream; None: the config's.
        device: Where to train.
        stage: ``'finetune'`` or ``'warmup'``, for methods with a decoder warm-up.

    Attributes:
        runner: Stands in for mmengine's runner: the hooks read its ``model`` and ``iter`` only.
        hooks: Those of the config that average weights; others do not run.

    Raises:
        ValueError: No crop size in the config, and none given.
    """

    def __init__(self, config: str, size: Optional[tuple[int, int]], batch_size: Optional[int], device: str,
                 stage: str) -> None:
        cfg = read_config_file(config)
        init_default_scope('mmseg_dg')
        torch.manual_seed(0)
        self.name, self.device = Path(config).stem, torch.device(device)
        self.model = MODELS.build(without_pretrained(cfg.model)).to(self.device)
        if hasattr(self.model, 'hand_over') and stage == 'finetune':
            self.model.hand_over()  # ends the decoder warm-up, in which the method begins
        keep_freed_memory(self.model)  # as the training loop does
        compile_networks(self.model, (cfg.get('train_cfg') or {}).get('compile'))
        wrapper = dict(cfg.optim_wrapper)
        build = dict(type=wrapper.pop('constructor', 'DefaultOptimWrapperConstructor'),
                     paramwise_cfg=wrapper.pop('paramwise_cfg', None), optim_wrapper_cfg=wrapper)
        self.optim = OPTIM_WRAPPER_CONSTRUCTORS.build(build)(self.model)
        self.runner = SimpleNamespace(model=self.model, iter=0)
        self.hooks = [EMAUpdateHook(**{k: v for k, v in hook.items() if k not in ('type', 'priority')})
                      for hook in cfg.get('custom_hooks') or () if hook['type'] == 'EMAUpdateHook']
        for hook in self.hooks:
            hook.before_train(self.runner)
        self.size = tuple(size or crop_size(cfg, self.model.streams[0]))
        self.batch_size = batch_size or cfg.train_dataloader[self.model.streams[0]].batch_size
        self.data = random_batch(self.model, self.size, self.batch_size)

    def iterate(self) -> None:
        """One iteration, as the training loop runs it."""
        self.model.train()
        for hook in self.hooks:
            hook.before_train_iter(self.runner, self.runner.iter)
        # total: far beyond the iterations that are measured
        self.model.train_step(self.data, self.optim, context=StepContext(0, iteration=self.runner.iter, total=10**6))
        for hook in self.hooks:
            hook.after_train_iter(self.runner, self.runner.iter)
        self.runner.iter += 1

    def timed(self) -> tuple[float, float]:
        """Seconds of one iteration: on the clock, and of computing on all CPU threads of this process."""
        self.synchronize()
        clock, computed = time.perf_counter(), time.process_time()
        self.iterate()
        self.synchronize()
        return time.perf_counter() - clock, time.process_time() - computed

    def synchronize(self) -> None:
        """Wait until a GPU has done what it was asked; nothing on a CPU."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)


def crop_size(cfg: Config, stream: str) -> tuple[int, int]:
    """(height, width) of the last crop in a stream's pipeline; ValueError where there is none."""
    dataset = training_loaders(cfg)[stream].dataset
    # the pipeline stands in the dataset inside wrappers
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    for step in reversed(dataset.get('pipeline', [])):
        if step['type'] in CROPS:
            value = step['crop_size']
            return (value, value) if isinstance(value, int) else tuple(value)
    raise ValueError(f'{cfg.filename}: stream "{stream}" has no crop of a fixed size: give --size HEIGHT WIDTH')


def random_batch(model, size: tuple[int, int], count: int) -> dict[str, dict]:
    """What the loaders of all streams would give, the same at every call.

    Images (3, H, W) are uint8; labels (1, H, W) int64 in blocks of 32 pixels, in labeled streams
    only. Unlabeled images have ``valid_pseudo_mask`` of ones: pseudo-labels count everywhere.

    Args:
        model: A training method.
        size: (height, width).
        count: Images of each stream.
    """
    generator, batch = torch.Generator().manual_seed(0), {}
    classes = getattr(model.student, 'num_classes', None) or 19
    height, width = size
    for stream in model.streams:
        images, samples = [], []
        for _ in range(count):
            images.append(torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8))
            blocks = torch.randint(0, classes, (1, -(-height // 32), -(-width // 32)), generator=generator)
            label = blocks.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, :height, :width].contiguous()
            sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
            if stream in model.labeled_streams:
                sample.gt_sem_seg = PixelData(data=label)
            else:
                sample.set_data(dict(valid_pseudo_mask=PixelData(data=torch.ones(1, height, width))))
            samples.append(sample)
        batch[stream] = dict(inputs=images, data_samples=samples)
    return batch


# ---------------------------------------------------------------- time
def compare_times(first: Trainer, second: Trainer, iterations: int, skip: int) -> dict[str, Any]:
    """Seconds per iteration of both, in turn; the order within a round changes from round to round.

    Returns:
        ``times`` (of each), ``median`` (of each) and ``ratio`` (first / second, median of
        neighbors) on the clock; the same in CPU seconds under ``cpu_times`` and so on.
    """
    times: list[list[tuple[float, float]]] = [[], []]
    for i in range(iterations + skip):
        order = ((0, first), (1, second)) if i % 2 == 0 else ((1, second), (0, first))
        for k, trainer in order:
            seconds = trainer.timed()
            if i >= skip:
                times[k].append(seconds)
    result: dict[str, Any] = {}
    for n, prefix in enumerate(('', 'cpu_')):  # the order of Trainer.timed
        chosen = [[seconds[n] for seconds in t] for t in times]
        result.update({f'{prefix}times': chosen, f'{prefix}median': [statistics.median(t) for t in chosen],
                       f'{prefix}ratio': statistics.median(a / b for a, b in zip(*chosen))})
    return result


# ---------------------------------------------------------------- memory
def peak_memory(config: str, size, batch_size, device: str, stage: str) -> int:
    """Peak bytes of three iterations of one method in this process; see the module's text for what is counted."""
    if torch.device(device).type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        trainer = Trainer(config, size, batch_size, device, stage)
        for _ in range(3):
            trainer.iterate()
        return torch.cuda.max_memory_allocated(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        trainer = Trainer(config, size, batch_size, device, stage)  # inside, so that its weights are counted
        for _ in range(3):
            trainer.iterate()
    return peak_of(profile)


def peak_of(profile: torch.profiler.profile) -> int:
    """Largest running sum of the allocations (+) and releases (-) on the CPU that a profile recorded, in bytes."""
    events = [(e.start_ns(), e.nbytes()) for e in profile.profiler.kineto_results.events()
              if e.name() == '[memory]' and e.device_type() == torch.autograd.DeviceType.CPU]
    held = peak = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        held += size
        peak = max(peak, held)
    return peak


def memory_in_own_process(config: str, args: argparse.Namespace) -> int:
    """Peak bytes of a config (:func:`peak_memory`), measured by this program with ``--memory-only``.

    Raises:
        ValueError: The process ended with a message for the user.
        RuntimeError: It ended with a traceback.
    """
    command = [sys.executable, str(Path(__file__).resolve()), config, '--memory-only', '--device', args.device,
               '--stage', args.stage]
    command += ['--size', *map(str, args.size)] if args.size else []
    command += ['--batch-size', str(args.batch_size)] if args.batch_size else []
    command += ['--threads', str(args.threads)] if args.threads else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        kind = ValueError if f'error ({DEBUG}' in done.stderr else RuntimeError  # how run_tool's messages begin
        raise kind(f'measuring the memory of {config} failed:\n{done.stderr[-3000:]}')
    return int(done.stdout.strip().splitlines()[-1])


# ---------------------------------------------------------------- command
def parse_args(argv: Optional[list[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config of method A, config of method B')
    parser.add_argument('--iters', type=int, default=20, help='timed iterations of each')
    parser.add_argument('--skip', type=int, default=3, help='iterations of each before those')
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--stage', choices=('finetune', 'warmup'), default='finetune')
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument('--json', help='write the numbers here as well')
    parser.add_argument('--memory-only', action='store_true', help='print the peak bytes of one config and stop')
    args = parser.parse_args(argv)
    if len(args.configs) != (1 if args.memory_only else 2):
        parser.error('give two configs (one with --memory-only)')
    if args.iters < 1 or args.skip < 0:
        parser.error(f'--iters {args.iters} must be positive and --skip {args.skip} not negative')
    return args


def main(argv: Optional[list[str]] = None) -> dict[str, Any]:
    """Measure and print; the numbers, or {} with ``--memory-only``."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    options = (args.size, args.batch_size, args.device, args.stage)
    if args.memory_only:
        print(peak_memory(args.configs[0], *options))
        return {}
    for config in args.configs:
        read_config_file(config)  # a wrong name is said before minutes of measuring
    memory = [memory_in_own_process(config, args) for config in args.configs]
    trainers = [Trainer(config, *options) for config in args.configs]
    result = compare_times(*trainers, args.iters, args.skip)
    result.update(memory=memory, memory_ratio=memory[0] / memory[1], names=[t.name for t in trainers],
                  size=[t.size for t in trainers], batch_size=[t.batch_size for t in trainers], device=args.device,
                  threads=torch.get_num_threads(), iterations=args.iters, stage=args.stage)
    for k, trainer in enumerate(trainers):
        print(f'{trainer.name}: {1000 * result["median"][k]:.1f} ms per iteration, peak {memory[k] / MIB:.0f} MiB '
              f'(batch {trainer.batch_size} at {trainer.size[0]}x{trainer.size[1]}, {args.device})')
    computed = f' (computing x{result["cpu_ratio"]:.2f})' if torch.device(args.device).type == 'cpu' else ''
    print(f'{trainers[0].name} / {trainers[1].name}: time x{result["ratio"]:.2f}{computed}, '
          f'memory x{result["memory_ratio"]:.2f}')
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2), encoding='utf-8')
    return result


if __name__ == '__main__':
    run_tool(main)
