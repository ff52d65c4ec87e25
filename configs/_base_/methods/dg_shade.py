"""Domain generalization with SHADE: a stylized copy of every image inside the encoder, and consistency
(docs/behavior/daformer_hrda.md#domain-generalization).

``model = _base_.pop('method')`` beside a network of ``models/`` with a MixTransformer, as for ``dacs.py``.
"""
_base_ = './dg.py'
method = dict(
    style_consistency_weight=10.,  # docs/behavior/daformer_hrda.md#domain-generalization
    # docs/behavior/daformer_hrda.md#domain-generalization
    network=dict(backbone=dict(style_hallucination=dict(num_prototypes=64, concentration=0.0156))))
# all training images, 10 times in a run (docs/behavior/daformer_hrda.md#domain-generalization)
custom_hooks = [dict(type='StylePrototypeHook', interval=4000)]
