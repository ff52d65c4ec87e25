"""HRDA with the pixel contrast of CLUDA, GTA -> Cityscapes, with HRDA's own 256 channels per level.

Paper: CLUDA (Vayyat et al., arXiv 2208.14227), our ablation: HRDA itself has 256 channels.
Command: mim train mmseg_dg cluda_hrda_mitb5_gta2cityscapes_embed256.py
Paper's resources: as cluda_hrda_mitb5_gta2cityscapes.py, batch 2 source + 2 target images,
    40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './cluda_hrda_mitb5_gta2cityscapes.py'
model = dict(network=dict(decode_head=dict(head=dict(embed_channels=256))))
