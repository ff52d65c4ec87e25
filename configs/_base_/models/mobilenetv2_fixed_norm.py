"""The network of ``mobilenetv2_small.py`` whose normalization does not hang on what else is in a batch.

BatchNorm of the encoder keeps ImageNet's statistics, the usual practice where a batch holds few images (its scales and
offsets are trained); the head normalizes each image by itself (GroupNorm).
"""
_base_ = './mobilenetv2_small.py'
model = dict(
    network=dict(
        backbone=dict(norm_eval=True),
        decode_head=dict(norm_cfg=dict(_delete_=True, type='GN', num_groups=16, requires_grad=True))))
