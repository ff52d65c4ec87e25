"""Cityscapes val scored on the 16 classes SYNTHIA has: all but terrain, truck and train
(docs/behavior/daformer_hrda.md#evaluation)."""
_base_ = './cityscapes_val.py'
val_evaluator = dict(classes_subset='synthia16')
test_evaluator = dict(classes_subset='synthia16')
