"""Agree on the built-in city: ten labeled and 190 unlabeled images of its camera.

mmseg-dg train agree_city.py; one core will do, and the images are rendered on first use.
"""
_base_ = [
    'mmseg_dg::_base_/models/mobilenetv2_city.py',
    'mmseg_dg::_base_/datasets/few_labels_synthcity_camera.py',
    'mmseg_dg::_base_/schedules/adamw_150.py',
    'mmseg_dg::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmseg_dg', 'agree'])  # agree.py beside this file
runner_type = 'SemiSupervisedRunner'  # checks the names of the streams
model = dict(type='Agree', weight=0.5)
custom_hooks = [dict(type='EMAUpdateHook', beta=0.97, when='before_step', ramp=True)]
load_from = 'mmseg_dg://city_day_mobilenetv2'  # the whole network begins where the city by day ended
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
