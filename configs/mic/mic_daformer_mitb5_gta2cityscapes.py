"""MIC on DAFormer, GTA -> Cityscapes at half resolution: crops of 512, masked in blocks of 32 pixels.

Paper: MIC (Hoyer et al., CVPR 2023), MIC with other methods.
Command: mim train mmseg_dg mic_daformer_mitb5_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2. Time and memory are
    not in our sources; the pass adds 38 to 43 % of the forwards and backwards of DAFormer (docs/behavior/mic.md#cost).
Paper's score: not in our sources for this row; DAFormer alone has 68.3 mIoU on Cityscapes val.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/methods/daformer_cityscapes.py',
    '../_base_/datasets/uda_gta_to_cityscapes.py', '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
# block: docs/behavior/mic.md#mask
model.update(masked=dict(ratio=0.7, block_size=32, images='target', augment=True, weight=1.0, mode='pixel'))
