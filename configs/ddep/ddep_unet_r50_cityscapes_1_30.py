"""U-Net decoder on ResNet-50 with a denoised decoder on Cityscapes, 1/30 of the labels.

No row of the paper: it shows TransUNet.
Command: mim train mmseg_dg ddep_unet_r50_cityscapes_1_30.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/unet_r50.py', '../_base_/datasets/supervised_cityscapes.py',
    '../_base_/schedules/adam_cosine_20k.py', '../_base_/default_runtime.py'
]
model = dict(
    stream='labeled',
    init_cfg=dict(type='PretrainedDenoiser', checkpoint='denoisers/unet_r50.pth'),  # made by pretraining
    network=dict(test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(1024, 1024))))
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/1_30/labeled.txt')))  # 100 images
study = dict(  # paper: 10 runs with different subsets (tools/make_split.py --seed)
    seeds=[0],
    subsets=[
        '1_30', '1_30_seed1', '1_30_seed2', '1_30_seed3', '1_30_seed4', '1_30_seed5', '1_30_seed6', '1_30_seed7',
        '1_30_seed8', '1_30_seed9'
    ])
