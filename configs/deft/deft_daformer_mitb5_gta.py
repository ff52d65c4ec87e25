"""DeFT on MiT-B5 under the DAFormer decoder, GTA -> unseen Cityscapes, BDD100K, Mapillary, SYNTHIA.

No row of the paper: it has convolutional encoders only.
Optimizer and rates are DAFormer's (AdamW, 6e-5 and 6e-4), not tuned for DeFT; the reviewers of the paper asked for
transformers.
Command: mim train mmseg_dg deft_daformer_mitb5_gta.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; seeds 0, 1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/methods/deft.py', '../_base_/datasets/dg_gta.py',
    '../_base_/schedules/deft_gta_adamw.py', '../_base_/protocols/dg_gta.py'
]
model = _base_.pop('method')
model['network'] = dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True)))  # docs/behavior/deft.md#step-7-loss
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
