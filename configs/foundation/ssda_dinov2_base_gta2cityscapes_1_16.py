"""Source labels, a few target labels, many target images: VFM-UDA with 1/16 of Cityscapes' labels, DINOv2-B.

Paper: No row of the papers: VFM-UDA's method with one more supervised pass (docs/daformer.md, "Few target labels";
    ours).
Command: mim train mmseg_dg ssda_dinov2_base_gta2cityscapes_1_16.py
Resources: batch 8 source + 8 target + 8 labeled target images, crop 1024, 40 000 iterations; seeds 0, 1, 2. Time
    and memory here have not been measured. Controls: vfm_uda_dinov2_base_gta2cityscapes.py (no target label), and
    supervised_only_dinov2_base_cityscapes_1_8.py with --subset 1_16 (no source).
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_upscale.py', '../_base_/methods/vfm_uda.py',
    '../_base_/datasets/ssda_gta_to_cityscapes_vfm.py', '../_base_/schedules/adamw_40k_vfm.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
model.update(target_labeled_stream='target_labeled', target_labeled_weight=1.0)
