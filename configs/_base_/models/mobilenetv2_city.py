"""The network of ``mobilenetv2_fixed_norm.py`` with the weights that ship with the package.

The encoder began at ImageNet weights and, with the head, was trained on the built-in city by day
(``mmseg_dg/assets/city_day_mobilenetv2.json`` says how). A run that continues the whole network adds
``load_from = 'mmseg_dg://city_day_mobilenetv2'``; without that line only the encoder is taken.
"""
_base_ = './mobilenetv2_fixed_norm.py'
model = dict(
    network=dict(
        backbone=dict(init_cfg=dict(checkpoint='mmseg_dg://city_day_mobilenetv2', prefix='backbone.'))))
