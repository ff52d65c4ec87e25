"""Suite city_dg, lower control: joint finetuning on the built-in city by day, judged on looks it never saw.

No paper row. Same network, augmentation, optimizer and number of iterations (300 + 1700) as city_dg_deft.py, one
stage: learning rate 1e-2, weight decay 5e-4.
Command: python tools/leaderboard.py configs/suites/city_dg.yml, or mim train mmseg_dg city_dg_joint.py; nothing has to
be fetched.
Resources: 1 CPU core, batch 4, crop 128, 2000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/datasets/dg_synthcity_day.py',
    '../_base_/schedules/deft_2k.py', '../_base_/default_runtime.py'
]
__network = dict(decode_head=dict(dropout_ratio=0., loss_decode=dict(avg_non_ignore=True)))  # as DeFT's own decoder
model = dict(type='JointFinetuning', network=__network)
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]
__unseen = dict(role='target', note='rendered, the same city in a look that training does not see')
val_cfg = dict(protocols=dict(
    camera=__unseen, night=__unseen, fog=__unseen, rain=__unseen,
    day=dict(role='source', note='rendered, other streets than in training')))
test_cfg = dict(protocols=val_cfg['protocols'])
train_cfg = dict(val_interval=200)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=200))
