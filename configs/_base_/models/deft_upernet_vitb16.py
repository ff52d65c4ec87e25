"""ViT-B/16 of mmpretrain under UPerNet, for DeFT on a plain transformer. Ours: no paper has this combination here.

Four of its twelve blocks are brought to strides 4, 8, 16, 16 by resizing. The usual pyramid of transposed convolutions
would belong to the encoder, which the decoder warm-up keeps frozen, with random weights.
Needs ``custom_imports`` of ``mmseg_dg.mmpretrain``, which a leaf sets.
"""
model = dict(
    type='JointFinetuning',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor',
        mean=[127.5, 127.5, 127.5],  # of these weights
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(
            type='mmpretrain.VisionTransformer',
            arch='b',
            img_size=384,  # of the position embedding; resized to the images
            patch_size=16,
            out_indices=(2, 5, 8, 11),
            out_type='featmap',
            drop_path_rate=0.1,
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/vit_b16.pth', prefix='backbone.')),
        neck=dict(type='FeatureUpsampleNeck', in_index=(0, 1), scales=(4, 2)),
        decode_head=dict(
            type='UPerHead',
            in_channels=[768, 768, 768, 768],
            in_index=[0, 1, 2, 3],
            pool_scales=(1, 2, 3, 6),
            channels=256,
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
