"""VFM-UDA's network on DINOv2-B: images scaled by 1.1 to multiples of 14, last tokens, light upscaling head
(docs/behavior/foundation_encoders.md#heads)."""
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
        type='SlidingEncoderDecoder',
        backbone=dict(
            type='PlainViT',
            arch='base',
            out_indices=[-1],
            resize='scale',  # a crop of 1024 becomes 1120, 80 x 80 tokens
            scale_factor=1.1,
            trainable='all',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/dinov2_base.pth')),
        decode_head=dict(
            type='TokenUpscaleHead',
            in_channels=768,
            num_classes=19,
            align_corners=False,
            # the source's cross-entropy is a mean over labeled pixels (docs/behavior/mic.md#choices-here)
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        # docs/behavior/mic.md#vfm-uda-step
        test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(512, 512), window_sum='softmax')))
