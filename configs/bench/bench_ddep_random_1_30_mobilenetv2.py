"""Small real benchmark, control of denoising pretraining with 1/30 of the labels: the same from a random decoder.

No paper row. bench_ddep_finetune_1_30_mobilenetv2.py with the last line below as the only difference.
Command: mim train mmseg_dg bench_ddep_random_1_30_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 1 CPU core about 0.3 s each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = './bench_ddep_finetune_1_30_mobilenetv2.py'
model = dict(init_cfg=None)
