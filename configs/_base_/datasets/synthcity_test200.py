"""The built-in city as a steadier judge: 200 test images of every domain, on streets of their own, 19 classes.

Rendered on first use. ``day`` is what the other city configs train on; leave it out of the mean by
``val_cfg = dict(protocols=dict(day=dict(role='source')))``.
"""
val_dataloader = {
    name: dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='SynthCityDataset',
            domain=name,
            start=2000,  # training images end before 1000, validation images before 1100
            num_images=200,
            size=(256, 128),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
    for name in ('camera', 'night', 'fog', 'rain', 'dusk', 'overcast', 'day')
}
val_evaluator = dict(type='ConfusionMatrixMetric')
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
