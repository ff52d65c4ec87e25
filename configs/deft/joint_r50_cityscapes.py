"""Joint finetuning, the control of deft_r50_cityscapes.py: encoder and decoder trained together from the start.

Paper: DeFT (Pahk et al., ICLR 2025), the baseline joint finetuning; its recipe is inferred.
Network, augmentation, optimizer and number of iterations (2000 + 40 000) are those of DeFT.
Command: mim train mmseg_dg joint_r50_cityscapes.py
Resources: 2 GPUs x batch 4 images = 8, 42 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deft_r50.py', '../_base_/datasets/dg_cityscapes.py', '../_base_/schedules/deft_cityscapes.py',
    '../_base_/protocols/dg_cityscapes.py'
]
# one stage: lr 1e-2, weight decay 5e-4 (docs/behavior/deft.md#confirmed-inferred-unconfirmed)
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
