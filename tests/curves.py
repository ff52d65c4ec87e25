"""Loss curves: 20 training steps of every method on every kind of network, shrunken, in double precision.

What a curve depends on is written down here and nowhere else: weights are a function of a parameter's name and shape
(no initialization enters), batches of the stream's name and the iteration, every random decision of the step's own
seed. No file is read and no picture resized, so that a curve stays where data pipelines change, and moves where a
method, a network, a loss, an average or the optimizer does. ``tools/dev/loss_curves.py`` writes them.
"""
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import torch
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from recorded import ASSETS
from test_configs.catalog import load
from test_configs.shrink import shrink
from torch import nn

from mmseg_dg.methods.step import StepContext
from mmseg_dg.registry import HOOKS, MODELS, PARAM_SCHEDULERS, WEIGHT_INITIALIZERS

FOLDER = ASSETS / 'curves'
ITERATIONS = 20
WARMUP = 5
SIZE = (64, 64)
SEED = 20
#: Largest relative deviation at iteration 1 and at the last one.
FIRST, LAST = 1e-6, 1e-3
#: Curve -> config: one per method and family of networks (MiT; ResNet and the hybrid encoder with it).
CURVES = {
    'supervised_mit': 'target_only_daformer_mitb5_cityscapes',
    'supervised_resnet': 'supervised_only_r50_voc_classic_183',
    'daformer_mit': 'daformer_mitb5_gta2cityscapes',
    'dacs_resnet': 'dacs_deeplabv2_r101_gta2cityscapes',
    'hrda_mit': 'hrda_mitb5_gta2cityscapes',
    'hrda_resnet': 'hrda_deeplabv2_r101_gta2cityscapes',
    'dg_mit': 'daformer_dg_mitb5_gta',
    'dg_shade_mit': 'daformer_dg_shade_mitb5_gta',
    'dg_shade_hrda_mit': 'hrda_dg_shade_mitb5_gta',
    'deft_mit': 'deft_daformer_mitb5_gta',
    'deft_resnet': 'deft_r50_gta',
    'deft_released_resnet': 'deft_r50_gta_released --row acc',
    'pixl_uda_mit': 'pixl_hrda_mitb5_gta2cityscapes',
    'pixl_semi_resnet': 'pixl_hrda_deeplabv3plus_r101_cityscapes_1_8',
    'pixl_full_mit': 'pixl_hrda_mitb5_cityscapes_full',
    'mic_mit': 'mic_daformer_mitb5_gta2cityscapes',
    'mic_hrda_mit': 'mic_hrda_mitb5_gta2cityscapes',
    'vfm_uda_vit': 'vfm_uda_dinov2_base_gta2cityscapes',
    'vfm_uda_projected_vit': 'vfm_uda_dinov2_base_gta2cityscapes',
    'ssda_vit': 'ssda_dinov2_base_gta2cityscapes_1_16',
    'cluda_mit': 'cluda_hrda_mitb5_gta2cityscapes',
    'ddep_pretrain_mit': 'ddep_daformer_mitb5_imagenet1k',
    'ddep_pretrain_resnet': 'ddep_transunet_1x_imagenet21k',
    'ddep_finetune_mit': 'ddep_daformer_mitb5_cityscapes_1_30',
    'ddep_finetune_resnet': 'ddep_unet_r50_cityscapes_1_30',
    'fixmatch_resnet': 'fixmatch_r50_voc_classic_183',
    'unimatch_resnet': 'unimatch_r50_voc_classic_183',
    'unimatch_v2_vit': 'unimatch_v2_dinov2_base_voc_classic_183',
    'diffmatch_resnet': 'diffmatch_r50_voc_classic_183',
    'diffmatch_ddp_resnet': 'diffmatch_r50_voc_classic_183 --row noresidual',
}
_ENCODER = dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=2, num_heads=2), out_indices=(1, ))
#: Curve -> what it changes in ``model``. No teacher of 20 iterations is sure, and weight 0 teaches nothing.
OVERRIDES = {
    'mic_mit': dict(pseudo_threshold=0.3),
    'mic_hrda_mit': dict(pseudo_threshold=0.3),
    'vfm_uda_vit': dict(pseudo_threshold=0.3),
    'vfm_uda_projected_vit': dict(pseudo_threshold=0.3, feature_distance=dict(
        type='ProjectedFeatureDistance', encoder=_ENCODER, in_channels=16, out_channels=8, size=56)),
    'ssda_vit': dict(pseudo_threshold=0.3),
    'unimatch_v2_vit': dict(threshold=0.2),
}


