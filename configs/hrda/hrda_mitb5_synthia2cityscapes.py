"""HRDA, SYNTHIA -> Cityscapes, scored on the 16 classes SYNTHIA has.

Paper: HRDA (Hoyer et al., ECCV 2022; with DAFormer in TPAMI 2023), main comparison.
Command: mim train mmseg_dg hrda_mitb5_synthia2cityscapes.py
Paper's resources: Titan RTX 24 GB (22.5 GB used, 32 hours; docs/behavior/daformer_hrda.md#memory-and-time), batch 2
    source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: 65.8 mIoU over 16 classes on Cityscapes val
    (docs/behavior/daformer_hrda.md#published-adaptation-scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_mitb5.py', '../_base_/methods/hrda.py',
    '../_base_/datasets/uda_synthia_to_cityscapes_hr.py', '../_base_/schedules/adamw_40k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
