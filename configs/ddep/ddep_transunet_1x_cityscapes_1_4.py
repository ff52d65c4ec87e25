"""TransUNet of width 1 with a denoised decoder on Cityscapes, 1/4 of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), Cityscapes.
Command: mim train mmseg_dg ddep_transunet_1x_cityscapes_1_4.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 20 000 iterations (ours); 4 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_cityscapes_1_30.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/1_4/labeled.txt')))  # 744 images
study = dict(  # paper: 4 runs with different subsets (tools/make_split.py --seed)
    seeds=[0],
    subsets=[
        '1_4', '1_4_seed1', '1_4_seed2', '1_4_seed3'
    ])
