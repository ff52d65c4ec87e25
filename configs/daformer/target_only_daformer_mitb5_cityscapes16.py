"""Upper control (oracle) of SYNTHIA -> Cityscapes: Cityscapes labels, scored on 16 classes.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), controls.
Command: mim train mmseg_dg target_only_daformer_mitb5_cityscapes16.py
Paper's resources: one GPU, batch 2 images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './target_only_daformer_mitb5_cityscapes.py'
val_evaluator = dict(classes_subset='synthia16')
test_evaluator = dict(classes_subset='synthia16')
