"""Demo: HRDA on the built-in city, by day with labels -> seen by a camera without, images of 512x256.

No paper row. Command: make demo METHOD=hrda, or mim train mmseg_dg hrda_synthcity_demo.py; nothing has to be fetched.
Encoder and decoder of both scales start from the network that ships with the package. The context at half resolution
is what that network was trained on, so the scale attention, whose weights are random, begins with little trust in the
details: 0.05 instead of 0.5. Controls:
source_only_hrda_synthcity_demo.py, and daformer_half_synthcity_demo.py, which sees the context alone.
Resources: 1 CPU core, batch 2 + 2, crop 256 with details of 128, 150 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/methods/daformer.py',
    '../_base_/datasets/uda_synthcity_day_to_camera_hr.py', '../_base_/schedules/adamw_150.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.pop('feature_distance')
__head = _base_.model.network.decode_head
model.update(pseudo_threshold=0.9)
model.update(
    network=dict(
        type='HRDAEncoderDecoder',
        decode_head=dict(
            _delete_=True,
            type='HRDAHead',
            head=dict(
                __head,
                init_cfg=dict(type='Pretrained', checkpoint='mmseg_dg://city_day_mobilenetv2', prefix='decode_head.')),
            # what HRDAHead derives by itself, with another bias: half of each scale would spoil for hundreds of
            # iterations what the context predicts well already
            scale_attention=dict(
                __head,
                fusion=dict(type='conv1x1'),
                init_cfg=dict(type='Normal', std=0.01, bias_prob=0.05, override=dict(name='conv_seg'))),
            output_stride=4,
            hr_loss_weight=0.1),
        scales=[1, 0.5],
        hr_crop_size=(128, 128),
        hr_slide_overlapping=False))  # the paper's overlap; details of half the windows are enough for a demo
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.97, when='before_step', ramp=True, buffers='own'),
    dict(type='TrainingPicturesHook', interval=75),
]
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
