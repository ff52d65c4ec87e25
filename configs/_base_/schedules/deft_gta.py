"""DeFT on GTA by the paper's settings: 8000 iterations of decoder warm-up, then 40 000 of decoupled finetuning.

The warm-up's length comes from ``DecoderWarmupHook``; its rate decays over its own length (our reading). The optimizer
has rate and weight decay of the finetuning, the schedule factors of the warm-up.
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='ComponentParamGroups',
    optimizer=dict(type='SGD', lr=1e-2, momentum=0.9, weight_decay=5e-4))  # paper: of the finetuning
param_scheduler = [
    dict(
        type='TwoStagePolyLR',
        power=0.9,  # paper
        warmup=dict(lr_mult=1., decay_mult=10., denominator='warmup'))  # paper: 1e-2 and 5e-3 in the warm-up
]
train_cfg = dict(type='MultiStreamTrainLoop', max_iters=48000, val_interval=8000)  # 8000 + 40 000 (paper)
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')

# The paper's batch of 4 is per GPU: the released scripts run 4 of them on GTA (docs/behavior/deft.md#optimization).
auto_scale_lr = dict(enable=False, base_batch_size=16)
# statistics over all GPUs (docs/behavior/deft.md#batchnorm-treatment); plain BatchNorm without a GPU
sync_bn = 'torch'
study = dict(seeds=[0, 1, 2])  # the paper's number of runs is not in our sources
