"""The same with 1/30 of the training images labeled: 100, and 2875 without."""
_base_ = './semi_cityscapes_hr.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/1_30/labeled.txt')),
    unlabeled=dict(dataset=dict(ann_file='splits/1_30/unlabeled.txt')))
