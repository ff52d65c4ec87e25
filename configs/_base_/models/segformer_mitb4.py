"""SegFormer with the smaller encoder MiT-B4 (spec 9.1, table of encoder sizes)."""
_base_ = './segformer_mitb5.py'
model = dict(
    network=dict(backbone=dict(arch='b4', init_cfg=dict(type='Pretrained', checkpoint='pretrained/mit_b4.pth'))))
