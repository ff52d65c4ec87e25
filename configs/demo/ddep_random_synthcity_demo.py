"""Demo, control of denoising pretraining: ten labeled images of the camera, from a random decoder.

No paper row. Command: make demo METHOD=ddep, or mim train mmseg_dg ddep_random_synthcity_demo.py; nothing has to be
fetched. It trains for as many iterations as ddep_pretrain_synthcity_demo.py and ddep_finetune_synthcity_demo.py take
together, of as many images.
Resources: 1 CPU core, batch 4, crop 128, 300 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_unet_city.py', '../_base_/datasets/few_labels_synthcity_camera.py',
    '../_base_/schedules/adam_cosine_20k.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
model = dict(stream='labeled')
optim_wrapper = dict(optimizer=dict(lr=3e-4))  # the top of the paper's sweep
train_cfg = dict(max_iters=300, val_interval=300)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=300))
