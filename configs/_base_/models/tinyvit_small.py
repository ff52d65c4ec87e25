"""TinyViT-5M distilled from SAM under a narrow DAFormer head: the stand-in for a foundation encoder without a GPU.

The encoder's four maps have strides 4, 8, 16, 16 (docs/behavior/foundation_encoders.md#tinyvit); the head is that of
mobilenetv2_small.py. BatchNorm of the encoder stays on its running statistics.
"""
model = dict(
    type='Supervised',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # RGB, ImageNet: SAM's own
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(
            type='TinyViT',
            arch='5m',
            last_stride=1,
            norm_eval=True,
            trainable='all',
            init_cfg=dict(
                type='Pretrained',
                checkpoint='{{$MMSEG_DG_SHARED:../shared}}/weights/tinyvit_5m_sam.pth')),
        decode_head=dict(
            type='DAFormerHead',
            in_channels=[64, 128, 160, 320],
            in_index=[0, 1, 2, 3],
            channels=64,
            embed_channels=64,
            fusion=dict(type='sep_aspp', dilations=(1, 6, 12, 18)),
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
