"""PiXL without its term, the control: plain HRDA with ResNet-101 and DeepLabV3+, SYNTHIA -> Cityscapes (16 classes).

Paper: PiXL (Gan et al., "Diving Segmentation Model into Pixels", ICLR 2024), domain adaptation, control.
Command: mim train mmseg_dg pixl_hrda_deeplabv3plus_r101_synthia2cityscapes_noalign.py
Paper's resources: one Tesla V100 32 GB, batch 2 source + 2 target images, 60 000 iterations
    (the paper calls them epochs); time, memory and number of runs are not in our sources; ours: seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './pixl_hrda_deeplabv3plus_r101_synthia2cityscapes.py'
model = dict(alignment=None)
