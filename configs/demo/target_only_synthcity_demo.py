"""Demo, upper control: the same images seen by the camera, with their labels.

No paper row. Command: make demo, or mim train mmseg_dg target_only_synthcity_demo.py; nothing has to be fetched.
Resources: 1 CPU core, batch 4, crop 128, 150 iterations; about a minute, images included.
Score: README.md in this folder, beside daformer_synthcity_demo.py. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/datasets/target_only_synthcity_camera.py',
    '../_base_/schedules/adamw_150.py', '../_base_/default_runtime.py'
]
load_from = 'mmseg_dg://city_day_mobilenetv2'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
