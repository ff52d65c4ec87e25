"""HRDA's self-training between a labelled and an unlabelled part of one dataset, for PiXL (our reading).

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``. The feature distance keeps an
encoder from unlearning real images on rendered ones: here all images are real, so there is none (PiXL specification,
table of defaults).
"""
_base_ = './hrda.py'
runner_type = 'SemiSupervisedRunner'
method = dict(labeled_stream='labeled', unlabeled_stream='unlabeled', feature_distance=None)
