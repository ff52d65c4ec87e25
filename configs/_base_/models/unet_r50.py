"""A U-Net decoder on ResNet-50: DDeP for an encoder everybody has (ours, not in the paper).

The stem's map at stride 2 is the finest skip feature: without it little of the noise can be predicted.
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
            type='StemResNet',  # mmseg's ResNet and its weights, the stem's map as first output
            depth=50,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            norm_cfg=dict(type='SyncBN', requires_grad=True),  # plain BatchNorm in a single process
            norm_eval=False,
            style='pytorch',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50.pth')),
        decode_head=dict(
            type='UNetHead',
            in_channels=[64, 256, 512, 1024, 2048],
            widths=[256, 128, 64, 32, 16],  # strides 16, 8, 4, 2 with skip features, then 1
            num_classes=19,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
