"""Suite city_semi, lower control: the 25 labeled images of the built-in city seen by a camera, alone.

No paper row. Same network, optimizer, iterations, views and images per iteration as city_semi_fixmatch.py (six labeled
ones). The suite's upper control is this config with all 200 labels.
Command: python tools/leaderboard.py configs/suites/city_semi.yml, or mim train mmseg_dg city_semi_labeled_only.py;
nothing has to be fetched.
Resources: 1 CPU core, batch 6, crop 128, 1000 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/datasets/semi_synthcity_camera.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
# the mean runs over labeled pixels, as in UniMatch: padding would shrink it otherwise
model = dict(stream='labeled', network=dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True))))
train_dataloader = dict(labeled=dict(batch_size=6))
train_cfg = dict(max_iters=1000, val_interval=100)
auto_scale_lr = dict(base_batch_size=6)
default_hooks = dict(checkpoint=dict(interval=100))
