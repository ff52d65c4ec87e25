"""SegFormer's decoder of 768 channels on ResNet-101 (docs/behavior/daformer_hrda.md#experiments-of-daformer)."""
_base_ = './deeplabv2_r101.py'
model = dict(
    network=dict(
        decode_head=dict(
            _delete_=True,
            type='SegFormerPaperHead',
            in_channels=[256, 512, 1024, 2048],
            in_index=[0, 1, 2, 3],
            channels=768,
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))))
