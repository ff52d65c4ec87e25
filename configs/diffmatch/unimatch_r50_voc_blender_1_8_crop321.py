"""UniMatch at crop 321 on VOC 2012 blender, 1/8 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r50_voc_blender_1_8_crop321.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 321, 80 epochs of 1157 iterations
    (92 560); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_voc_blender_1_8.py'
train_dataloader = dict(
    **{
        name: dict(
            dataset=dict(
                pipeline=[
                    dict(step, **{key: (321, 321) for key in ('size', 'crop_size') if key in step})
                    for step in _base_.train_dataloader[name].dataset.pipeline
                ]))
        for name in _base_.train_dataloader
    })
