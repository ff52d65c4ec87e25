"""Demo, denoising pretraining: a U-Net decoder on the shipped encoder learns to predict noise in the camera's images.

No paper row. Command: make demo METHOD=ddep, or mim train mmseg_dg ddep_pretrain_synthcity_demo.py; nothing has to be
fetched. 200 images without labels; the encoder is frozen. ddep_finetune_synthcity_demo.py goes on from it.
Resources: 1 CPU core, batch 4, crop 128, 150 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_unet_city.py', '../_base_/methods/ddep.py',
    '../_base_/datasets/images_synthcity_camera.py', '../_base_/schedules/adam_cosine_20k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')
# the decoder ends at stride 2 and predicts four pixels per feature, where the paper's ends at full resolution
model.update(noise_head=dict(kernel_size=3, upsample='pixel_shuffle', stride=2))
# the paper's 6e-5 is for millions of steps; these few need the rate of a decoder that learns from nothing
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.))
train_cfg = dict(max_iters=150, val_interval=150)
auto_scale_lr = dict(base_batch_size=4)
custom_hooks = [dict(type='TrainingPicturesHook', interval=75)]
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
