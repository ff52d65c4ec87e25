"""UniMatch V2's AdamW for COCO: 20 epochs of the unlabeled images, batch 16 (docs/behavior/unimatch_v2.md#data)."""
_base_ = './adamw_voc_60e.py'
train_cfg = dict(max_epochs=20)
