"""GTA -> unseen domains as DeFT's released scripts have it: class-uniform sampling, Mapillary padded with class 0.

Half of each epoch's samples are crops around class centroids, evenly over the 19 classes (spec "Data pipeline").
"""
_base_ = './dg_gta.py'
train_dataloader = dict(source=dict(sampler=dict(_delete_=True, type='ClassUniformSampler', fraction=0.5, tile=1024)))
val_dataloader = dict(
    mapillary=dict(dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='ResizeToHeight', height=1536, interpolation='bicubic', backend='pillow'),
        dict(type='CenterCropPad', size=(1536, 1536), pad_val=dict(img=0, seg=0)),  # 0 is road (spec "Evaluation")
        dict(type='PackSegInputs'),
    ])))
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
