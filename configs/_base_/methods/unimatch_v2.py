"""UniMatch V2: (L_x + (L_s1 + L_s2)/2)/2, two strong views of complementary channels, the average's pseudo-labels.

Source: docs/behavior/unimatch_v2.md#one-step. ``model = _base_.pop('method')`` beside a network of ``models/``. CutMix
pastes the batch in reversed order: there is no stream ``unlabeled_mix``.
"""
runner_type = 'SemiSupervisedRunner'
method = dict(
    type='UniMatchV2',
    mix_stream=None,  # CutMix: the reversed batch
    labeled_weight=0.5,
    view_weights=(0.25, 0.25),
    complementary_dropout=0.5,  # share of the images
    threshold=0.95,  # everywhere, Cityscapes included
    cutmix=dict(),  # p 0.5, area 0.02 to 0.4, ratio 0.3 to 1/0.3
    strong_view=dict(),  # jitter 0.8 (0.5, 0.5, 0.5, 0.25), gray 0.2, blur 0.5 (sigma 0.1 to 2)
    pseudo_labels='teacher',
    evaluate='teacher')
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.996, when='after_step', ramp=True, buffers='average'),
    dict(type='PseudoLabelStatisticsHook', interval=50, window=1000),
    dict(type='ClassBiasPicturesHook'),
    dict(type='TrainingPicturesHook', interval=1000),
]
