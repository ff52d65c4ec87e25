"""Joint finetuning for 40 000 iterations, as long as the second stage of DeFT.

Paper: DeFT (Pahk et al., ICLR 2025), the baseline joint finetuning; its length is not in our sources.
Command: mim train mmseg_dg joint_r50_gta_40k.py
Resources: 4 GPUs x batch 4 images = 16, 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './joint_r50_gta.py'
train_cfg = dict(max_iters=40000)
