"""Small real benchmark with few labels, ablation: the residual DiffMatch with a denoiser of deformable layers.

No paper row. Same budget as bench_semi_diffmatch_residual_mobilenetv2.py, of which it is a child; the layers of the
paper configs at 64 channels, with 8 heads, 4 points and a feed-forward width of 256.
Command: mim train mmseg_dg bench_semi_diffmatch_residual_deformable_mobilenetv2.py (data and weights under
MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations.
Score: see docs/benchmarks/few_labels.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_semi_diffmatch_residual_mobilenetv2.py'
model = dict(network=dict(denoiser=dict(layer='deformable', heads=8, points=4, ffn_channels=256, norm_cfg=None)))
