"""Small real benchmark, finetuning from a denoised decoder with 1/30 of the labels: 11 video frames by day.

No paper row. Encoder and decoder of bench_ddep_pretrain_mobilenetv2.py under a fresh segmentation head, 11 classes.
Control: --row random_decoder. Others: --subset 1_8_seed0; tools/study.py CONFIG --subsets 1_30_seed0 1_30_seed1.
Command: mim train mmseg_dg bench_ddep_finetune_1_30_mobilenetv2.py (data and weights under MMSEG_DG_SHARED; after the
    pretraining, in the same folder).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 1 CPU core about 0.3 s each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_unet_small.py', '../_base_/datasets/bench_labeled_camvid.py',
    '../_base_/schedules/adam_cosine_20k.py', '../_base_/default_runtime.py'
]
model = dict(
    stream='labeled',
    init_cfg=dict(
        type='PretrainedDenoiser', checkpoint='work_dirs/bench_ddep_pretrain_mobilenetv2/iter_1500.pth'))
train_dataloader = dict(
    labeled=dict(
        dataset=dict(
            ann_file=_base_.train_dataloader.labeled.dataset.ann_file.replace('1_8_seed0', '1_30_seed0'))))
optim_wrapper = dict(optimizer=dict(lr=3e-4))  # the top of the paper's sweep: a tenth of the usual steps
train_cfg = dict(max_iters=2000, val_interval=500)
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(checkpoint=dict(interval=500))
