"""The network and hyper-parameters of the recorded official DAFormer step: MiT-B0, decoder width 64, no dropout.

``python tools/replay_official.py RECORD tests/replay_configs/replay_daformer_mitb0.py``; values from the record's own
``cfg`` (bands 8 / 60 for the 256 crop, constant rates 6e-5 and 6e-4, no schedule).
"""
default_scope = 'mmseg_dg'
custom_imports = dict(imports=['mmseg_dg'])
model = dict(
    type='DACS',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(type='MixTransformer', arch='b0', drop_path_rate=0.0),
        decode_head=dict(
            type='DAFormerHead', in_channels=[32, 64, 160, 256], in_index=[0, 1, 2, 3], channels=64, embed_channels=64,
            fusion=dict(type='sep_aspp', dilations=(1, 6, 12, 18)), dropout_ratio=0.0, num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True), align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')),
    pseudo_threshold=0.968,
    ignore_top=8,
    ignore_bottom=60,
    feature_distance=dict(weight=0.005, classes=[6, 7, 11, 12, 13, 14, 15, 16, 17, 18], min_ratio=0.75))
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='MergedParamGroups',
    optimizer=dict(type='AdamW', lr=6e-05, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(head=dict(lr_mult=10.0), pos_block=dict(decay_mult=0.0), norm=dict(decay_mult=0.0)),
        norm_decay_mult=0.0))
