"""TransUNet of width 1 with a denoised decoder on Cityscapes, 1/30 of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), Cityscapes.
Command: mim train mmseg_dg ddep_transunet_1x_cityscapes_1_30.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_cityscapes_full.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/1_30/labeled.txt')))  # 100 images
train_cfg = dict(max_iters=20000, val_interval=2000)  # few labels
study = dict(  # paper: 10 runs with different subsets (tools/make_split.py --seed)
    seeds=[0],
    subsets=[
        '1_30', '1_30_seed1', '1_30_seed2', '1_30_seed3', '1_30_seed4', '1_30_seed5', '1_30_seed6', '1_30_seed7',
        '1_30_seed8', '1_30_seed9'
    ])
