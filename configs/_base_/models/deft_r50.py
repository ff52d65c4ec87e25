"""DeepLabV3+ on torchvision's ResNet-50 as DeFT trains it (docs/behavior/deft.md#network).

``model`` is plain joint finetuning; a leaf makes it DeFT with ``model = _base_.pop('method')``, as for the others.
Output stride 16: layer4 has stride 1, and dilation 2 in all three blocks, the first included, which is mmseg's
``contract_dilation=False``. (torchvision's ``replace_stride_with_dilation=[False, False, True]`` leaves the first
block undilated, as ``contract_dilation=True`` would: same weights, another network.)
"""
model = dict(
    type='JointFinetuning',
    data_preprocessor=dict(
        type='MultiStreamDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # RGB, ImageNet (docs/behavior/deft.md#data-pipeline)
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    network=dict(
        type='EncoderDecoder',
        backbone=dict(
            type='ResNet',  # 7x7 stem (docs/behavior/deft.md#network)
            depth=50,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            strides=(1, 2, 2, 1),  # output stride 16 (docs/behavior/unimatch.md#unimatch-network)
            dilations=(1, 1, 1, 2),
            contract_dilation=False,
            style='pytorch',  # stride in the 3x3 convolution, as torchvision
            # several GPUs: SyncBN (docs/behavior/deft.md#batchnorm-treatment)
            norm_cfg=dict(type='BN', requires_grad=True),
            # batch statistics in training, also of the frozen encoder (docs/behavior/deft.md#batchnorm-treatment)
            norm_eval=False,
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50.pth')),
        decode_head=dict(
            type='DeFTDeepLabV3PlusHead',
            in_channels=[256, 2048],
            in_index=[0, 3],  # layer1 and layer4 (docs/behavior/deft.md#network)
            channels=256,
            dilations=(6, 12, 18),
            c1_channels=48,
            dropout_ratio=0.,  # no dropout (docs/behavior/deft.md#network)
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=True,
            # mean over the pixels that are not ignored (docs/behavior/deft.md#step-7-loss)
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')))  # docs/behavior/deft.md#test-protocol
