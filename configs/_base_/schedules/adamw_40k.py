"""DAFormer's 40 000 iterations of AdamW for Mix Transformers (docs/behavior/daformer_hrda.md#optimizer-and-schedule).

The encoder learns at 6e-5, every part whose name contains ``head`` at ten times that. Norm layers of the encoder have
no weight decay; those of the head keep it, because the key ``head`` wins over ``norm``.
"""
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='MergedParamGroups',
    # docs/behavior/daformer_hrda.md#optimizer-and-schedule
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(
            head=dict(lr_mult=10.),
            pos_block=dict(decay_mult=0.),  # matches nothing in a Mix Transformer, kept as the official config has it
            norm=dict(decay_mult=0.)),
        # reaches the four stage norms, whose names lack the word
        # (docs/behavior/daformer_hrda.md#optimizer-and-schedule)
        norm_decay_mult=0.))
# docs/behavior/daformer_hrda.md#optimizer-and-schedule
param_scheduler = [dict(type='WarmupPolyLR', power=1.0, warmup_iters=1500, warmup_ratio=1e-6, min_lr=0.)]

# docs/behavior/daformer_hrda.md#optimizer-and-schedule
train_cfg = dict(type='MultiStreamTrainLoop', max_iters=40000, val_interval=4000)
val_cfg = dict(type='MultiDomainValLoop')
test_cfg = dict(type='MultiDomainTestLoop')

# Two source and two target images per step. Rates are scaled by the source batch alone, with --auto-scale-lr.
auto_scale_lr = dict(enable=False, base_batch_size=2)

# runs of the papers (docs/behavior/daformer_hrda.md#optimizer-and-schedule); tools/study.py CONFIG takes them where
# --seeds is not given
study = dict(seeds=[0, 1, 2])
