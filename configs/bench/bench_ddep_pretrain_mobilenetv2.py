"""Small real benchmark, denoising pretraining: a U-Net decoder on a frozen MobileNetV2 learns to predict noise.

No paper row. 305 unlabeled video frames by day; judged on a drive at dusk and on other frames by day. The decoder
ends at stride 2 and predicts four pixels per feature, where the paper's ends at full resolution.
Command: mim train mmseg_dg bench_ddep_pretrain_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 4, crop 224, 1500 iterations; on 1 CPU core 10 to 15 minutes.
Score: to reach on unseen images: loss 0.4 or less, PSNR 3 dB above the noisy image's; see docs/benchmarks/.
Status: run at full scale only where a page there says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_unet_small.py', '../_base_/methods/ddep.py',
    '../_base_/datasets/bench_images_camvid.py', '../_base_/schedules/adam_cosine_20k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(noise_head=dict(kernel_size=3, upsample='pixel_shuffle', stride=2))
# the paper's 6e-5 is for 2.5 M steps of 512 images; 1500 steps of a small decoder take fifty times that
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.))
train_cfg = dict(max_iters=1500, val_interval=500)
auto_scale_lr = dict(base_batch_size=4)
custom_hooks = [dict(type='TrainingPicturesHook', interval=250)]
default_hooks = dict(checkpoint=dict(interval=500))
