"""Demo, lower control: the built-in city by day only, prolonged by the iterations of the adapted run.

No paper row. Command: make demo, or mim train mmseg_dg source_only_synthcity_demo.py; nothing has to be fetched.
Resources: 1 CPU core, batch 4, crop 128, 150 iterations; about a minute, images included.
Score: README.md in this folder, beside daformer_synthcity_demo.py. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/datasets/source_only_synthcity_day_to_camera.py',
    '../_base_/schedules/adamw_150.py', '../_base_/default_runtime.py'
]
load_from = 'mmseg_dg://city_day_mobilenetv2'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
