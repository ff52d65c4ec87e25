"""UniMatch V2's AdamW for Cityscapes: 180 epochs of the unlabeled images, batch 8
(docs/behavior/unimatch_v2.md#data)."""
_base_ = './adamw_voc_60e.py'
train_cfg = dict(max_epochs=180)
auto_scale_lr = dict(base_batch_size=8)
