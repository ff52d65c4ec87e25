"""UniMatch's SGD for COCO: 30 epochs of the unlabeled images, 0.004 for the encoder and ten times that outside it.

Source: docs/behavior/unimatch.md#unimatch-settings; DiffMatch's paper confirms epochs, batch and polynomial decay.
"""
_base_ = './sgd_voc_80e.py'
optim_wrapper = dict(optimizer=dict(lr=0.004))
train_cfg = dict(max_epochs=30)
