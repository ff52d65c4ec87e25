"""Labeled frames of CamVid by day, 7 classes: the upper control (oracle) of IDD -> CamVid."""
_base_ = './uda_camvid_to_idd7.py'
_base_.train_dataloader.pop('target')
