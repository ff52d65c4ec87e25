"""UniMatch: (L_x + 0.25 L_s1 + 0.25 L_s2 + 0.5 L_fp)/2 with two strong views, CutMix and a stream of dropped features.

Source: docs/behavior/unimatch.md#unimatch-step. ``model = _base_.pop('method')`` beside a network of ``models/``;
the stream ``unlabeled_mix`` (the same images, drawn on their own) is what CutMix pastes.
"""
_base_ = './fixmatch.py'
method = dict(
    type='UniMatch',
    view_weights=(0.125, 0.125),
    feature_weight=0.25,
    feature_dropout=0.5)  # Dropout2d on c1 and c4
