"""DeFT on DeepLabV3+ with ResNet-50, GTA -> unseen Cityscapes, BDD100K, Mapillary, SYNTHIA, by the paper's settings.

Paper: DeFT (Pahk et al., ICLR 2025), trained on GTA.
The paper's batch of 4 is read as per GPU: only totals of 16 (GTA) and 8 (Cityscapes) make its warm-up lengths the
released scripts' 10 and 5 epochs. On one GPU: deft_r50_gta.py --row acc.
Command: mim train mmseg_dg deft_r50_gta.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources. Second-hand (a later paper's note, network and source not stated
    there for sure): BDD100K 42.40, Mapillary 48.38.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deft_r50.py', '../_base_/methods/deft.py', '../_base_/datasets/dg_gta.py',
    '../_base_/schedules/deft_gta.py', '../_base_/protocols/dg_gta.py'
]
model = _base_.pop('method')
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
