"""Suite small_uda, DAFormer's training strategies: TinyViT (SAM), labels of CamVid by day, frames of IDD without.

No paper row. Network and budget of small_uda_source_only_tinyvit.py, its control. Rare class sampling as in
bench_daformer_mobilenetv2.py: 3000 pixels of a GTA frame are 165 of 384x288, 1500 of a crop of 512 are 211 of one of
192. The feature distance has the paper's weight, which was not tuned for this encoder, and IDD's thing classes (living
things, vehicles). Average with 0.99: it remembers 100 of 1000 iterations. Other arms: --row dacs, masked, hrda, pixl;
rendered scenes -> CamVid: --row synthcity, synthcity_dacs, ...
Command: python tools/leaderboard.py configs/suites/small_uda.yml, or
mim train mmseg_dg small_uda_daformer_tinyvit.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU core, batch 2 + 2, crop 192, 1000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = [
    '../_base_/models/tinyvit_small.py', '../_base_/methods/daformer.py', '../_base_/datasets/uda_camvid_to_idd7.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model['feature_distance'].update(classes=[2, 3])
model.update(
    network=dict(
        decode_head=dict(
            num_classes=7, norm_cfg=dict(_delete_=True, type='GN', num_groups=16, requires_grad=True))))
_crop = dict(type='RareClassCrop', crop_size=(192, 192), cat_max_ratio=0.75, min_crop_pixels=211)
train_dataloader = dict(
    source=dict(
        batch_size=2,
        sampler=dict(_delete_=True, type='RareClassSampler', temperature=0.01, min_pixels=165),
        dataset=dict(pipeline=[
            _crop if t.type == 'RandomCrop' else t for t in _base_.train_dataloader.source.dataset.pipeline
        ])),
    target=dict(batch_size=2))
custom_hooks = [dict(type='EMAUpdateHook', beta=0.99, when='before_step', ramp=True, buffers='batch')]
train_cfg = dict(max_iters=1000, val_interval=100)
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(checkpoint=dict(interval=250))
del _crop
