"""HRDA on ResNet-101 under DeepLabV3+ without BatchNorm in the decoder
(docs/behavior/daformer_hrda.md#decoders-for-convolutional-encoders, dlv3p_nodbn)."""
_base_ = './hrda_deeplabv2_r101.py'
model = dict(
    network=dict(
        decode_head=dict(
            output_stride=4,  # the skip feature's
            head=dict(
                _delete_=True,
                type='DepthwiseSeparableASPPHead',
                in_channels=2048,
                in_index=3,
                channels=512,  # dlv3p (docs/behavior/daformer_hrda.md#decoders-for-convolutional-encoders)
                dilations=(1, 12, 24, 36),
                c1_in_channels=256,
                c1_channels=48,
                dropout_ratio=0.1,
                num_classes=19,
                align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)))))
