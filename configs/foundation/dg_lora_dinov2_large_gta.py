"""Domain generalization with DINOv2-L, GTA -> Cityscapes, BDD100K, Mapillary: adapters on minor singular directions.

Paper: SoMA (Yun et al., CVPR 2025) and the baselines of its tables: SoMA.
Command: mim train mmseg_dg dg_lora_dinov2_large_gta.py
Paper's resources: one GPU, batch 4 source images, crop 512, 40 000 iterations; seeds 0, 1, 2 (ours).
Paper's score: 68.27 mIoU, mean of Cityscapes, BDD100K, Mapillary, with Mask2Former, averaged weights and a decay of
    the weight decay; the checkpoint with the best mean **on the targets**
    (docs/behavior/mic.md#domain-generalization).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_large_daformer.py', '../_base_/datasets/dg_gta_vfm.py',
    '../_base_/schedules/adamw_40k_vfm_dg.py', '../_base_/protocols/dg_gta_vfm.py'
]
model = dict(
    network=dict(
        backbone=dict(
            trainable='adapters', lora=dict(rank=16, alpha=16, start='minor', first_block=8))))
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
