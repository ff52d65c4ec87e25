"""UniMatch (V1) as UniMatch V2's tables have it: with the average as teacher
(docs/behavior/unimatch_v2.md#baselines).

``model = _base_.pop('method')`` beside a network of ``models/``. CutMix pastes the reversed batch: ours, so that
the rows of one folder differ in the method alone.
"""
_base_ = './fixmatch_ema.py'
method = dict(
    type='UniMatch',
    view_weights=(0.125, 0.125),
    feature_weight=0.25,
    feature_dropout=0.5)  # Dropout2d on the four maps
