"""The built-in city in four looks that training never sees, and by day (the source), all 19 classes."""
val_dataloader = {
    name: dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='SynthCityDataset',
            domain=name,
            start=1000,  # other streets than those of the training images
            num_images=80,
            size=(256, 128),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
    for name in ('camera', 'night', 'fog', 'rain', 'day')
}
val_evaluator = dict(type='ConfusionMatrixMetric')
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
