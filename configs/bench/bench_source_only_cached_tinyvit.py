"""Cheap mode, lower control: a linear head on cached maps of a frozen TinyViT (SAM), built-in city by day only.

No paper row. Eight drawn views of each of 200 images are encoded once (docs/cached_features.md).
Command: mim train mmseg_dg bench_source_only_cached_tinyvit.py (weights under MMSEG_DG_SHARED).
Uncached: --cfg-options train_cfg.cached_features=None.
Resources: 1 CPU or GPU x batch 4, crop 128, 2000 iterations; seconds per iteration: docs/cached_features.md.
Score: none yet. Status: a few iterations were run to measure their cost; not run at full scale.
"""
_base_ = [
    '../_base_/models/tinyvit_small.py', '../_base_/datasets/source_only_synthcity_day_to_camera.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = dict(network=dict(
    backbone=dict(trainable='none', out_indices=(3, )),  # only what the head reads is kept
    decode_head=dict(
        _delete_=True, type='TokenLinearHead', in_channels=320, num_classes=19,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))))
train_cfg = dict(cached_features=dict(views=8))
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=500))
