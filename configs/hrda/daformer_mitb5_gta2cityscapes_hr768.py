"""DAFormer at full resolution with crops of 768, GTA -> Cityscapes: what the same memory gives without HRDA.

Paper: HRDA (Hoyer et al., ECCV 2022; with DAFormer in TPAMI 2023), naive high resolution
    (docs/behavior/daformer_hrda.md#experiments-of-hrda, experiment 44).
Command: mim train mmseg_dg daformer_mitb5_gta2cityscapes_hr768.py
Paper's resources: as hrda_mitb5_gta2cityscapes.py, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/methods/hrda.py',
    '../_base_/datasets/uda_gta_to_cityscapes_hr.py', '../_base_/schedules/adamw_40k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
# a second crop after that of 1024, as in the official runs (docs/behavior/daformer_hrda.md#rare-class-sampling)
train_dataloader = dict(
    **{
        name: dict(
            dataset=dict(
                pipeline=[*_base_.train_dataloader[name].dataset.pipeline[:-2],
                          dict(type='RandomCrop', crop_size=(768, 768)),
                          *_base_.train_dataloader[name].dataset.pipeline[-2:]]))
        for name in ('source', 'target')
    })
model['network'] = dict(test_cfg=dict(_delete_=True, mode='slide', crop_size=(768, 768), stride=(384, 384)))
