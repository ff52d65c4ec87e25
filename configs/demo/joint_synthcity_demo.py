"""Demo of generalization, control: encoder and decoder finetuned together on the built-in city by day.

No paper row. Command: make demo METHOD=deft, or mim train mmseg_dg joint_synthcity_demo.py; nothing has to be fetched.
It starts from the network that ships with the package; neither of the domains it is judged on is trained on. Images,
augmentation, optimizer and number of iterations are those of deft_synthcity_demo.py.
Resources: 1 CPU core, batch 4, crop 128, 150 iterations; about a minute, images included.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/datasets/source_only_synthcity_day_to_camera.py',
    '../_base_/schedules/deft_150.py', '../_base_/default_runtime.py'
]
model = dict(type='JointFinetuning', network=dict(decode_head=dict(dropout_ratio=0.)))
__pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RareClassCrop', crop_size=(128, 128), cat_max_ratio=0.75, min_crop_pixels=94),
    dict(type='RandomFlip', prob=0.5),
    # docs/behavior/deft.md#data-pipeline
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.5),
    dict(type='RandomGaussianBlur', sigma=(0.15, 1.3)),
    dict(type='PackStreamInputs'),
]
train_dataloader = dict(source=dict(dataset=dict(pipeline=__pipeline)))
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]
load_from = 'mmseg_dg://city_day_mobilenetv2'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
