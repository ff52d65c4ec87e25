"""HRDA with the pixel contrast of CLUDA, GTA -> Cityscapes.

Paper: CLUDA (Vayyat et al., arXiv 2208.14227), main comparison.
Command: mim train mmseg_dg cluda_hrda_mitb5_gta2cityscapes.py
Paper's resources: not in our sources;
    one GPU, batch 2 source + 2 target images, 40 000 iterations (docs/behavior/pixl.md#cludas-training-strategy);
    ours: seeds 0, 1, 2.
Paper's score: 74.4 mIoU on Cityscapes val (docs/behavior/pixl.md#published-scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_mitb5.py', '../_base_/methods/hrda.py', '../_base_/alignments/cluda.py',
    '../_base_/datasets/uda_gta_to_cityscapes_hr.py', '../_base_/schedules/adamw_40k.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
model.update(alignment=_base_.pop('alignment'))  # the term itself: _base_/alignments/cluda.py
model['detail_crop'] = dict(type='entropy', start=12001, stride=256)  # its code: after iteration 12 000
# docs/behavior/pixl.md#cludas-training-strategy
model['network'] = dict(decode_head=dict(head=dict(embed_channels=512)))
