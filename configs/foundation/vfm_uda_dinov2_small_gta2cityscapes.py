"""VFM-UDA's method on DINOv2-S for small machines, GTA -> Cityscapes at half resolution, crops of 512.

Paper: No row of the papers: VFM-UDA's method with DAFormer's crops, batch and data (ours).
Command: mim train mmseg_dg vfm_uda_dinov2_small_gta2cityscapes.py
Resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2. Time and memory here have
    not been measured; with network.backbone.trainable='none' the encoder keeps no graph. Control:
    source_only_dinov2_small_gta2cityscapes.py.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_small_upscale.py', '../_base_/methods/vfm_uda.py',
    '../_base_/datasets/uda_gta_to_cityscapes.py', '../_base_/schedules/adamw_40k_vfm.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
model.update(  # margins in rows of the crop, as DAFormer's
    use_valid_mask=False, ignore_top=15, ignore_bottom=120, margins_of=['CityscapesDataset'])
optim_wrapper = dict(optimizer=dict(lr=7.07e-5))  # 5e-5 * 2**0.5
auto_scale_lr = dict(base_batch_size=2)
