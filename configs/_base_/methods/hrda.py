"""DAFormer's self-training as HRDA has it: margins without pseudo-labels come with each sample
(docs/behavior/daformer_hrda.md#pseudo-labels, plcrop v2).

``model = _base_.pop('method')`` beside a network of ``models/``, as for ``dacs.py``. Target pipelines need
``PseudoLabelMargins``; settings without margins set ``use_valid_mask=False``.
"""
_base_ = './daformer.py'
method = dict(use_valid_mask=True)
