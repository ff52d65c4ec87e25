"""HRDA on ResNet-101 under DeepLabV2, whose scale attention is another such decoder
(docs/behavior/daformer_hrda.md#experiments-of-hrda, experiment 41)."""
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
            type='ResNetV1c',  # the deep-stem variant
            depth=101,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),  # output stride 8
            norm_cfg=dict(type='BN', requires_grad=True),
            norm_eval=False,
            style='pytorch',
            contract_dilation=True,
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet101_v1c.pth')),
        decode_head=dict(
            type='HRDAHead',
            head=dict(
                type='DeepLabV2Head',
                in_channels=2048,
                in_index=3,
                dilations=(6, 12),
                num_classes=19,
                align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
            attention_classwise=True,
            output_stride=8,
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
