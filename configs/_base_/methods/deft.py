"""DeFT by the paper's settings: decoder warm-up, two pathways, averages that stay near the initialization.

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``. ``warmup_iters`` is GTA's.
Off, and children switch them on: ``style_augmentation`` (in the released scripts, not in the paper's settings) and
``distance`` (in the paper, not in the released scripts; its weight is unknown:
docs/behavior/deft.md#distance-regularization).
"""
method = dict(
    type='DeFT',
    warmup_iters=8000,  # paper: 8K on GTA
    evaluate='retentive')  # docs/behavior/deft.md#step-6-tested-pair
custom_hooks = [
    dict(type='DecoderWarmupHook'),  # length: that of the method
    # paper: 0.9999; parameters only, statistics are each component's own (docs/behavior/deft.md#batchnorm-treatment)
    dict(type='EMAUpdateHook', beta=0.9999, when='after_step', ramp=False, buffers='batch'),
]
