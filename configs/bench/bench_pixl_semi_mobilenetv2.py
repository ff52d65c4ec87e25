"""Small real benchmark, PiXL's alignment term in semi-supervised training: 1/8 of the video frames labeled.

No paper row. bench_semi_dacs_mobilenetv2.py and the term, as configs/_base_/alignments/pixl.py has it.
Command: mim train mmseg_dg bench_pixl_semi_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations; on 2 CPU cores about 40 minutes.
Score: see docs/benchmarks/pixl.md. Status: run at full scale only where that page says so.
"""
_base_ = ['./bench_semi_dacs_mobilenetv2.py', '../_base_/alignments/pixl.py']
model = dict(alignment=_base_.pop('alignment'))
