"""As deft_r50_gta.py on one GPU: 4 micro-batches per iteration make the total batch 16.

Paper: DeFT (Pahk et al., ICLR 2025), trained on GTA.
BatchNorm sees 4 images at a time; over several GPUs (SyncBN) it sees all of them.
Command: mim train mmseg_dg deft_r50_gta_acc.py
Resources: 1 GPU, batch 4 images, 4 times per iteration = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0,
    1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
train_cfg = dict(accumulate=4)
