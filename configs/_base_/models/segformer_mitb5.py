"""SegFormer-B5 as in its paper: linear layers of 768 channels without norm
(docs/behavior/daformer_hrda.md#decoder-variants; the head of mmseg differs)."""
_base_ = './daformer_mitb5.py'
model = dict(
    network=dict(
        decode_head=dict(
            _delete_=True,
            type='SegFormerPaperHead',
            in_channels=[64, 128, 320, 512],
            in_index=[0, 1, 2, 3],
            channels=768,
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))))
