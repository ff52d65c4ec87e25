"""SegFormer with the smaller encoder MiT-B4 (docs/behavior/daformer_hrda.md#experiments-of-daformer)."""
_base_ = './segformer_mitb5.py'
model = dict(
    network=dict(backbone=dict(arch='b4', init_cfg=dict(type='Pretrained', checkpoint='pretrained/mit_b4.pth'))))
