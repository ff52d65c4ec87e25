"""Joint finetuning of MiT-B5 under the DAFormer decoder, the control of deft_daformer_mitb5_gta.py.

No row of the paper: it has convolutional encoders only.
Command: mim train mmseg_dg joint_daformer_mitb5_gta.py
Resources: 4 GPUs x batch 4 images = 16, 48 000 iterations; seeds 0, 1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/datasets/dg_gta.py', '../_base_/schedules/deft_gta_adamw.py',
    '../_base_/protocols/dg_gta.py'
]
model = dict(type='JointFinetuning', network=dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True))))
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
