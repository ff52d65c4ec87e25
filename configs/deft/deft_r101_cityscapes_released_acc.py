"""As deft_r101_cityscapes_released.py on one GPU: 2 micro-batches per iteration make the total batch 8.

Paper: DeFT (Pahk et al., ICLR 2025), the authors' published scripts.
BatchNorm sees 4 images (8 with the restyled copies) at a time; over several GPUs it sees all of them.
Command: mim train mmseg_dg deft_r101_cityscapes_released_acc.py
Resources: 1 GPU, batch 4 images, 2 times per iteration = 8, 1855 + 80 000 iterations; seeds 304.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r101_cityscapes_released.py'
train_cfg = dict(accumulate=2)
