"""MiT-B5 under DeepLabV3+, last level brought to stride 8, no BatchNorm in the decoder
(docs/behavior/daformer_hrda.md#decoders-for-convolutional-encoders, sfa_, _nodbn)."""
_base_ = './daformer_mitb5.py'
model = dict(
    network=dict(
        neck=dict(type='FeatureUpsampleNeck', in_index=(3, ), scales=(4, )),
        decode_head=dict(
            _delete_=True,
            type='DepthwiseSeparableASPPHead',
            in_channels=512,
            in_index=3,
            channels=512,
            dilations=(1, 12, 24, 36),
            c1_in_channels=64,
            c1_channels=48,
            dropout_ratio=0.1,
            num_classes=19,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))))
