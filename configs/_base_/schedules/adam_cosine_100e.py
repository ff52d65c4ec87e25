"""DDeP's pretraining: 100 epochs of Adam at batch 512 (card), cosine to 0 per iteration (confirmed for this stage).

6e-5 is the rate of the width-1 and width-3 decoders, 1e-4 that of width 2 (card). Weight decay 0: the card mentions
decay for finetuning only (specification ddep (b), inferred).
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
