"""TransUNet as DDeP uses it: hybrid encoder R50+ViT-B/16 (ImageNet-21k weights) and a U-Net decoder of width 1.

The decoder's widths are unconfirmed (docs/behavior/ddep.md#confirmed-inferred-unconfirmed); ``width_multiplier`` is 1,
2 or 3 in the paper. Images are on the scale [-1, 1], as the encoder's weights want them. ``init_cfg`` of the model is
where a finetuning names its denoised decoder.
"""
model = dict(
    type='Supervised',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor',
        mean=[127.5, 127.5, 127.5],  # [-1, 1] (docs/behavior/ddep.md#confirmed-inferred-unconfirmed)
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(
            type='HybridViT',
            drop_rate=0.1,
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/r50_vit_b16.pth')),
        decode_head=dict(
            type='TransUNetHead',
            in_channels=[64, 256, 512, 768],
            widths=[1024, 512, 256, 128, 64],
            width_multiplier=1,
            classifier_kernel=3,
            num_classes=19,
            norm_cfg=dict(type='SyncBN', requires_grad=True),  # plain BatchNorm in a single process
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
