"""Suite foundation_uda, lower control: a linear probe of a frozen TinyViT (SAM) on CamVid's labels, judged on IDD.

No paper row. The frozen encoder sees four drawn views of each frame once (docs/cached_features.md); eight source
images per step, as many as the two streams of foundation_uda_dacs_tinyvit.py. Upper control: --row
target_only. Uncached: --cfg-options train_cfg.cached_features=None.
Command: python tools/leaderboard.py configs/suites/foundation_uda.yml, or
mim train mmseg_dg foundation_uda_source_only_tinyvit.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU core, batch 8, crop 192, 1200 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: run at full length only where docs/benchmarks says so.
"""
_base_ = [
    '../_base_/models/tinyvit_frozen_linear.py', '../_base_/datasets/uda_camvid_to_idd7.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('target')
model = dict(network=dict(decode_head=dict(num_classes=7)))
train_dataloader = dict(source=dict(batch_size=8))
train_cfg = dict(max_iters=1200, val_interval=200, cached_features=dict(views=4, validation=True))
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=500))
