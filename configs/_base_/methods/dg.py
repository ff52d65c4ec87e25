"""Domain generalization: labelled source images alone, with DAFormer's feature distance (spec 10).

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``.
"""
method = dict(
    type='DomainGeneralization',
    feature_distance=dict(
        weight=0.005,  # spec 10
        classes=[6, 7, 11, 12, 13, 14, 15, 16, 17, 18],  # the thing classes (spec 5)
        min_ratio=0.75,
        scale='last'))
