"""DAFormer's self-training: a slower teacher, thing-class feature distance, margins without pseudo-labels (spec 5).

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``.
"""
_base_ = './dacs.py'
method = dict(
    ignore_top=15,  # rows of the target crop where the rectified camera image and the bonnet make labels useless:
    ignore_bottom=120,  # spec 5.3, plcrop v1
    feature_distance=dict(
        weight=0.005,  # spec 5
        classes=[6, 7, 11, 12, 13, 14, 15, 16, 17, 18],  # the thing classes (spec 5)
        min_ratio=0.75,
        scale='last'))
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.999, when='before_step', ramp=True, buffers='batch'),  # spec 5
    dict(type='TrainingPicturesHook', interval=1000),
]
