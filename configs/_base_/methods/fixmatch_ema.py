"""FixMatch as UniMatch V2's tables have it: the average's pseudo-labels, CutMix of the reversed batch
(docs/behavior/unimatch_v2.md#baselines).

``model = _base_.pop('method')`` beside a network of ``models/``.
"""
_base_ = './unimatch_v2.py'
method = dict(
    _delete_=True,
    type='FixMatch',
    mix_stream=None,
    labeled_weight=0.5,
    view_weights=(0.5, ),
    threshold=0.95,
    cutmix=dict(),
    strong_view=dict(),
    pseudo_labels='teacher',
    evaluate='teacher')
