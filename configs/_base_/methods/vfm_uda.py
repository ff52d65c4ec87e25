"""VFM-UDA's self-training: pseudo-labels of image and mirror image, and a pass on masked tokens; no feature
distance.

Source: docs/behavior/mic.md#vfm-uda-step. ``model = _base_.pop('method')`` beside a network of ``models/`` whose
encoder has mask tokens, as for ``dacs.py``. Margins come with each sample (``PseudoLabelMargins``).
"""
_base_ = './dacs.py'
method = dict(
    use_valid_mask=True,
    pseudo_label_tta=('flip', ),
    masked=dict(ratio=0.7, images='target', augment=True, weight=1.0, mode='token'))
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.999, when='before_step', ramp=True, buffers='batch'),
    dict(type='TrainingPicturesHook', interval=1000),
]
