"""Domain generalization as the papers on foundation encoders judge it: Cityscapes, BDD100K and Mapillary, unseen.

Contains the runtime: a leaf lists this file instead of ``default_runtime.py``. **The best checkpoint is chosen on
the targets themselves**, by their mean, as the authors' published figures are
(docs/behavior/mic.md#domain-generalization): such a score is not one of an unseen domain. The last checkpoint is
kept too: report it first.
"""
_base_ = '../default_runtime.py'
default_hooks = dict(checkpoint=dict(save_best='mean/mIoU'))
protocols = dict(
    cityscapes=dict(role='target', note='1024x512; the best checkpoint is chosen on the targets'),
    bdd100k=dict(role='target', note='whole images of 1280x720; the best checkpoint is chosen on the targets'),
    mapillary=dict(role='target', note='at most 2048x1024, labels at full size (the authors halve them); the best '
                   'checkpoint is chosen on the targets'))
