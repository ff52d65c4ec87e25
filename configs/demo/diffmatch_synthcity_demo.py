"""Demo with few labels, DiffMatch: ten labeled and 190 unlabeled images of the built-in city's camera.

No paper row. Command: make demo METHOD=diffmatch, or mim train mmseg_dg diffmatch_synthcity_demo.py; nothing has to be
fetched. It starts from the network that ships with the package, which was trained by day, with a fresh mask denoiser
that adds to the plain classifier. Control: few_labels_synthcity_demo.py.
Resources: 1 CPU core, batch 4 + 4, crop 128, 150 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/methods/diffmatch.py',
    '../_base_/datasets/few_labels_synthcity_camera.py', '../_base_/schedules/adamw_150.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(
    network=dict(
        type='MaskDiffusionEncoderDecoder',
        # load_from would miss the denoiser's weights
        decode_head=dict(
            init_cfg=dict(type='Pretrained', checkpoint='mmseg_dg://city_day_mobilenetv2', prefix='decode_head.')),
        plain_weight=0.4,
        residual=True,  # a run of 150 iterations has to begin with the classifier that is there
        sampling_steps=3,
        denoiser=dict(
            type='MaskDenoiserHead',
            in_channels=64,
            channels=64,
            num_layers=4,
            bit_scale=0.1,
            layer='conv',  # deformable layers would cost as much as the encoder
            norm_cfg=dict(type='GN', num_groups=8),
            # ours, for so few iterations: docs/diffmatch.md
            time_input='t',
            code_input='estimate',
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False))))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(denoiser=dict(lr_mult=10.))))  # it is the only fresh part
custom_hooks = [
    # remembers 33 of 150 iterations
    dict(type='EMAUpdateHook', beta=0.97, when='after_step', ramp=True, buffers='average'),
    dict(type='ClassPriorHook'),
    dict(type='PseudoLabelStatisticsHook', interval=10, window=50),
    dict(type='TrainingPicturesHook', interval=75),
]
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
