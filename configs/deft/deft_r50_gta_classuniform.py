"""DeFT with ResNet-50 on GTA, with class-uniform sampling, else by the paper's settings.

No row of the paper that we know. Tiles and the crop's place are ours: every tile (``tiles='all'``), and uniform among
the crops that hold the point (``place='uniform'``); ``deft_r50_gta_released.py`` has the released scripts'.
Command: mim train mmseg_dg deft_r50_gta_classuniform.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
train_dataloader = dict(source=dict(sampler=dict(_delete_=True, type='ClassUniformSampler', fraction=0.5, tile=1024)))
