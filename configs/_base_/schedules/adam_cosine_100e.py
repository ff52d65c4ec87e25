"""DDeP's pretraining: 100 epochs of Adam at batch 512 (paper), cosine to 0 per iteration (confirmed for this stage).

6e-5 is the rate of the width-1 and width-3 decoders, 1e-4 that of width 2 (paper). Weight decay 0: the paper mentions
decay for finetuning only (docs/behavior/ddep.md#confirmed-inferred-unconfirmed).
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='MergedParamGroups',
    optimizer=dict(type='Adam', lr=6e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.),
    paramwise_cfg=dict())
param_scheduler = [dict(type='WarmupCosineLR', warmup_iters=0, min_lr=0.)]

train_cfg = dict(type='MultiStreamTrainLoop', max_epochs=100, epoch_stream='images', val_interval=1)  # epochs
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=512)
study = dict(seeds=[0])
