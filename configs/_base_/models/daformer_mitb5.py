"""DAFormer network: MiT-B5 encoder, context-aware fusion of all four levels
(docs/behavior/daformer_hrda.md#daformer-decoder; 85.2 million parameters)."""
model = dict(
    type='Supervised',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # RGB, ImageNet (docs/behavior/daformer_hrda.md#data-pipelines)
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(
            type='MixTransformer',
            arch='b5',
            drop_path_rate=0.1,  # never overridden by DAFormer (docs/behavior/daformer_hrda.md#mix-transformer)
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/mit_b5.pth')),
        decode_head=dict(
            type='DAFormerHead',
            in_channels=[64, 128, 320, 512],
            in_index=[0, 1, 2, 3],
            channels=256,
            embed_channels=256,
            fusion=dict(type='sep_aspp', dilations=(1, 6, 12, 18)),  # docs/behavior/daformer_hrda.md#daformer-decoder
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
