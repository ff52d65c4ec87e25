"""Suite city_semi, FixMatch: 25 labeled and 175 unlabeled images of the built-in city seen by a camera.

No paper row: UniMatch's FixMatch baseline at the size of the city. Control: city_semi_labeled_only.py.
Command: python tools/leaderboard.py configs/suites/city_semi.yml, or mim train mmseg_dg city_semi_fixmatch.py; nothing
has to be fetched.
Resources: 1 CPU core, batch 2 + 2 + 2, crop 128, 1000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/methods/fixmatch.py',
    '../_base_/datasets/semi_synthcity_camera.py', '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(network=dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True))))
train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.unlabeled)  # what CutMix pastes, drawn by itself
train_cfg = dict(max_iters=1000, val_interval=100)
default_hooks = dict(checkpoint=dict(interval=100))
