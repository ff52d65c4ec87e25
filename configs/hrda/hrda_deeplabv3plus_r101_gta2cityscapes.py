"""HRDA on DeepLabV3+ and ResNet-101, GTA -> Cityscapes: the decoder with a skip connection from the first level.

Paper: none; HRDA's papers have no row for this decoder. Its scale attention is another such decoder.
Command: mim train mmseg_dg hrda_deeplabv3plus_r101_gta2cityscapes.py
Paper's resources: as for hrda_deeplabv2_r101_gta2cityscapes.py, one GPU, batch 2 source + 2 target images, 40 000
    iterations; seeds 0, 1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './hrda_deeplabv2_r101_gta2cityscapes.py'
model = dict(
    network=dict(
        decode_head=dict(
            output_stride=4,
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
