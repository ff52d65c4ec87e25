"""TransUNet of width 1 with a denoised decoder on Pascal Context (59 classes), 5 % of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), Pascal Context.
Command: mim train mmseg_dg ddep_transunet_1x_pascal_context_percent_5.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_pascal_context_full.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/percent_5/labeled.txt')))  # 250 images
train_cfg = dict(max_iters=20000, val_interval=2000)  # few labels
study = dict(  # paper: 10 runs with different subsets (tools/make_split.py --seed)
    seeds=[0],
    subsets=[
        'percent_5', 'percent_5_seed1', 'percent_5_seed2', 'percent_5_seed3', 'percent_5_seed4', 'percent_5_seed5',
        'percent_5_seed6', 'percent_5_seed7', 'percent_5_seed8', 'percent_5_seed9'
    ])
