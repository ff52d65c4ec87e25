"""As ``bench_dg_synthcity.py``, with the labels of one domain that the others never see: CamVid by day."""
_base_ = './bench_dg_synthcity.py'
_rendered = _base_.train_dataloader.source.dataset
train_dataloader = dict(
    source=dict(
        dataset=dict(
            _delete_=True,
            type='ConcatDataset',
            datasets=[_rendered, dict(_rendered, data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day')])))
del _rendered
