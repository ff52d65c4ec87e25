"""UniMatch V2's AdamW for ADE20K: 60 epochs of the unlabeled images, batch 8 (docs/behavior/unimatch_v2.md#data)."""
_base_ = './adamw_voc_60e.py'
auto_scale_lr = dict(base_batch_size=8)
