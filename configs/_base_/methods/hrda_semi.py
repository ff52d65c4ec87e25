"""HRDA's self-training between a labeled and an unlabeled part of one dataset, for PiXL (our reading).

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``. The feature distance keeps an
encoder from unlearning real images on rendered ones: here all images are real, so there is none
(docs/behavior/pixl.md#unknown-settings).
"""
_base_ = './hrda.py'
runner_type = 'SemiSupervisedRunner'
method = dict(
    _delete_=True,
    **{key: value for key, value in _base_.method.items() if key not in ('feature_distance', 'labeled_stream',
                                                                         'unlabeled_stream')},
    labeled_stream='labeled',
    unlabeled_stream='unlabeled')
