"""DeFT with ResNet-50 on GTA, with the released scripts' restyled copies, else by the paper's settings.

No row of the paper that we know.
Command: mim train mmseg_dg deft_r50_gta_style.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
model = dict(style_augmentation=dict(type='LABStyle', mean=(0.2, 0.8), std=(0.1, 0.4), noise=0.01))
