"""As deft_r50_cityscapes.py on one GPU: 2 micro-batches per iteration make the total batch 8.

Paper: DeFT (Pahk et al., ICLR 2025), trained on Cityscapes.
BatchNorm sees 4 images at a time; over several GPUs (SyncBN) it sees all of them.
Command: mim train mmseg_dg deft_r50_cityscapes_acc.py
Resources: 1 GPU, batch 4 images, 2 times per iteration = 8, 2000 + 40 000 iterations; hardware not stated; seeds 0, 1,
    2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_cityscapes.py'
train_cfg = dict(accumulate=2)
