"""40 000 iterations without warm-up: the paper's ablation, with the official quirk of its minimum
(docs/behavior/daformer_hrda.md#optimizer-and-schedule, poly10).

The minimum of 1e-4 lies above the encoder's 6e-5, so the encoder's rate RISES to 1e-4 while the head's falls to it.
"""
_base_ = './adamw_40k.py'
param_scheduler = [dict(type='WarmupPolyLR', power=1.0, warmup_iters=0, min_lr=1e-4)]
