"""DeFT's two stages for transformers: AdamW as DAFormer trains them. Ours; the paper has convolutional encoders only.

8000 + 40 000 iterations as by the paper; rates, decay and groups of ``adamw_40k.py`` in both stages.
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='ComponentParamGroups',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.), norm=dict(decay_mult=0.)), norm_decay_mult=0.))
param_scheduler = [dict(type='TwoStagePolyLR', power=0.9)]
train_cfg = dict(type='MultiStreamTrainLoop', max_iters=48000, val_interval=8000)
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
sync_bn = 'torch'  # plain BatchNorm without a GPU
study = dict(seeds=[0, 1, 2])
