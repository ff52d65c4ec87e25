"""DAFormer's self-training on Cityscapes as target, and on ACDC and Dark Zurich, to which the paper carries it over.

Rows of the target's crops (512 high) where the rectified image's border and the bonnet make pseudo-labels useless.
``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``.
"""
_base_ = './daformer.py'
method = dict(
    ignore_top=15,  # HRDA c370b5b, configs/_base_/uda/daformer*.py: pseudo_weight_ignore_top and _bottom
    ignore_bottom=120,
    margins_of=['CityscapesDataset', 'ACDCDataset', 'DarkZurichDataset'])  # another target has to say its own
