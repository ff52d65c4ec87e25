"""Domain generalization with SHADE: a stylised copy of every image inside the encoder, and consistency (spec 10).

``model = _base_.pop('method')`` beside a network of ``models/`` with a MixTransformer, as for ``dacs.py``.
"""
_base_ = './dg.py'
method = dict(
    style_consistency_weight=10.,  # spec 10
    network=dict(backbone=dict(style_hallucination=dict(num_prototypes=64, concentration=0.0156))))  # spec 10
custom_hooks = [dict(type='StylePrototypeHook', interval=4000)]  # spec 10: all training images, 10 times in a run
