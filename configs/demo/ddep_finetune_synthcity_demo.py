"""Demo, finetuning from a denoised decoder with ten labeled images of the camera.

No paper row. Command: make demo METHOD=ddep, or mim train mmseg_dg ddep_finetune_synthcity_demo.py after
ddep_pretrain_synthcity_demo.py in the same folder. Control: ddep_random_synthcity_demo.py, from a random decoder and
for as many iterations as both together.
Resources: 1 CPU core, batch 4, crop 128, 150 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = './ddep_random_synthcity_demo.py'
model = dict(
    init_cfg=dict(type='PretrainedDenoiser', checkpoint='work_dirs/ddep_pretrain_synthcity_demo/iter_150.pth'))
train_cfg = dict(max_iters=150, val_interval=150)
default_hooks = dict(checkpoint=dict(interval=150))
