"""HRDA, GTA -> Cityscapes, with context crops of 512, as large as the detail crops.

Paper: HRDA (Hoyer et al., ECCV 2022; with DAFormer in TPAMI 2023), ablation
    (docs/behavior/daformer_hrda.md#hrda-ablation-names, experiment 44).
Command: mim train mmseg_dg hrda_mitb5_gta2cityscapes_context512.py
Paper's resources: as hrda_mitb5_gta2cityscapes.py, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './hrda_mitb5_gta2cityscapes.py'
# a second crop after that of 1024, as in the official runs (docs/behavior/daformer_hrda.md#rare-class-sampling)
train_dataloader = dict(
    **{
        name: dict(
            dataset=dict(
                pipeline=[*_base_.train_dataloader[name].dataset.pipeline[:-2],
                          dict(type='RandomCrop', crop_size=(512, 512)),
                          *_base_.train_dataloader[name].dataset.pipeline[-2:]]))
        for name in ('source', 'target')
    })
model = dict(
    network=dict(
        # where both crops are equal, the context has its loss too (docs/behavior/daformer_hrda.md#hrda-ablation-names)
        decode_head=dict(lr_loss_weight=0.1),
        test_cfg=dict(crop_size=(512, 512), stride=(256, 256))),
    feature_distance=dict(scale='all'))
