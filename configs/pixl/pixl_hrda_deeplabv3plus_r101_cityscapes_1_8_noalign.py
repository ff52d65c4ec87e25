"""PiXL without its term, the control: plain HRDA with ResNet-101 and DeepLabV3+, Cityscapes with 1/8 of the labels.

Paper: PiXL (Gan et al., "Diving Segmentation Model into Pixels", ICLR 2024), semi-supervised training, control.
Command: mim train mmseg_dg pixl_hrda_deeplabv3plus_r101_cityscapes_1_8_noalign.py
Paper's resources: one Tesla V100 32 GB, batch 2 labelled + 2 unlabelled images, 60 000 iterations
    (the paper calls them epochs); time, memory and number of runs are not in our sources; ours: seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './pixl_hrda_deeplabv3plus_r101_cityscapes_1_8.py'
model = dict(alignment=None)
