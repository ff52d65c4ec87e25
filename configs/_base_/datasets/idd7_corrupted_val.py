"""IDD's validation frames, clean and damaged: six kinds at the middle strength, 7 domains of 109 images.

``mean/mIoU`` is the mean over all of them, the clean one included.
"""
_base_ = './idd7_val.py'
from mmseg_dg.datasets.corruptions import corrupted  # noqa: E402  after _base_: an import above it means another format

val_dataloader = dict(_delete_=True, **corrupted(dict(idd=_base_.val_dataloader.idd), strengths=(2, )))
test_dataloader = dict(_delete_=True, **corrupted(dict(idd=_base_.val_dataloader.idd), strengths=(2, )))
