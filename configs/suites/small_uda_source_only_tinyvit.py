"""Suite small_uda, lower control: TinyViT (SAM) trained on CamVid's labels by day, judged on IDD.

No paper row. Encoder with fixed BatchNorm statistics, DAFormer head of 64 channels that normalizes each image by
itself (GroupNorm): no arm's statistics hang on what else is in a batch. Four source images per step, as many as the
two streams of small_uda_daformer_tinyvit.py. Upper control: --row target_only; rendered scenes -> CamVid: --row
synthcity.
Command: python tools/leaderboard.py configs/suites/small_uda.yml, or
mim train mmseg_dg small_uda_source_only_tinyvit.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU core, batch 4, crop 192, 1000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = [
    '../_base_/models/tinyvit_small.py', '../_base_/datasets/uda_camvid_to_idd7.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('target')
model = dict(
    network=dict(
        decode_head=dict(
            num_classes=7, norm_cfg=dict(_delete_=True, type='GN', num_groups=16, requires_grad=True))))
train_cfg = dict(max_iters=1000, val_interval=100)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=250))
