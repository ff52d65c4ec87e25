"""The built-in city seen by a camera, clean and damaged: six kinds in three strengths, 19 domains of 80 images.

``mean/mIoU`` is the mean over all of them, the clean one included.
"""
_base_ = './synthcity_val.py'
from mmseg_dg.datasets.corruptions import corrupted  # noqa: E402  after _base_: an import above it means another format

val_dataloader = dict(_delete_=True, **corrupted(dict(camera=_base_.val_dataloader.camera)))
test_dataloader = dict(_delete_=True, **corrupted(dict(camera=_base_.val_dataloader.camera)))
