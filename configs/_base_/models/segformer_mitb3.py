"""SegFormer with the smaller encoder MiT-B3 (spec 9.1, table of encoder sizes)."""
_base_ = './segformer_mitb5.py'
model = dict(
    network=dict(backbone=dict(arch='b3', init_cfg=dict(type='Pretrained', checkpoint='pretrained/mit_b3.pth'))))
