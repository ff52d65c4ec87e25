"""Cityscapes -> unseen domains as DeFT's released scripts have it; see ``dg_gta_released.py``.

Half of each epoch's samples are crops around class centroids, evenly over the 19 classes; an image is two complete
tiles. While training only the source is validated, which chooses the checkpoint.
"""
_base_ = './dg_cityscapes.py'
train_dataloader = dict(
    source=dict(
        sampler=dict(_delete_=True, type='ClassUniformSampler', fraction=0.5, tile=1024, tiles='complete'),
        dataset=dict(pipeline=[
            dict(step, place='clamped') if step.type == 'CentroidCrop' else step
            for step in _base_.train_dataloader.source.dataset.pipeline
        ])))
# not bound to each other, as elsewhere: validation is once per epoch, and on the source alone
val_dataloader = dict(_delete_=True, cityscapes=_base_.val_dataloader.cityscapes)
val_evaluator = dict(_delete_=True, cityscapes=dict(type='ConfusionMatrixMetric'))
test_dataloader = dict(
    mapillary=dict(dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='ResizeToHeight', height=1536, interpolation='bicubic', backend='pillow'),
        # 0 is road (docs/behavior/deft.md#test-protocol)
        dict(type='CenterCropPad', size=(1536, 1536), pad_val=dict(img=0, seg=0)),
        dict(type='PackSegInputs'),
    ])))
