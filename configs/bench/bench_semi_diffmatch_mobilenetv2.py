"""Small real benchmark with few labels, DiffMatch: 39 labeled and 250 unlabeled video frames.

No paper row. Encoder, decoder, data, optimizer and iterations of the other semi-supervised arms; a convolutional mask
denoiser of 64 channels with L = 4, b = 0.1 and three sampling steps reads the decoder's features. Two strong
views without CutMix, dropped features, threshold 0.95, adjustment in the loss, w = t: the reconstruction's defaults
but for convolutions, the time that is embedded as it is, and a scaled noisy code.
Control: bench_semi_supervised_only_mobilenetv2.py. Other lists: tools/study.py CONFIG --subsets 1_8_seed1 1_30_seed0.
Command: mim train mmseg_dg bench_semi_diffmatch_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations; about 1 s of one CPU thread each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/methods/diffmatch.py',
    '../_base_/datasets/bench_semi_camvid_192.py', '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(
    network=dict(
        type='MaskDiffusionEncoderDecoder',
        decode_head=dict(num_classes=11, loss_decode=dict(avg_non_ignore=True)),
        plain_weight=0.4,
        residual=True,  # worth 5.7 points here: docs/benchmarks/few_labels.md
        sampling_steps=3,
        denoiser=dict(
            type='MaskDenoiserHead',
            in_channels=64,
            channels=64,
            num_layers=4,
            bit_scale=0.1,
            layer='conv',  # a deformable denoiser would cost as much as the encoder
            norm_cfg=dict(type='GN', num_groups=8),  # not the statistics of two images at two noise times
            # ours, for so few iterations; what they are worth: docs/diffmatch.md, docs/benchmarks/few_labels.md
            time_input='t',
            code_input='estimate',
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, avg_non_ignore=True))))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(denoiser=dict(lr_mult=10.))))  # as every decoder
custom_hooks = [
    # 0.999 remembers 1000 iterations of a hundred thousand, 0.99 remembers 100 of 2000
    dict(type='EMAUpdateHook', beta=0.99, when='after_step', ramp=True, buffers='average'),
    dict(type='ClassPriorHook'),
    dict(type='PseudoLabelStatisticsHook', interval=10, window=100),
    dict(type='ClassBiasPicturesHook'),
    dict(type='TrainingPicturesHook', interval=500),
]
default_hooks = dict(checkpoint=dict(interval=500))
