"""HRDA: MiT-B5 and one DAFormer head on context and detail, learned attention
(docs/behavior/daformer_hrda.md#hrda-network; 85.7 million parameters)."""
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
        type='HRDAEncoderDecoder',
        backbone=dict(
            type='MixTransformer',
            arch='b5',
            drop_path_rate=0.1,  # docs/behavior/daformer_hrda.md#mix-transformer
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/mit_b5.pth')),
        decode_head=dict(
            type='HRDAHead',
            head=dict(
                type='DAFormerHead',
                in_channels=[64, 128, 320, 512],
                in_index=[0, 1, 2, 3],
                channels=256,
                embed_channels=256,
                # docs/behavior/daformer_hrda.md#daformer-decoder
                fusion=dict(type='sep_aspp', dilations=(1, 6, 12, 18)),
                dropout_ratio=0.1,
                num_classes=19,
                norm_cfg=dict(type='BN', requires_grad=True),
                align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
            attention_classwise=True,
            attention_channels=256,
            output_stride=4,
            hr_loss_weight=0.1),  # docs/behavior/daformer_hrda.md#losses-of-both-scales
        scales=[1, 0.5],  # detail, context (docs/behavior/daformer_hrda.md#scales-and-detail-crops)
        hr_crop_size=(512, 512),
        crop_coord_divisible=8,
        hr_slide_overlapping=True,
        train_cfg=dict(),
        test_cfg=dict(
            # docs/behavior/daformer_hrda.md#sliding-windows-at-test-time
            mode='slide', crop_size=(1024, 1024), stride=(512, 512),
            batch_chunk=4)))  # images or windows in the encoder at once: more is faster and takes more memory
