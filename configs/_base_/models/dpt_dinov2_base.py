"""DPT head on DINOv2-B as UniMatch V2 has it (docs/behavior/unimatch_v2.md#network): 97.5 million parameters, 10.9 of
them in the head.

Crops are multiples of 14; images of other sizes are brought to the nearest multiples for evaluation. The files of
``methods/`` make FixMatch, UniMatch and UniMatch V2 of it; alone it is trained on labelled images.
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
            type='PlainViT',
            arch='base',
            resize='multiple',
            final_norm=True,
            trainable='all',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/dinov2_base.pth')),
        decode_head=dict(
            type='DPTHead',
            in_channels=[768] * 4,
            in_index=[0, 1, 2, 3],
            num_classes=21,
            align_corners=True,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
