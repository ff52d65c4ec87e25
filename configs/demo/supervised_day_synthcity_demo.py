"""Demo, the network that ships with the package: MobileNetV2 with a narrow head, trained on the built-in city by day.

No paper row. Command: mim train mmseg_dg supervised_day_synthcity_demo.py, or tools/dev/train_demo_weights.py, which
trains this config and packs the result; needs ImageNet weights of MobileNetV2 (a user of the shipped file does not).
Resources: 1 CPU core, batch 4, crop 128, 1500 iterations on 800 images; about ten minutes, images included.
Score: mmseg_dg/assets/city_day_mobilenetv2.json has what was measured. Status: run once, for the shipped file.
"""
_base_ = [
    '../_base_/models/mobilenetv2_fixed_norm.py', '../_base_/datasets/source_only_synthcity_day_to_camera.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
train_dataloader = dict(
    source=dict(
        # a softer preference for rare classes than in self-training: every class should be learned first
        sampler=dict(temperature=0.1),
        dataset=dict(num_images=800)))
train_cfg = dict(max_iters=1500, val_interval=500)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=500))
