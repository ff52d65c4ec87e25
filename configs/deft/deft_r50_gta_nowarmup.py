"""DeFT with ResNet-50 on GTA, without decoder warm-up: decoupled finetuning from a random decoder.

No row of the paper that we know.
Command: mim train mmseg_dg deft_r50_gta_nowarmup.py
Resources: 4 GPUs x batch 4 images = 16, 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
model = dict(warmup_iters=0)
train_cfg = dict(max_iters=40000)
