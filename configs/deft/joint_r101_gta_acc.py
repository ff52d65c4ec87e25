"""As joint_r101_gta.py on one GPU: 4 micro-batches per iteration make the total batch 16.

Paper: DeFT (Pahk et al., ICLR 2025), the baseline joint finetuning; its recipe is inferred.
Command: mim train mmseg_dg joint_r101_gta_acc.py
Resources: 1 GPU, batch 4 images, 4 times per iteration = 16, 48 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './joint_r101_gta.py'
train_cfg = dict(accumulate=4)
