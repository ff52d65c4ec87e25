"""DAFormer's self-training: a slower teacher and the thing-class feature distance.

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``. Margins without pseudo-labels
belong to the target's images: ``daformer_cityscapes.py`` has those of Cityscapes.
"""
_base_ = './dacs.py'
method = dict(
    feature_distance=dict(
        weight=0.005,  # docs/behavior/daformer_hrda.md#self-training
        # the thing classes (docs/behavior/daformer_hrda.md#self-training)
        classes=[6, 7, 11, 12, 13, 14, 15, 16, 17, 18],
        min_ratio=0.75,
        scale='last'))
custom_hooks = [
    # docs/behavior/daformer_hrda.md#self-training
    dict(type='EMAUpdateHook', beta=0.999, when='before_step', ramp=True, buffers='batch'),
    dict(type='TrainingPicturesHook', interval=1000),
]
