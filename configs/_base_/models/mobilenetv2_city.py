"""MobileNetV2 under a narrow DAFormer head, both from the weights that ship with the package.

The encoder began at ImageNet weights and, with the head, was trained on the built-in city by day
(``mmseg_dg/assets/city_day_mobilenetv2.json`` says how). A run that continues the whole network adds
``load_from = 'mmseg_dg://city_day_mobilenetv2'``; without that line only the encoder is taken.
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
            init_cfg=dict(type='Pretrained', checkpoint='mmseg_dg://city_day_mobilenetv2', prefix='backbone.')),
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
