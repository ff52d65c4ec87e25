"""GTA -> Cityscapes with source images drawn uniformly: the data of the DACS rows
(docs/behavior/daformer_hrda.md#experiments-of-daformer)."""
_base_ = './uda_gta_to_cityscapes.py'
train_dataloader = dict(source=dict(sampler=dict(_delete_=True, type='StatefulInfiniteSampler', shuffle=True)))
