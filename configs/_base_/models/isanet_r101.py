"""ISANet on ResNet-101 without BatchNorm in the decoder
(docs/behavior/daformer_hrda.md#decoders-for-convolutional-encoders, isa_nodbn)."""
_base_ = './deeplabv2_r101.py'
model = dict(
    network=dict(
        decode_head=dict(
            _delete_=True,
            type='ISAHead',
            in_channels=2048,
            in_index=3,
            channels=512,
            isa_channels=256,
            down_factor=(8, 8),
            dropout_ratio=0.1,
            num_classes=19,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))))
