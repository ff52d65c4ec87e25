"""Cityscapes in crops of 798 (57 patches of 14 pixels), batch 8 + 8
(docs/behavior/unimatch_v2.md#data)."""
_base_ = './semi_cityscapes.py'
train_dataloader = dict(
    **{
        name: dict(
            dataset=dict(
                pipeline=[
                    dict(step, **{key: (798, 798) for key in ('size', 'crop_size') if key in step})
                    for step in _base_.train_dataloader[name].dataset.pipeline
                ]))
        for name in ('labeled', 'unlabeled')
    })
