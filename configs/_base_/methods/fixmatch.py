"""FixMatch for segmentation, the baseline of UniMatch's tables: (L_x + L_s)/2 with one strong view and CutMix.

Source: docs/behavior/unimatch.md#unimatch-step. ``model = _base_.pop('method')`` beside a network of ``models/``;
the stream ``unlabeled_mix`` (the same images, drawn on their own) is what CutMix pastes.
"""
runner_type = 'SemiSupervisedRunner'
method = dict(
    type='FixMatch',
    labeled_weight=0.5,
    view_weights=(0.5, ),
    threshold=0.95,  # 0 on Cityscapes
    cutmix=dict(),  # p 0.5, area 0.02 to 0.4, ratio 0.3 to 1/0.3; None: no CutMix, and no stream unlabeled_mix
    strong_view=dict(),  # jitter 0.8 (0.5, 0.5, 0.5, 0.25), gray 0.2, blur 0.5 (sigma 0.1 to 2)
    pseudo_labels='student')
custom_hooks = [
    dict(type='PseudoLabelStatisticsHook', interval=50, window=1000),
    dict(type='ClassBiasPicturesHook'),
    dict(type='TrainingPicturesHook', interval=1000),
]