# ---------------------------------------------------------------------- weights and data
def generator_of(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


@torch.no_grad()
def fill(module: nn.Module, prefix: str = '') -> None:
    """Weights as a function of names: matrices normal with variance 2 / fan-in, vectors near what they usually are."""
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator_of(prefix + name), dtype=torch.float64)
        if parameter.dim() > 1:
            value = noise * math.sqrt(2 / max(1, parameter[0].numel()))
        else:
            value = 0.1 * noise + (1. if name.endswith('weight') else 0.)
        parameter.copy_(value)


def batch_of(stream: str, labeled: bool, classes: int, iteration: int, unit: bool) -> dict:
    """Two images of colored cells with noise: (2, 3, H, W) float64, normalized (``unit``: within [-1, 1])."""
    generator = generator_of(f'{stream} {iteration}')
    colors = torch.randn(256, 3, generator=generator_of('colors'), dtype=torch.float64)
    height, width = SIZE
    labels = torch.randint(0, classes, (2, height // 16, width // 16), generator=generator)
    labels[:, 2:, 2:] = labels[:, 2:3, 2:3] % 8 + 11 if classes == 19 else labels[:, 2:3, 2:3]  # a whole thing, 32x32
    labels[0, 0, 0] = 255
    labels = labels.repeat_interleave(16, 1).repeat_interleave(16, 2)  # (2, H, W)
    images = colors[labels].permute(0, 3, 1, 2)
    images = images + 0.3 * torch.randn(images.shape, generator=generator, dtype=torch.float64)
    if unit:
        images = (images / 4).clamp(-1, 1)
    samples = []
    for label in labels:
        sample = SegDataSample()
        if labeled:
            sample.gt_sem_seg = PixelData(data=label.unsqueeze(0))
        mask = torch.ones(1, height, width, dtype=torch.uint8)
        mask[:, :4] = 0
        sample.valid_pseudo_mask = PixelData(data=mask)
        samples.append(sample)
    return dict(inputs=images.contiguous(), data_samples=samples)


# ---------------------------------------------------------------------- the run
class Run:
    """A shrunken config, trained without files, loaders and logs; hooks that change training take part.

    Args:
        name: Of :data:`CURVES`.
        folder: Where a method that starts from a file finds it.
    """

    def __init__(self, name: str, folder: Path) -> None:
        init_default_scope('mmseg_dg')
        self.cfg = shrink(load(CURVES[name]), folder, folder / 'data', ITERATIONS)
        model = self.cfg.model
        for part in [model, *self.cfg.get('custom_hooks', [])]:
            if part.get('warmup_iters'):
                part.warmup_iters = WARMUP
        model.update(OVERRIDES.get(name, {}))
        self.method = MODELS.build(model)
        fill(self.method)
        self._start_file(folder)
        self.method.sync_copies()
        if getattr(self.method, 'imnet', None) is not None:
            fill(self.method.imnet, 'imnet.')
        self.method.double()
        self._prepare()
        wrapper = build_optim_wrapper(self.method, self.cfg.optim_wrapper)
        MessageHub.get_current_instance().update_info('max_iters', ITERATIONS)
        schedulers = []
        for scheduler in self.cfg.param_scheduler:
            if 'warmup_iters' in scheduler and scheduler.type != 'TwoStagePolyLR':
                scheduler.warmup_iters = 2
            schedulers.append(PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=wrapper)))
        self.runner = SimpleNamespace(model=self.method, iter=0, max_iters=ITERATIONS, optim_wrapper=wrapper,
                                      param_schedulers=schedulers, seed=SEED,
                                      message_hub=MessageHub.get_current_instance())
        kinds = ('DecoderWarmupHook', 'EMAUpdateHook')
        self.hooks = [HOOKS.build(h) for h in sorted(self.cfg.get('custom_hooks', []), key=lambda h: h.type)
                      if h.type in kinds]

    def _start_file(self, folder: Path) -> None:
        """A denoised decoder, from a file with weights of its own, as finetuning loads it."""
        start = self.cfg.model.get('init_cfg')
        if not start or start.type != 'PretrainedDenoiser':
            return
        state = torch.load(start.checkpoint, weights_only=True)
        for key, value in state.items():
            if value.is_floating_point() and value.dim() > 1 and 'encoder_' not in key:
                noise = torch.randn(value.shape, generator=generator_of('denoiser.' + key))
                value.copy_(noise * math.sqrt(2 / max(1, value[0].numel())))
        torch.save(state, start.checkpoint)
        WEIGHT_INITIALIZERS.build(start)(self.method)

    def _prepare(self) -> None:
        """What hooks that read files would set: prototypes of styles, class frequencies."""
        styles = getattr(self.method, 'styles', None)
        if styles is not None:
            shape = styles.proto_mean.shape
            mean, std = (torch.randn(shape, generator=generator_of(f'styles {k}'), dtype=torch.float64) for k in 'ab')
            styles.set_prototypes(mean, std.abs() + 0.5)
        for module in self.method.modules():
            if hasattr(module, 'set_class_counts'):
                module.set_class_counts(torch.arange(1, module.num_classes + 1) ** 2)

    def steps(self) -> Iterator[dict[str, float]]:
        """The logged losses of one iteration after the other."""
        runner, method = self.runner, self.method
        method.train()
        for hook in self.hooks:
            hook.before_train(runner)
        head = getattr(method.student, 'decode_head', None)
        classes = getattr(head, 'num_classes', None) or method.student.num_classes
        unit = type(method).__name__ == 'DDeP'
        for iteration in range(ITERATIONS):
            runner.iter = iteration
            for hook in self.hooks:
                hook.before_train_iter(runner, iteration)
            data = {s: batch_of(s, s in method.labeled_streams, classes, iteration, unit) for s in method.streams}
            context = StepContext(SEED, iteration=iteration, total=ITERATIONS)
            values = method.train_step(data, runner.optim_wrapper, context=context, preprocess=False)
            for hook in self.hooks:
                hook.after_train_iter(runner, iteration)
            for scheduler in runner.param_schedulers:
                scheduler.step()
            yield {k: float(v) for k, v in values.items() if 'loss' in k}


