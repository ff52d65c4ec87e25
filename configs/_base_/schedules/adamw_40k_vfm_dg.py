"""40 000 iterations of AdamW as domain generalization with DINOv2 has them: 1e-4, poly 0.9, no warm-up, decay 0.05.

Source: the configs of ysj9909/SoMA@2bf0124 (docs/behavior/mic.md#domain-generalization). The encoder's factor is
0.5 for adapters, 0.1 where all of it is trained; a frozen one has no rate.
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayParamGroups',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(encoder_mult=0.5, decay=1.0, norm_decay_mult=0.))
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]  # warm-up: 0

train_cfg = dict(type='MultiStreamTrainLoop', max_iters=40000, val_interval=4000)
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=4)
study = dict(seeds=[0, 1, 2])  # ours
