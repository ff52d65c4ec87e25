"""Small real benchmark with few labels, control of DiffMatch: its network from the 39 labelled video frames alone.

No paper row. The mask diffusion network of bench_semi_diffmatch_mobilenetv2.py without teacher, unlabelled frames and
adjustment, data and batch of bench_semi_supervised_only_mobilenetv2.py: tells what the network costs from what the
unlabelled frames bring.
Command: mim train mmseg_dg bench_semi_supervised_diffusion_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 4, crop 192, 2000 iterations; on one CPU thread about 0.7 s each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = './bench_semi_diffmatch_mobilenetv2.py'
_base_.train_dataloader.pop('unlabeled')
_base_.pop('runner_type')  # that of two streams
model = dict(
    _delete_=True,
    type='Supervised',
    stream='labeled',
    network=_base_.model.network,
    data_preprocessor=_base_.model.data_preprocessor)
train_dataloader = dict(labeled=dict(batch_size=4))
auto_scale_lr = dict(base_batch_size=4)
custom_hooks = [dict(type='ClassBiasPicturesHook')]
