"""UniMatch V2's network on DINOv2-S: four normed maps and a DPT decoder; crops are multiples of 14, test images are
resized to multiples (docs/behavior/foundation_encoders.md#heads)."""
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
            out_indices=[2, 5, 8, 11],
            final_norm=True,
            resize='multiple',
            trainable='all',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/dinov2_small.pth')),
        decode_head=dict(
            type='DPTHead',
            in_channels=[384, 384, 384, 384],
            num_classes=21,
            align_corners=True,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
