"""DeepLabV3+ on ResNet-50 as UniMatch builds it (docs/behavior/unimatch.md#unimatch-network): 40.5 million parameters.

Deep stem of 64, 64, 128 channels, only the last stage dilated (output stride 16; its first block keeps dilation 1, as
torchvision replaces a stride by dilation: LiheYoung/UniMatch@0324f3d, model/backbone/resnet.py), ordinary ASPP with
rates 6, 12, 18, low level reduced to 48 channels, all resizing with aligned corners. The files of ``methods/`` make
FixMatch and UniMatch of it; alone it is trained on labeled images (``stream='labeled'``).
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
            type='ResNetV1c',
            depth=50,
            stem_channels=128,  # 64, 64, 128; OpenMMLab's resnet50_v1c.pth has 32, 32, 64: set 64 with that file
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            strides=(1, 2, 2, 1),
            dilations=(1, 1, 1, 2),
            contract_dilation=True,  # layer4: 1, 2, 2
            norm_cfg=dict(type='SyncBN', requires_grad=True),  # plain BatchNorm in a single process
            norm_eval=False,
            style='pytorch',
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_deepstem.pth')),
        decode_head=dict(
            type='DeFTDeepLabV3PlusHead',
            in_channels=[256, 2048],
            in_index=[0, 3],
            channels=256,
            dilations=(6, 12, 18),
            c1_channels=48,
            dropout_ratio=0.,
            num_classes=21,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            align_corners=True,
            init_cfg=None,  # PyTorch's own, as UniMatch; the head's default is DeFT's, 2.45 times as wide
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))
