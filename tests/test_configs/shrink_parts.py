"""Shrinking of what the label-efficient systems add: mask denoisers, U-Nets, hybrid encoders, denoised decoders."""
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict

#: Channels of the hybrid encoder's levels, full size -> shrunken (GroupNorm has 32 groups).
HYBRID = {64: 32, 256: 128, 512: 256, 768: 32}


def shrink_hybrid_vit(backbone: ConfigDict) -> dict:
    """One unit per stage and one narrow Transformer layer; returns the map of channels."""
    backbone.update(stem_channels=32, stages=(1, 1, 1), embed_dims=32, num_layers=1, num_heads=2,
                    feedforward_channels=32)
    return HYBRID


def shrink_plain_vit(backbone: ConfigDict) -> dict:
    """Four narrow blocks: their maps, or the last one's."""
    single = len(backbone.get('out_indices') or range(4)) == 1
    backbone.update(arch=dict(embed_dims=16, num_layers=4, num_heads=2), out_indices=(3, ) if single else (0, 1, 2, 3))
    if backbone.get('lora'):
        backbone.lora.update(rank=4, alpha=4, first_block=1)
    return {384: 16, 768: 16, 1024: 16}


def shrink_heads(network: ConfigDict) -> None:
    """Narrow decoders whose width is a list, and mask denoisers."""
    head = network.decode_head
    if head.type == 'DPTHead':
        head.update(channels=8, level_channels=(8, 8, 8, 8))
    if 'widths' in head:
        head.widths = [16] + [8] * (len(head.widths) - 1)
    if 'denoiser' in network:
        network.denoiser.update(in_channels=16, channels=16, heads=2, points=2, ffn_channels=16, time_channels=16)


def write_denoiser(cfg: Config, folder: Path) -> None:
    """The denoised decoder a finetuning starts from: that of a DDeP of the same network, untrained."""
    from mmseg_dg.registry import MODELS
    if not (cfg.model.get('init_cfg') or {}).get('type') == 'PretrainedDenoiser':
        return
    norm = {key: cfg.model.data_preprocessor[key] for key in ('mean', 'std')}
    method = MODELS.build(dict(type='DDeP', network=cfg.model.network, encoder_norm=norm))
    method.init_weights()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(method.state_dict(), folder / 'denoiser.pth')
    cfg.model.init_cfg.checkpoint = str(folder / 'denoiser.pth')
