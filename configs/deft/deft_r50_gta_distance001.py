"""DeFT with ResNet-50 on GTA, with distance regularization of weight 1e-2.

Paper: DeFT (Pahk et al., ICLR 2025), distance regularization; form and weight are reconstructions.
Command: mim train mmseg_dg deft_r50_gta_distance001.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
model = dict(distance=dict(weight_encoder=1e-2, weight_decoder=1e-2))
