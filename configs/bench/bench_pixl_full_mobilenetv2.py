"""Small real benchmark, PiXL's alignment term in supervised training: all 305 video frames by day labeled.

No paper row. bench_supervised_camvid11_mobilenetv2.py and the term, as configs/_base_/alignments/pixl.py has it.
Command: mim train mmseg_dg bench_pixl_full_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 192, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/pixl.md. Status: run at full scale only where that page says so.
"""
_base_ = ['./bench_supervised_camvid11_mobilenetv2.py', '../_base_/alignments/pixl.py']
model = dict(alignment=_base_.pop('alignment'))
