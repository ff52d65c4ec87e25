"""Demo with few labels, control: the ten labeled images of the built-in city's camera alone.

No paper row. Command: make demo METHOD=fixmatch (unimatch and diffmatch run it, too), or
mim train mmseg_dg few_labels_synthcity_demo.py; nothing has to be fetched. It starts from the network that ships with
the package, which was trained by day. Eight labeled images per iteration, as many as the methods see with and without
labels.
Resources: 1 CPU core, batch 8, crop 128, 150 iterations; about a minute, images included.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/datasets/few_labels_synthcity_camera.py',
    '../_base_/schedules/adamw_150.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
model = dict(stream='labeled')
train_dataloader = dict(labeled=dict(batch_size=8))
auto_scale_lr = dict(base_batch_size=8)
load_from = 'mmseg_dg://city_day_mobilenetv2'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
