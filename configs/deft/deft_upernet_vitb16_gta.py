"""DeFT on ViT-B/16 of mmpretrain under UPerNet, GTA -> unseen Cityscapes, BDD100K, Mapillary, SYNTHIA.

No row of the paper: it has convolutional encoders only.
Optimizer and rates are DAFormer's (AdamW, 6e-5 and 6e-4), not tuned for DeFT; the reviewers of the paper asked for
transformers.
Command: mim train mmseg_dg deft_upernet_vitb16_gta.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; seeds 0, 1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deft_upernet_vitb16.py', '../_base_/methods/deft.py', '../_base_/datasets/dg_gta.py',
    '../_base_/schedules/deft_gta_adamw.py', '../_base_/protocols/dg_gta.py'
]
custom_imports = dict(imports=['mmseg_dg', 'mmseg_dg.mmpretrain'], allow_failed_imports=False)
model = _base_.pop('method')
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
