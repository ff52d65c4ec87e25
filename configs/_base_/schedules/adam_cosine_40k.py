"""DDeP's finetuning on all labels of Cityscapes or Pascal Context: 40 000 steps (ours)."""
_base_ = './adam_cosine_20k.py'
train_cfg = dict(max_iters=40000, val_interval=4000)
