"""Suite foundation_semi, FixMatch: a linear probe of a frozen TinyViT (SAM), 44 labeled and 658 unlabeled frames.

No paper row. The baseline of UniMatch V2's tables: the average's pseudo-labels, CutMix of the reversed batch. The
average has 0.99 (it remembers 100 of 1200 iterations). Judged by its student, as the control, which has no average.
Threshold 0.9: a linear layer at stride 16 is less sure than a decoder.
Others: --row unimatch, --row unimatch_v2. Control: foundation_semi_labeled_only_tinyvit.py. Other
lists: --subset 1_16_seed1. Uncached: --cfg-options train_cfg.cached_features=None.
Command: python tools/leaderboard.py configs/suites/foundation_semi.yml, or
mim train mmseg_dg foundation_semi_fixmatch_tinyvit.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU core, batch 4 + 4, crop 192, 1200 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: run at full length only where docs/benchmarks says so.
"""
_base_ = [
    '../_base_/models/tinyvit_frozen_linear.py', '../_base_/methods/fixmatch_ema.py',
    '../_base_/datasets/few_labels_idd7.py', '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(
    threshold=0.9,
    evaluate='student',
    network=dict(decode_head=dict(num_classes=7, loss_decode=dict(avg_non_ignore=True))))
custom_hooks = [
    dict(type='EMAUpdateHook', beta=0.99, when='after_step', ramp=True, buffers='average'),
    dict(type='PseudoLabelStatisticsHook', interval=50, window=500),
]
train_cfg = dict(max_iters=1200, val_interval=200, cached_features=dict(views=4, validation=True))
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=500))
