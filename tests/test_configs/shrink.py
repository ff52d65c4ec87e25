"""Any config made so small that its real training takes a second on one core; nothing of its structure is changed."""
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from .catalog import without_weights
from .shrink_parts import shrink_heads, shrink_hybrid_vit, shrink_plain_vit, write_denoiser

CROP = (64, 64)
DETAIL = (32, 32)
#: Channels of the encoders' four levels, full size -> shrunken.
MIT = {64: 8, 128: 16, 320: 40, 512: 64}
MIT_B0 = {32: 8, 64: 16, 160: 40, 256: 64}
RESNET = {256: 16, 512: 32, 1024: 64, 2048: 128}


def shrink(cfg: Config, folder: Path, data: Path, iters: int = 2) -> Config:
    """Shrink a config in place.

    Args:
        cfg: Any config of the package.
        folder: Work folder of the run; random "pretrained" weights are written there where the method needs some.
        data: Folder of :func:`fake_data.write_all`.
        iters: Iterations to train; the last one is validated and saved.
    """
    if not cfg.get('load_from'):  # a network that ships with its weights is small already
        _shrink_network(cfg.model.network)
    write_denoiser(cfg, folder)
    distance = cfg.model.get('feature_distance')
    if distance and distance.get('type') == 'ProjectedFeatureDistance':
        shrink_plain_vit(distance.encoder)
        distance.update(in_channels=16, out_channels=16, size=56)
        _write_pretrained(distance.encoder, folder / 'frozen_encoder.pth')
    elif distance:
        _write_pretrained(cfg.model.network.backbone, folder / 'encoder.pth')
    for loaders in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for loader in loaders.values():
            loader.update(num_workers=0, persistent_workers=False, batch_size=min(loader.batch_size, 2))
            _shrink_sampler(loader.sampler)
            _shrink_dataset(loader.dataset, data)
    cfg.train_cfg.update(max_iters=iters, val_interval=iters)
    if cfg.train_cfg.get('crop_size'):
        cfg.train_cfg.crop_size = CROP
    for key in ('max_epochs', 'epoch_stream', 'val_begin'):
        cfg.train_cfg.pop(key, None)
    for scheduler in cfg.param_scheduler:
        if 'warmup_iters' in scheduler:
            scheduler.warmup_iters = min(scheduler.warmup_iters, 1)
    for hook in cfg.get('custom_hooks', []):
        if hook.type == 'TrainingPicturesHook':
            hook.interval = iters
        if hook.type == 'StylePrototypeHook':
            hook.interval = 1
    _shrink_stages(cfg)
    if 'ignore_bottom' in cfg.model:
        cfg.model.update(ignore_top=cfg.model.ignore_top // 8, ignore_bottom=cfg.model.ignore_bottom // 8)
    if cfg.model.get('alignment'):
        _shrink_alignment(cfg.model.alignment)
    if cfg.model.get('masked', {}).get('block_size'):
        cfg.model.masked.block_size = 16
    if cfg.model.get('detail_crop'):
        cfg.model.detail_crop.update(start=iters // 2, stride=8)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = iters
    cfg.work_dir = str(folder / 'work')
    return cfg


def _shrink_stages(cfg: Config) -> None:
    """DeFT: one iteration of decoder warm-up, the other of decoupled finetuning."""
    for part in [cfg.model, *cfg.get('custom_hooks', [])]:
        if part.get('warmup_iters'):
            part.warmup_iters = 1
        if part.type == 'ReestimateStatisticsHook':
            part.batches = 1


def _shrink_dataset(dataset: ConfigDict, data: Path) -> None:
    for part in dataset.get('datasets', ()):
        _shrink_dataset(part, data)
    if 'datasets' in dataset:
        return
    if dataset.type == 'SynthCityDataset':
        dataset.update(num_images=3, size=(128, 64), data_root=str(data / 'city'), num_workers=1)
    else:
        root = Path(dataset.data_root)
        dataset.data_root = str(data / (root.relative_to('data') if root.parts[0] == 'data' else root.name))
        dataset.pop('indices', None)  # of more images than there are
        if re.search('splits_(camvid|idd)', dataset.get('ann_file', '')):  # lists of real frames, beside the configs
            dataset.ann_file = str(Path('splits', *Path(dataset.ann_file).parts[-2:]))
    for step in dataset.pipeline:
        if 'scale' in step:
            step.scale = (128, 80)
        if 'crop_size' in step:
            step.crop_size = CROP
        if 'height' in step:
            step.height = CROP[0]
        if step.type in ('CenterCropPad', 'Pad') and 'size' in step:
            step.size = CROP
        if 'min_crop_pixels' in step:
            step.min_crop_pixels = 20
        if step.type == 'PseudoLabelMargins':
            step.update({side: step[side] // 16 for side in ('top', 'bottom', 'left', 'right') if side in step})


def _shrink_alignment(term: ConfigDict) -> None:
    if term.get('projection'):
        term.projection.channels = 8
    if term.type == 'PixelContrast':
        term.update(weight_channels=8, resolution=9)


def _shrink_sampler(sampler: ConfigDict) -> None:
    if 'min_pixels' in sampler:
        sampler.min_pixels = 20
    if sampler.get('tiles') == 'complete':
        sampler.tile = 32  # the fake labels are smaller than a tile of the real ones


def _shrink_network(network: ConfigDict) -> None:
    network.update(without_weights(network))
    backbone, head = network.backbone, network.decode_head
    if backbone.type == 'MixTransformer':
        channels = MIT if backbone.arch != 'b0' else MIT_B0
        backbone.update(arch='b0', embed_dims=8, num_layers=[1, 1, 1, 1])
    elif backbone.type == 'PlainViT':
        channels = shrink_plain_vit(backbone)
    elif backbone.type == 'mmpretrain.VisionTransformer':
        channels = {768: 16}
        backbone.update(arch=dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32), img_size=64,
                        out_indices=(0, 1, 2, 3))
    elif backbone.type == 'HybridViT':
        channels = shrink_hybrid_vit(backbone)
    elif 'depth' in backbone:
        channels = {**RESNET, 64: 8} if backbone.type == 'StemResNet' else RESNET
        backbone.update(depth=50, base_channels=4, stem_channels=8)
    else:
        channels = {}
    if backbone.get('style_hallucination') is not None:
        backbone.style_hallucination.num_prototypes = 4  # more than the images: they are repeated
    _replace_channels(head, channels)
    shrink_heads(network)
    if head.type == 'HRDAHead':
        head.attention_channels = 16
        _replace_channels(head['head'], channels)
        # a detail crop as large as the context crop stays so
        network.hr_crop_size = CROP if network.hr_crop_size == network.test_cfg.get('crop_size') else DETAIL
    if network.test_cfg.mode == 'slide':
        network.test_cfg.update(crop_size=CROP, stride=DETAIL)


def _replace_channels(head: ConfigDict, channels: dict) -> None:
    for key in ('in_channels', 'c1_in_channels'):
        if key in head:
            head[key] = _mapped(head[key], channels)
    for key, least in dict(channels=16, embed_channels=16, isa_channels=8, pam_channels=4, c1_channels=8).items():
        if key in head:
            head[key] = min(head[key], least)
    if 'isa_channels' in head.get('fusion', {}):
        head.fusion.isa_channels = 8


def _mapped(value: Any, channels: dict) -> Any:
    return [channels.get(v, v) for v in value] if isinstance(value, (list, tuple)) else channels.get(value, value)


def _write_pretrained(backbone: ConfigDict, path: Path) -> None:
    """The feature distance wants a pretrained encoder: save a random one."""
    from mmseg_dg.registry import MODELS
    module = MODELS.build(without_weights(backbone))
    module.init_weights()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), path)
    backbone.init_cfg = dict(type='Pretrained', checkpoint=str(path))


def family(cfg: Config) -> tuple[str, ...]:
    """What makes two configs run the same code: method and its options, parts of the network, classes of the data."""
    method = cfg.model.type + (' + distance' if cfg.model.get('feature_distance') else '')
    method += ' + styles' if cfg.model.network.backbone.get('style_hallucination') is not None else ''
    method += ' + restyled' * bool(cfg.model.get('style_augmentation')) + ' + L2-SP' * bool(cfg.model.get('distance'))
    alignment = cfg.model.get('alignment')
    method += f' + {alignment.type}' + ' projected' * bool(alignment.get('projection')) if alignment else ''
    method += ' + CutMix' * (cfg.model.get('cutmix') is not None)
    method += f' + masked {cfg.model.masked.images} {cfg.model.masked.mode}' if cfg.model.get('masked') else ''
    method += ' + few' * bool(cfg.model.get('target_labeled_stream'))
    method += ' + denoised decoder' * bool(cfg.model.get('init_cfg'))
    method += ' + adjusted ' + cfg.model.adjustment.where if cfg.model.get('adjustment') else ''
    method += ' trained' * bool(cfg.model.get('train_encoder')) + f' {cfg.model.get("target", "")}'
    network, head = cfg.model.network, cfg.model.network.decode_head
    decoder = ''
    if 'denoiser' in network:
        decoder = f'{network.denoiser.get("layer")} denoiser of {network.denoiser.get("code")} on '
    if head.type == 'HRDAHead':
        decoder, head = 'HRDA ', head['head']
        decoder += 'fixed ' if network.decode_head.get('fixed_attention') is not None else ''
        decoder += 'all ' if cfg.model.get('feature_distance') and cfg.model.feature_distance.scale == 'all' else ''
    decoder += f'{head.type}/{head.fusion.type}' if 'fusion' in head else head.type
    return method, network.backbone.type, (network.get('neck') or {}).get('type', ''), decoder
