"""DAFormer, Cityscapes -> Dark Zurich: rare class sampling, thing-class feature distance, learning-rate warm-up.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), main comparison.
Command: mim train mmseg_dg daformer_mitb5_cityscapes2darkzurich.py
Paper's resources: RTX 2080 Ti 11 GB (9.7 GB used, 16 hours; docs/behavior/daformer_hrda.md#memory-and-time), batch 2
    source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: 53.8 mIoU on Dark Zurich test (docs/behavior/daformer_hrda.md#published-adaptation-scores); this config
    validates on val.
The margins of 15 and 120 rows without pseudo-labels stay on, as in the DAFormer repository
(docs/behavior/daformer_hrda.md#experiments-of-daformer, experiment 8).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/methods/daformer_cityscapes.py',
    '../_base_/datasets/uda_cityscapes_to_darkzurich.py', '../_base_/schedules/adamw_40k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
