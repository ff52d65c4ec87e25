"""UniMatch's SGD for Pascal VOC: 80 epochs of the unlabeled images, poly 0.9 without warm-up, stepped per iteration.

Source: docs/behavior/unimatch.md#unimatch-settings; DiffMatch's paper confirms epochs, batch and polynomial decay.
One epoch is floor(unlabeled images / 8) iterations. Rates are made for a total batch of 8 labeled images.
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='MergedParamGroups',
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=1e-4),  # the encoder's rate
    paramwise_cfg=dict(custom_keys=dict(
        head=dict(lr_mult=10.),  # everything outside the encoder
        denoiser=dict(lr_mult=10.))))  # of DiffMatch; matches nothing in the baselines
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]  # warm-up: 0

train_cfg = dict(type='MultiStreamTrainLoop', max_epochs=80, epoch_stream='unlabeled', val_interval=1)  # epochs
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=8)  # counts the labeled stream
# ours: spread on VOC with 92 and 183 labels is 0.4 to 0.7 mIoU (docs/behavior/unimatch.md#unimatch-scores)
study = dict(seeds=[0, 1, 2])
