"""Demo of HRDA, control: DAFormer at half resolution, which is what HRDA's context branch sees.

No paper row. Command: make demo METHOD=hrda, or mim train mmseg_dg daformer_half_synthcity_demo.py; nothing has to be
fetched. The images of hrda_synthcity_demo.py (512x256), halved; predictions are scored at their full size.
Resources: 1 CPU core, batch 2 + 2, crop 128, 150 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = './daformer_synthcity_demo.py'
__half = dict(type='Resize', scale=(256, 128), keep_ratio=True)
__pipelines = {
    name: [t for step in _base_.train_dataloader[name].dataset.pipeline for t in
           ((__half, step) if step.type.endswith('Crop') else (step, ))] for name in ('source', 'target')
}
train_dataloader = dict(
    source=dict(batch_size=2, dataset=dict(num_images=100, size=(512, 256), pipeline=__pipelines['source'])),
    target=dict(batch_size=2, dataset=dict(num_images=100, size=(512, 256), pipeline=__pipelines['target'])))
__val = dict(
    dataset=dict(
        size=(512, 256),
        num_images=40,
        pipeline=[dict(type='LoadImageFromFile'), __half, dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
val_dataloader = dict(camera=__val, night=__val)
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=2)
