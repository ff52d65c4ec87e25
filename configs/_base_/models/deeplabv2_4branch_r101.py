"""DeepLabV2 on ResNet-101 with all four branches of its paper
(docs/behavior/daformer_hrda.md#decoders-for-convolutional-encoders, dlv2)."""
_base_ = './deeplabv2_r101.py'
model = dict(network=dict(decode_head=dict(dilations=(6, 12, 18, 24))))
