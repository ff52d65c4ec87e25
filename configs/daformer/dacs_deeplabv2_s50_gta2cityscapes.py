"""DeepLabV2 on ResNeSt-50, GTA -> Cityscapes by plain DACS self-training with warm-up.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), table of encoder sizes
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg dacs_deeplabv2_s50_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0.
Paper's score: 48.0 mIoU on Cityscapes val (unconfirmed; docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv2_s50.py', '../_base_/methods/dacs.py',
    '../_base_/datasets/uda_gta_to_cityscapes_norcs.py', '../_base_/schedules/adamw_40k_cnn.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
study = dict(seeds=[0])  # docs/behavior/daformer_hrda.md#experiments-of-daformer
