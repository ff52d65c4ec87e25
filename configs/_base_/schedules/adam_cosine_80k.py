"""DDeP's finetuning on all labels of ADE20K: 80 000 steps (ours)."""
_base_ = './adam_cosine_20k.py'
train_cfg = dict(max_iters=80000, val_interval=8000)
