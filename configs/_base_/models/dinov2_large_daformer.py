"""DINOv2-L under DAFormer's decoder: one token map at strides 4 to 32, patches resampled to 16 pixels.

Rein and SoMA have this pyramid under Mask2Former (docs/behavior/foundation_encoders.md#heads); with this decoder
it is ours.
"""
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
            arch='large',
            patch_size=16,
            patch_resample='bicubic',  # as in Rein and SoMA
            out_indices=[7, 11, 15, 23],
            final_norm=False,
            resize='multiple',  # windows that a small image cuts short
            with_cp=True,
            trainable='all',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/dinov2_large.pth')),
        neck=dict(type='TokenPyramidNeck', scales=(4, 2, 1, 0.5)),
        decode_head=dict(
            type='DAFormerHead',
            in_channels=[1024, 1024, 1024, 1024],
            in_index=[0, 1, 2, 3],
            channels=256,
            embed_channels=256,
            fusion=dict(type='sep_aspp', dilations=(1, 6, 12, 18)),
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        # docs/behavior/mic.md#domain-generalization
        test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341))))
