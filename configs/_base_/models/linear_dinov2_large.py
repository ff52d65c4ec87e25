"""Linear probe of DINOv2-L: a frozen encoder, one linear layer on the last normalized tokens; patches of 16 pixels."""
_base_ = './daformer_dinov2_large.py'
model = dict(
    network=dict(
        backbone=dict(out_indices=(23, ), final_norm=True),
        neck=None,
        decode_head=dict(
            _delete_=True,
            type='TokenLinearHead',
            in_channels=1024,
            in_index=0,
            num_classes=19,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True))))
