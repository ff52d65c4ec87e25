"""Small real benchmark with few labels, ablation: DiffMatch whose denoiser reads the noisy code as it is, as in DDP.

No paper row. Same budget as bench_semi_diffmatch_mobilenetv2.py, of which it is a child.
Command: mim train mmseg_dg bench_semi_diffmatch_rawcode_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations; about 1.15 s of one CPU thread each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = './bench_semi_diffmatch_mobilenetv2.py'
model = dict(network=dict(denoiser=dict(code_input='raw')))
