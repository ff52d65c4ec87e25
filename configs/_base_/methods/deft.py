"""DeFT by its card: decoder warm-up, two pathways, averages that stay near the initialization.

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``. ``warmup_iters`` is GTA's.
Off, and children switch them on: ``style_augmentation`` (in the released scripts, not in the card) and ``distance``
(in the paper, not in the released scripts; its weight is unknown, spec "UNKNOWN").
"""
method = dict(
    type='DeFT',
    warmup_iters=8000,  # card: 8K on GTA
    evaluate='retentive')  # spec, item 6
custom_hooks = [
    dict(type='DecoderWarmupHook'),  # length: that of the method
    # card: 0.9999; parameters only, statistics are each component's own (spec "BN treatment")
    dict(type='EMAUpdateHook', beta=0.9999, when='after_step', ramp=False, buffers='batch'),
]
