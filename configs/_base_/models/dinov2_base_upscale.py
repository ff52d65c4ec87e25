"""VFM-UDA's network on DINOv2-B: images scaled by 1.1 to multiples of 14, last tokens, light upscaling head
(docs/behavior/foundation_encoders.md#heads)."""
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
            arch='base',
            out_indices=[-1],
            resize='scale',  # a crop of 1024 becomes 1120, 80 x 80 tokens
            scale_factor=1.1,
            trainable='all',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/dinov2_base.pth')),
        decode_head=dict(
            type='TokenUpscaleHead',
            in_channels=768,
            num_classes=19,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
