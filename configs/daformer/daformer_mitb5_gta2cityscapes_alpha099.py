"""DAFormer, GTA -> Cityscapes, with the faster teacher of DACS.

No row of the paper: one part of the full method changed.
Command: mim train mmseg_dg daformer_mitb5_gta2cityscapes_alpha099.py
Paper's resources: as daformer_mitb5_gta2cityscapes.py, batch 2 source + 2 target images, 40 000 iterations; seeds 0,
    1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './daformer_mitb5_gta2cityscapes.py'
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.99, when='before_step', ramp=True, buffers='batch'),
    dict(type='TrainingPicturesHook', interval=1000),
]
