"""DeepLabV2 with all four branches on ResNet-101, GTA -> Cityscapes by plain DACS.

No row of the DAFormer paper, which runs the two-branch form; the DeepLabV2 paper has four branches
    (docs/behavior/daformer_hrda.md#decoders-for-convolutional-encoders).
Command: mim train mmseg_dg dacs_deeplabv2_4branch_r101_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv2_4branch_r101.py', '../_base_/methods/dacs.py',
    '../_base_/datasets/uda_gta_to_cityscapes_norcs.py', '../_base_/schedules/adamw_40k_cnn.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
