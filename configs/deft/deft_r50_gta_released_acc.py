"""As deft_r50_gta_released.py on one GPU: 4 micro-batches per iteration make the total batch 16.

Paper: DeFT (Pahk et al., ICLR 2025), the authors' published scripts.
BatchNorm sees 4 images (8 with the restyled copies) at a time; over several GPUs it sees all of them.
Command: mim train mmseg_dg deft_r50_gta_released_acc.py
Resources: 1 GPU, batch 4 images, 4 times per iteration = 16, 7740 + 80 000 iterations; seeds 304.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta_released.py'
train_cfg = dict(accumulate=4)
