"""Self-training with class mix and a mean teacher as DACS does it: the baseline of every DAFormer table
(docs/behavior/daformer_hrda.md#self-training).

Take it with one line beside a network of ``models/``, which it turns from supervised into self-trained:
``model = _base_.pop('method')`` (popped, so that no second copy of these values stays in the merged config).
"""
runner_type = 'UDARunner'
method = dict(
    type='DACS',
    labeled_stream='source',
    unlabeled_stream='target',
    pseudo_threshold=0.968,  # docs/behavior/daformer_hrda.md#self-training
    ignore_top=0,
    ignore_bottom=0,
    blur=True,
    color_jitter_strength=0.2,
    jitter_probability=0.8)  # the official 0.2 is the probability of not jittering
custom_hooks = [
    # docs/behavior/daformer_hrda.md#self-training
    dict(type='EMAUpdateHook', beta=0.99, when='before_step', ramp=True, buffers='batch'),
    dict(type='TrainingPicturesHook', interval=1000),
]
