"""Pascal VOC 2012, classic, in crops of 518 (37 patches of 14 pixels), batch 16 + 16
(docs/behavior/unimatch_v2.md#data)."""
_base_ = './semi_voc_classic.py'
train_dataloader = dict(
    **{
        name: dict(
            batch_size=16,
            dataset=dict(
                pipeline=[
                    dict(step, **{key: (518, 518) for key in ('size', 'crop_size') if key in step})
                    for step in _base_.train_dataloader[name].dataset.pipeline
                ]))
        for name in ('labeled', 'unlabeled')
    })
