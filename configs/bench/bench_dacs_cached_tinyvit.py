"""Cheap mode: self-training of a linear head on cached maps of a frozen TinyViT (SAM), city by day -> camera.

No paper row. Eight drawn views of each of 200 + 200 images are encoded once (0.4 MB per image,
docs/cached_features.md); the class mix mixes maps. mix='images' encodes mixed pictures instead.
Command: mim train mmseg_dg bench_dacs_cached_tinyvit.py (weights under MMSEG_DG_SHARED).
Control: bench_source_only_cached_tinyvit.py. Uncached: --cfg-options train_cfg.cached_features=None.
Resources: 1 CPU or GPU x batch 4 + 4, crop 128, 2000 iterations; seconds per iteration: docs/cached_features.md.
Score: none yet. Status: a few iterations were run to measure their cost; not run at full scale.
"""
_base_ = [
    '../_base_/models/tinyvit_small.py', '../_base_/methods/dacs.py',
    '../_base_/datasets/uda_synthcity_day_to_camera.py', '../_base_/schedules/adamw_2k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(network=dict(
    backbone=dict(trainable='none', out_indices=(3, )),  # only what the head reads is kept
    decode_head=dict(  # one linear layer on the last map, stride 16: the head is most of what is left to pay
        _delete_=True, type='TokenLinearHead', in_channels=320, num_classes=19,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))))
train_cfg = dict(cached_features=dict(views=8))
custom_hooks = [
    # remembers 100 of 2000 iterations, as the other runs of this folder
    dict(type='EMAUpdateHook', beta=0.99, when='before_step', ramp=True, buffers='batch'),
]
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=500))
