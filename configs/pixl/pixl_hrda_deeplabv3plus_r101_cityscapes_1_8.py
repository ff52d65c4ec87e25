"""PiXL on HRDA with ResNet-101 and DeepLabV3+, Cityscapes with 1/8 of the labels.

Paper: PiXL (Gan et al., "Diving Segmentation Model into Pixels", ICLR 2024), semi-supervised training.
Command: mim train mmseg_dg pixl_hrda_deeplabv3plus_r101_cityscapes_1_8.py
Lists first: python tools/make_split.py (docs/pixl.md).
Paper's resources: one Tesla V100 32 GB, batch 2 labeled + 2 unlabeled images, 60 000 iterations
    (the paper calls them epochs); time, memory and number of runs are not in our sources; ours: seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_deeplabv3plus_r101.py', '../_base_/methods/hrda_semi.py',
    '../_base_/alignments/pixl_recompute.py',
    '../_base_/datasets/semi_cityscapes_hr.py', '../_base_/schedules/adamw_60k_cnn.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
model.update(alignment=_base_.pop('alignment'))  # the term itself: _base_/alignments/pixl_recompute.py
