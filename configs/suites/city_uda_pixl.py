"""Suite city_uda, PiXL's alignment term beside DAFormer's self-training, on the built-in city.

No paper row: daformer_synthcity_demo.py and the term as configs/_base_/alignments/pixl.py has it.
Command: python tools/leaderboard.py configs/suites/city_uda.yml, or mim train mmseg_dg city_uda_pixl.py; nothing has
to be fetched.
Resources: 1 CPU core, batch 4 + 4, crop 128, 150 iterations (600 in the suite).
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = ['../demo/daformer_synthcity_demo.py', '../_base_/alignments/pixl.py']
model = dict(alignment=_base_.pop('alignment'))
