"""GTA -> Cityscapes at full resolution with source images drawn uniformly: the data of plain DACS
(docs/behavior/daformer_hrda.md#experiments-of-hrda, experiment 41)."""
_base_ = './uda_gta_to_cityscapes_hr.py'
train_dataloader = dict(source=dict(sampler=dict(_delete_=True, type='StatefulInfiniteSampler', shuffle=True)))
