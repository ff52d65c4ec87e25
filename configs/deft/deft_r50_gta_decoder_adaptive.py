"""DeFT with ResNet-50 on GTA, testing the retentive encoder with the adaptive decoder.

Paper: DeFT (Pahk et al., ICLR 2025), ablation of the tested pair (inferred).
Command: mim train mmseg_dg deft_r50_gta_decoder_adaptive.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
model = dict(evaluate='decoder_adaptive')
