"""DiffMatch: teacher and student of mask diffusion with a debiased adjustment.

Confirmed by settings and abstract: teacher and student, the strong view's list (feature dropout, jitter, grayscale,
blur; no CutMix), an adjustment of every sampling step toward unbiased classes. Reconstructed
(docs/behavior/diffmatch.md#unknown-settings): all weights, the threshold, the teacher's steps and momentum, the form
of the adjustment. ``model = _base_.pop('method')`` beside ``models/diffmatch_*.py``.
"""
runner_type = 'SemiSupervisedRunner'
method = dict(
    type='DiffMatch',
    labeled_weight=0.5,  # reconstruction: UniMatch's weights
    view_weights=(0.125, 0.125),
    feature_weight=0.25,
    feature_dropout=0.5,  # no cutmix: it is not in the paper's list; cutmix=dict() switches it on
    strong_view=dict(),
    threshold=0.95,  # 0 on Cityscapes; reconstruction: UniMatch's
    teacher_steps=3,  # reconstruction: as at test
    adjustment=dict(where='loss', weighting='t', tau=1., prior='labeled'),  # reconstruction R2
    evaluate='student')  # 'teacher' scores the average
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.999, when='after_step', ramp=True, buffers='average'),  # reconstruction: DAW's
    dict(type='ClassPriorHook'),  # counts the classes of the labeled images before the first iteration
    dict(type='PseudoLabelStatisticsHook', interval=50, window=1000),
    dict(type='ClassBiasPicturesHook'),
    dict(type='TrainingPicturesHook', interval=1000),
]
