"""A very small mask diffusion network for the tests, and batches it learns from."""
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.registry import MODELS

CLASSES = 4


def network_config(denoiser=None, **kwargs):
    """A Mix Transformer and a DAFormer head of 8 channels (float32, logits at stride 4), four classes."""
    head = dict(type='DAFormerHead', in_channels=[8] * 4, channels=8, embed_channels=8, num_classes=CLASSES,
                fusion=dict(type='conv1x1'), norm_cfg=dict(type='BN'), dropout_ratio=0.,
                loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True))
    denoiser = dict(dict(type='MaskDenoiserHead', in_channels=8, channels=16, num_layers=2, heads=2, ffn_channels=16,
                         loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)), **(denoiser or {}))
    backbone = dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4,
                    drop_path_rate=0.)
    return dict(dict(type='MaskDiffusionEncoderDecoder', backbone=backbone, decode_head=head, denoiser=denoiser,
                     train_cfg=dict(), test_cfg=dict(mode='whole')), **kwargs)


def build(**kwargs):
    torch.manual_seed(0)
    model = MODELS.build(network_config(**kwargs))
    torch.nn.init.normal_(model.denoiser.conv_seg.weight, 0, 0.5)  # decisions that depend on what is fed
    return model.eval()


def labels_of(count=2, size=64, seed=0):
    """Random squares of 16 pixels, (count, size, size) int64."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count, size // 16, size // 16), generator=generator)
    return labels.repeat_interleave(16, 1).repeat_interleave(16, 2)


def images_of(labels, noise=0.3, seed=0):
    """Images whose color tells the class, (B, 3, H, W)."""
    colors = torch.tensor([[1., 0, 0], [0, 1., 0], [0, 0, 1.], [-1., -1., 0]])
    images = colors[labels.clamp(max=CLASSES - 1)].permute(0, 3, 1, 2)
    return images + noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def batch_of(count=2, size=64, seed=0, padding=0, mix=False):
    """A semi-supervised batch; ``padding`` columns at the right of unlabeled images are marked invalid."""
    def unlabeled(seed):
        valid = torch.ones(1, size, size)
        valid[..., size - padding:] = 0
        return dict(inputs=images_of(labels_of(count, size, seed), seed=seed),
                    data_samples=[SegDataSample(valid_pseudo_mask=PixelData(data=valid)) for _ in range(count)])
    labels = labels_of(count, size, seed)
    batch = dict(labeled=dict(inputs=images_of(labels, seed=seed), data_samples=[
        SegDataSample(gt_sem_seg=PixelData(data=x[None])) for x in labels]), unlabeled=unlabeled(seed + 1))
    return dict(batch, unlabeled_mix=unlabeled(seed + 2)) if mix else batch
