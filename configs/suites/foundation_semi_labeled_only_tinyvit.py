"""Suite foundation_semi, lower control: a linear probe of a frozen TinyViT (SAM) on 44 labeled frames of IDD (1/16).

No paper row. The frozen encoder sees four drawn views of each frame once (docs/cached_features.md); eight labeled
images per step, as many as the two streams of the other arms. Upper control, all 702 labels: --row all_labels. Other
lists: --subset 1_16_seed1. Uncached: --cfg-options train_cfg.cached_features=None.
Command: python tools/leaderboard.py configs/suites/foundation_semi.yml, or
mim train mmseg_dg foundation_semi_labeled_only_tinyvit.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU core, batch 8, crop 192, 1200 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: run at full length only where docs/benchmarks says so.
"""
_base_ = [
    '../_base_/models/tinyvit_frozen_linear.py', '../_base_/datasets/few_labels_idd7.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
model = dict(
    stream='labeled',
    # the mean runs over labeled pixels, as in UniMatch: padding and void would shrink it otherwise
    network=dict(decode_head=dict(num_classes=7, loss_decode=dict(avg_non_ignore=True))))
train_dataloader = dict(labeled=dict(batch_size=8))
train_cfg = dict(max_iters=1200, val_interval=200, cached_features=dict(views=4, validation=True))
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=500))
