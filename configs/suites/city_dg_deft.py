"""Suite city_dg, DeFT: decoder warm-up and decoupled finetuning on the built-in city by day.

No paper row: the paper's rates and decays, 300 + 1700 iterations, averages with 0.99765 (0.99765^1700 = 0.9999^40000).
Control: city_dg_joint.py.
Command: python tools/leaderboard.py configs/suites/city_dg.yml, or mim train mmseg_dg city_dg_deft.py; nothing has to
be fetched.
Resources: 1 CPU core, batch 4, crop 128, 2000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/methods/deft.py', '../_base_/datasets/dg_synthcity_day.py',
    '../_base_/schedules/deft_2k.py', '../_base_/default_runtime.py'
]
__network = dict(decode_head=dict(dropout_ratio=0., loss_decode=dict(avg_non_ignore=True)))  # as DeFT's own decoder
model = _base_.pop('method')
model.update(warmup_iters=300, network=__network)
custom_hooks = [
    dict(type='DecoderWarmupHook'),
    dict(type='EMAUpdateHook', beta=0.99765, when='after_step', ramp=False, buffers='batch'),
]
__unseen = dict(role='target', note='rendered, the same city in a look that training does not see')
val_cfg = dict(protocols=dict(
    camera=__unseen, night=__unseen, fog=__unseen, rain=__unseen,
    day=dict(role='source', note='rendered, other streets than in training')))
test_cfg = dict(protocols=val_cfg['protocols'])
train_cfg = dict(val_interval=200)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=200))
