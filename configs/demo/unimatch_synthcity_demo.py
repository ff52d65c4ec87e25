"""Demo with few labels, UniMatch: ten labeled and 190 unlabeled images of the built-in city's camera.

No paper row. Command: make demo METHOD=unimatch, or mim train mmseg_dg unimatch_synthcity_demo.py; nothing has to be
fetched. It starts from the network that ships with the package, which was trained by day. Control:
few_labels_synthcity_demo.py.
Resources: 1 CPU core, batch 4 + 4, crop 128, 150 iterations; not timed.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/methods/unimatch.py',
    '../_base_/datasets/few_labels_synthcity_camera.py', '../_base_/schedules/adamw_150.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')
train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.unlabeled)  # what CutMix pastes, drawn by itself
custom_hooks = [
    dict(type='PseudoLabelStatisticsHook', interval=10, window=50),
    dict(type='TrainingPicturesHook', interval=75),
]
load_from = 'mmseg_dg://city_day_mobilenetv2'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
