"""The built-in city by day -> seen by a camera, 512x256 pixels: twice the size of the demo's other images."""
_base_ = './uda_synthcity_day_to_camera.py'
_large = dict(
    # the same shares of the area as in the small images
    RareClassCrop=dict(crop_size=(256, 256), min_crop_pixels=375),
    RandomCrop=dict(crop_size=(256, 256)))
_size = (512, 256)
train_dataloader = dict(
    source=dict(
        batch_size=2,
        sampler=dict(min_pixels=200),
        dataset=dict(
            num_images=100,
            size=_size,
            pipeline=[dict(t, **_large.get(t.type, {})) for t in _base_.train_dataloader.source.dataset.pipeline])),
    target=dict(
        batch_size=2,
        dataset=dict(
            num_images=100,
            size=_size,
            pipeline=[dict(t, **_large.get(t.type, {})) for t in _base_.train_dataloader.target.dataset.pipeline])))
val_dataloader = dict(
    camera=dict(dataset=dict(size=_size, num_images=40)), night=dict(dataset=dict(size=_size, num_images=40)))
test_dataloader = val_dataloader
del _large, _size
