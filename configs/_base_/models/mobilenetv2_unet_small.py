"""MobileNetV2 (ImageNet weights) under a small U-Net decoder with a stride-2 skip: DDeP in the small real benchmark.

The skip is the encoder's first convolution: its first inverted residual squeezes the same stride to 16 channels, from
which linear regression on 3x3 neighbors tells 39 % of the noise's variance instead of 59 %. The decoder ends at
stride 2 to save time.
"""
model = dict(
    type='Supervised',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(
            type='StemMobileNetV2',
            out_indices=(1, 2, 4, 6),  # after the stem at stride 2: strides 4, 8, 16, 32
            init_cfg=dict(
                type='Pretrained',
                checkpoint='{{$MMSEG_DG_SHARED:../shared}}/weights/mobilenet_v2_mmcv.pth')),
        decode_head=dict(
            type='UNetHead',
            in_channels=[32, 24, 32, 96, 320],
            widths=[96, 64, 48, 48],
            num_classes=11,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            # the mean runs over labeled pixels: padding and void would shrink it otherwise
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
