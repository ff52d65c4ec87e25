"""The same with 1/4 of the training images labeled: 744, and 2231 without."""
_base_ = './semi_cityscapes_hr.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/1_4/labeled.txt')),
    unlabeled=dict(dataset=dict(ann_file='splits/1_4/unlabeled.txt')))
