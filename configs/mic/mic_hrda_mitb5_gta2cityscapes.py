"""MIC on HRDA, GTA -> Cityscapes: a third pass predicts the teacher's labels of whole images from masked ones.

Paper: MIC (Hoyer et al., CVPR 2023), main comparison.
Command: mim train mmseg_dg mic_hrda_mitb5_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2. A user measured
    about 29 GB (docs/behavior/daformer_hrda.md#memory-and-time, configuration not stated); time not in our sources.
Paper's score: 75.9 mIoU on Cityscapes val (docs/behavior/daformer_hrda.md#published-adaptation-scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_mitb5.py', '../_base_/methods/mic.py',
    '../_base_/datasets/uda_gta_to_cityscapes_hr.py', '../_base_/schedules/adamw_40k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
