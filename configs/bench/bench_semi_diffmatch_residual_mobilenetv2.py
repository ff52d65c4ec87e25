"""Small real benchmark with few labels, ablation: DiffMatch whose denoiser adds to the plain classifier.

No paper row. Same budget as bench_semi_diffmatch_mobilenetv2.py, of which it is a child: the denoiser's last layer
starts at zero, so that training begins with the plain classifier.
Command: mim train mmseg_dg bench_semi_diffmatch_residual_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations; about 1.3 s of one CPU thread each.
Score: see docs/benchmarks/few_labels.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_semi_diffmatch_mobilenetv2.py'
model = dict(network=dict(residual=True))
