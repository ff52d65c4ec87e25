"""Sweep of rate and decay: TransUNet with a denoised decoder on ADE20K, 5 % of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), choice of learning rate and weight decay per task.
Command: mim train mmseg_dg ddep_transunet_1x_ade20k_percent_5_sweep.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 16 runs,
    seeds 0 (ours). Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_ade20k_percent_5.py'
# every fifth of the 1011 labeled images is not trained on but chosen by; the reported validation set is not touched
train_dataloader = dict(labeled=dict(dataset=dict(indices=[i for i in range(1011) if i % 5])))
_labeled = _base_.train_dataloader.labeled.dataset
val_dataloader = dict(
    ade20k=dict(
        dataset=dict(ann_file=_labeled.ann_file, data_prefix=_labeled.data_prefix, indices=range(0, 1011, 5))))
test_dataloader = val_dataloader
del _labeled
study = dict(
    _delete_=True,
    seeds=[0],
    grid={  # paper: [1e-5, 3e-4]; the points are ours
        'optim_wrapper.optimizer.lr': [1e-5, 3e-5, 1e-4, 3e-4],
        'optim_wrapper.optimizer.weight_decay': [1e-5, 3e-5, 1e-4, 3e-4]
    })
