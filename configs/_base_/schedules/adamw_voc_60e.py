"""UniMatch V2's AdamW for Pascal VOC: 60 epochs of the unlabeled images, poly 0.9 without warm-up.

Source: docs/behavior/unimatch_v2.md#one-step. Weight decay on everything; the head has 40 times the encoder's rate.
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='MergedParamGroups',
    optimizer=dict(type='AdamW', lr=5e-6, betas=(0.9, 0.999), weight_decay=0.01),  # the encoder's rate
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=40.))))
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]  # warm-up: 0

train_cfg = dict(type='MultiStreamTrainLoop', max_epochs=60, epoch_stream='unlabeled', val_interval=1)  # epochs
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=16)  # counts the labeled stream
# ours: the authors' code sets no seed, users report several points of spread
study = dict(seeds=[0, 1, 2])
