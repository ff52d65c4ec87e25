"""Suite foundation_semi, UniMatch V2: two strong views of complementary channels of a frozen TinyViT (SAM).

No paper row. As foundation_semi_fixmatch_tinyvit.py; channels of the one map that the head reads drop out, drawn in
every step.
Control: foundation_semi_labeled_only_tinyvit.py. Other lists: --subset 1_16_seed1. Uncached: --cfg-options
train_cfg.cached_features=None.
Command: python tools/leaderboard.py configs/suites/foundation_semi.yml, or mim train mmseg_dg
foundation_semi_unimatch_v2_tinyvit.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU core, batch 4 + 4, crop 192, 2000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: run at full length only where docs/benchmarks says so.
"""
_base_ = [
    '../_base_/models/tinyvit_frozen_linear.py', '../_base_/methods/unimatch_v2.py',
    '../_base_/datasets/few_labels_idd7.py', '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(evaluate='student', network=dict(decode_head=dict(num_classes=7, loss_decode=dict(avg_non_ignore=True))))
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.99, when='after_step', ramp=True, buffers='average'),
    dict(type='PseudoLabelStatisticsHook', interval=50, window=500),
]
train_cfg = dict(val_interval=200, cached_features=dict(views=4))
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=500))
