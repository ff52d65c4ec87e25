"""HRDA, Cityscapes -> Dark Zurich (night).

Paper: HRDA (Hoyer et al., ECCV 2022; with DAFormer in TPAMI 2023), main comparison.
Command: mim train mmseg_dg hrda_mitb5_cityscapes2darkzurich.py
Paper's resources: Titan RTX 24 GB (22.5 GB used, 32 hours; docs/behavior/daformer_hrda.md#memory-and-time), batch 2
    source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: 55.9 mIoU on Dark Zurich test (docs/behavior/daformer_hrda.md#published-adaptation-scores); this config
    validates on val.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_mitb5.py', '../_base_/methods/hrda.py',
    '../_base_/datasets/uda_cityscapes_to_darkzurich_hr.py', '../_base_/schedules/adamw_40k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
model.update(use_valid_mask=False)  # no margins in this setting (docs/behavior/daformer_hrda.md#pseudo-labels)
