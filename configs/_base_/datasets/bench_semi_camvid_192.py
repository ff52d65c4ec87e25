"""CamVid with few labels at crop 192: a third of a frame, as a crop of 801 is of a Cityscapes frame.

One UniMatch step passes eight weak and strong images through the encoder; at crop 256 it takes 2.3 s on one CPU thread
with the small benchmark's network, at 192 1.05 s.
"""
_base_ = './bench_semi_camvid.py'
_small = dict(Pad=dict(size=(192, 192)), RandomCrop=dict(crop_size=(192, 192)))
train_dataloader = dict(
    labeled=dict(dataset=dict(pipeline=[
        dict(t, **_small.get(t.type, {})) for t in _base_.train_dataloader.labeled.dataset.pipeline])),
    unlabeled=dict(dataset=dict(pipeline=[
        dict(t, **_small.get(t.type, {})) for t in _base_.train_dataloader.unlabeled.dataset.pipeline])))
del _small