def curve(name: str, folder: Path, iterations: Optional[int] = None) -> list[dict[str, float]]:
    """Losses by name, one dict per iteration; on one thread, the caller's random state restored."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            steps = Run(name, folder).steps()
            return [values for values, _ in zip(steps, range(iterations or ITERATIONS))]
    finally:
        torch.set_num_threads(threads)


# ---------------------------------------------------------------------- text
def to_text(name: str, values: list[dict[str, float]]) -> str:
    """A table: iteration (1-based), then every loss; methods may log other losses in a second stage."""
    names = sorted({k for row in values for k in row})
    lines = [f'# {CURVES[name]}, shrunken, float64: tools/dev/loss_curves.py', '\t'.join(['iteration', *names])]
    for i, row in enumerate(values):
        lines.append('\t'.join([str(i + 1), *(f'{row[k]:.12e}' if k in row else '-' for k in names)]))
    return '\n'.join(lines) + '\n'


def from_text(text: str) -> list[dict[str, float]]:
    """What :func:`to_text` wrote."""
    _, header, *rows = text.splitlines()
    names = header.split('\t')[1:]
    return [{k: float(v) for k, v in zip(names, row.split('\t')[1:]) if v != '-'} for row in rows]


def deviation(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Largest relative deviation of any loss; infinite where the names differ or a loss is not a number.

    A loss below a millionth of the total is compared on that scale.
    """
    if ours.keys() != theirs.keys():
        return math.inf
    least = 1e-6 * abs(theirs['loss'])
    found = [abs(ours[k] - v) / max(abs(v), least, 1e-300) for k, v in theirs.items()]
    return max((math.inf if math.isnan(x) else x for x in found), default=math.inf)


