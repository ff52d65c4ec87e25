"""Small real benchmark with few labels, control: the 39 labeled video frames alone.

No paper row. 1/8 of CamVid's frames by day with labels (four blocks of neighbors), 11 classes; the control of
bench_semi_{fixmatch,unimatch,diffmatch}_mobilenetv2.py: same network, optimizer, iterations, weak views and images per
iteration (four labeled ones: twice the batch at the same rate is UniMatch's control,
docs/behavior/unimatch.md#unimatch-settings). Other lists: tools/study.py CONFIG --subsets 1_8_seed1 1_30_seed0.
Command: mim train mmseg_dg bench_semi_supervised_only_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 4, crop 192, 2000 iterations; on one CPU thread about 0.5 s each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/datasets/bench_semi_camvid_192.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
model = dict(
    stream='labeled',
    # the mean runs over labeled pixels, as in UniMatch: padding and void would shrink it otherwise
    network=dict(decode_head=dict(num_classes=11, loss_decode=dict(avg_non_ignore=True))))
train_dataloader = dict(labeled=dict(batch_size=4))
auto_scale_lr = dict(base_batch_size=4)
custom_hooks = [dict(type='ClassBiasPicturesHook')]
default_hooks = dict(checkpoint=dict(interval=500))
