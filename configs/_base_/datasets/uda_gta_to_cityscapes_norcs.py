"""GTA -> Cityscapes with source images drawn uniformly: the data of the DACS rows (spec 9.1)."""
_base_ = './uda_gta_to_cityscapes.py'
train_dataloader = dict(source=dict(sampler=dict(_delete_=True, type='StatefulInfiniteSampler', shuffle=True)))
