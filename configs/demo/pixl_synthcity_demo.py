"""Demo: DAFormer's self-training with PiXL's alignment term on the built-in city, by day -> seen by a camera.

No paper row. Command: make demo METHOD=pixl, or mim train mmseg_dg pixl_synthcity_demo.py; nothing has to be fetched.
Control: daformer_synthcity_demo.py, which is the same without the term.
Resources: 1 CPU core, batch 4 + 4, crop 128, 150 iterations; two minutes, images included.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = ['./daformer_synthcity_demo.py', '../_base_/alignments/pixl.py']
model = dict(alignment=_base_.pop('alignment'))
