"""SegFormer on MiT-B5, DACS plus rare class sampling and thing-class feature distance, GTA -> Cityscapes.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), training strategies
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg dacs_segformer_mitb5_gta2cityscapes_rcs_fd.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: 66.2 +- 1.0 mIoU on Cityscapes val (unconfirmed;
    docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
Status here: not yet run at full scale.
"""
_base_ = './dacs_segformer_mitb5_gta2cityscapes_rcs.py'
model = dict(
    feature_distance=dict(
        _delete_=True,  # was None; values of docs/behavior/daformer_hrda.md#self-training
        weight=0.005,
        classes=[6, 7, 11, 12, 13, 14, 15, 16, 17, 18],
        min_ratio=0.75,
        scale='last'))
