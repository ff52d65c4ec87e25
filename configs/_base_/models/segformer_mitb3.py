"""SegFormer with the smaller encoder MiT-B3 (docs/behavior/daformer_hrda.md#experiments-of-daformer)."""
_base_ = './segformer_mitb5.py'
model = dict(
    network=dict(backbone=dict(arch='b3', init_cfg=dict(type='Pretrained', checkpoint='pretrained/mit_b3.pth'))))
