"""DDeP's finetuning with few labels: Adam, cosine to 0 (paper); 20 000 steps of 16 images are ours.

The paper sweeps learning rate and weight decay in [1e-5, 3e-4] and takes the best per task; 1e-4 and 1e-4 are where we
start. One rate for encoder, decoder and the fresh head (docs/behavior/ddep.md#unknown-settings).
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='MergedParamGroups',
    optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
    paramwise_cfg=dict())
param_scheduler = [dict(type='WarmupCosineLR', warmup_iters=0, min_lr=0.)]

train_cfg = dict(type='MultiStreamTrainLoop', max_iters=20000, val_interval=2000)
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=16)
study = dict(seeds=[0])  # each config has the paper's number of runs
