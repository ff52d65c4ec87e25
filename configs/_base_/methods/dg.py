"""Domain generalization: labeled source images alone, with DAFormer's feature distance
(docs/behavior/daformer_hrda.md#domain-generalization).

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``.
"""
method = dict(
    type='DomainGeneralization',
    feature_distance=dict(
        weight=0.005,  # docs/behavior/daformer_hrda.md#domain-generalization
        # the thing classes (docs/behavior/daformer_hrda.md#self-training)
        classes=[6, 7, 11, 12, 13, 14, 15, 16, 17, 18],
        min_ratio=0.75,
        scale='last'))
