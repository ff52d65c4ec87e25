"""Joint finetuning, the control of deft_r101_cityscapes_released.py.

Paper: DeFT (Pahk et al., ICLR 2025), the baseline joint finetuning; its recipe is inferred.
Network, augmentation, optimizer and number of iterations are those of the released recipe.
Command: mim train mmseg_dg joint_r101_cityscapes_released.py
Resources: 2 GPUs x batch 4 images = 8, 81 855 iterations; seeds 304.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deft_r101.py', '../_base_/datasets/dg_cityscapes_released.py',
    '../_base_/schedules/deft_cityscapes_released.py', '../_base_/protocols/dg_cityscapes_released.py'
]
model = dict(style_augmentation=dict(type='LABStyle', mean=(0.2, 0.8), std=(0.1, 0.4), noise=0.01))
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]  # one stage: 2.5e-3 and 1e-3, of the second one
test_cfg = dict(protocols=_base_.pop('protocols'))
# while training only the source is scored, once per epoch; the targets are in the test
val_cfg = dict(protocols=dict(cityscapes=test_cfg['protocols']['cityscapes']))
