"""HRDA, GTA -> Cityscapes, with weight 0.3 of the detail loss.

Paper: HRDA (Hoyer et al., ECCV 2022; with DAFormer in TPAMI 2023), ablation
    (docs/behavior/daformer_hrda.md#hrda-ablation-names, experiment 44).
Command: mim train mmseg_dg hrda_mitb5_gta2cityscapes_lambda03.py
Paper's resources: as hrda_mitb5_gta2cityscapes.py, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './hrda_mitb5_gta2cityscapes.py'
model = dict(network=dict(decode_head=dict(hr_loss_weight=0.3)))
