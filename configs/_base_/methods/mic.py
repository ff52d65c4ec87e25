"""Masked image consistency on top of DAFormer's or HRDA's self-training (docs/behavior/mic.md).

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``. The block of 64 pixels is for
crops of 1024; crops of 512 at half resolution take 32.
"""
_base_ = './hrda.py'
method = dict(
    masked=dict(
        ratio=0.7,  # docs/behavior/mic.md#mask
        block_size=64,
        images='target',  # rendered -> real; 'both' without augmentation for clear -> adverse weather
        augment=True,
        weight=1.0,
        mode='pixel'))
