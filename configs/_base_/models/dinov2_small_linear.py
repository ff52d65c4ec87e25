"""Linear probe: one linear layer on the last tokens of DINOv2-S (docs/behavior/foundation_encoders.md#heads).

Patches are resampled to 16 pixels for crops of 512 and 1024. ``backbone.trainable='none'`` freezes the encoder."""
model = dict(
    type='Supervised',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # RGB, ImageNet: DINOv2's own
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(
            type='PlainViT',
            arch='small',
            patch_size=16,
            patch_resample='pi',
            out_indices=[-1],
            trainable='all',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/dinov2_small.pth')),
        decode_head=dict(
            type='TokenLinearHead',
            in_channels=384,
            num_classes=19,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
