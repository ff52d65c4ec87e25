"""SegFormer on MiT-B5, GTA -> Cityscapes by plain DACS without learning-rate warm-up.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), warm-up ablation
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg dacs_segformer_mitb5_gta2cityscapes_nowarmup.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0.
Paper's score: 51.8 +- 0.8 mIoU on Cityscapes val (unconfirmed;
    docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
As in the official run, the encoder's rate rises from 6e-5 to 1e-4
(docs/behavior/daformer_hrda.md#optimizer-and-schedule, poly10).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/segformer_mitb5.py', '../_base_/methods/dacs.py',
    '../_base_/datasets/uda_gta_to_cityscapes_norcs.py', '../_base_/schedules/adamw_40k_nowarmup.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
study = dict(seeds=[0])  # docs/behavior/daformer_hrda.md#experiments-of-daformer
