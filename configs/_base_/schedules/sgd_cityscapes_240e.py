"""UniMatch's SGD for Cityscapes: 240 epochs of the unlabeled images, one rate (0.005) for the whole network.

Source: docs/behavior/unimatch.md#unimatch-settings; DiffMatch's paper confirms epochs, batch and polynomial decay.
"""
_base_ = './sgd_voc_80e.py'
optim_wrapper = dict(
    optimizer=dict(lr=0.005),
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=1.), denoiser=dict(lr_mult=1.))))
train_cfg = dict(max_epochs=240)
