"""MobileNetV2 (ImageNet weights) under a narrow DAFormer head: the network of the small real benchmark.

With 64 channels the head costs about as much as the encoder at crop 256 (one CPU thread, batch 2, forward + backward:
encoder 0.24 s, head fusion 0.36 s; with 128 channels the fusion alone takes 0.73 s).
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
            type='MobileNetV2',
            out_indices=(1, 2, 4, 6),  # strides 4, 8, 16, 32
            init_cfg=dict(
                type='Pretrained',
                checkpoint='{{$MMSEG_DG_SHARED:../shared}}/weights/mobilenet_v2_mmcv.pth')),
        decode_head=dict(
            type='DAFormerHead',
            in_channels=[24, 32, 96, 320],
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
