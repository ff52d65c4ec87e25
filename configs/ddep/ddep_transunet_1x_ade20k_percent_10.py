"""TransUNet of width 1 with a denoised decoder on ADE20K, 10 % of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), ADE20K.
Command: mim train mmseg_dg ddep_transunet_1x_ade20k_percent_10.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_ade20k_percent_1.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/percent_10/labeled.txt')))  # 2021 images
study = dict(  # paper: 10 runs with different subsets (tools/make_split.py --seed)
    seeds=[0],
    subsets=[
        'percent_10', 'percent_10_seed1', 'percent_10_seed2', 'percent_10_seed3', 'percent_10_seed4',
        'percent_10_seed5', 'percent_10_seed6', 'percent_10_seed7', 'percent_10_seed8', 'percent_10_seed9'
    ])
