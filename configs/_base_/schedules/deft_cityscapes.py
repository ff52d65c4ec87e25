"""DeFT on Cityscapes by the paper's settings: 2000 iterations of decoder warm-up, then 40 000 of decoupled
finetuning."""
_base_ = './deft_gta.py'
train_cfg = dict(max_iters=42000, val_interval=6000)  # 2000 + 40 000 (paper)
auto_scale_lr = dict(base_batch_size=8)  # 2 GPUs with 4 images each (docs/behavior/deft.md#optimization)
