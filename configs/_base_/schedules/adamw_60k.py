"""PiXL's 60 000 iterations of AdamW for Mix Transformers: the 40 000 of DAFormer and HRDA, half as long again.

The paper says 60000 epochs; every run of the recipe it follows counts iterations
(docs/behavior/pixl.md#confirmed-parts).
"""
_base_ = './adamw_40k.py'
# paper; validation stays at every 4000 (docs/behavior/pixl.md#cludas-training-strategy)
train_cfg = dict(max_iters=60000)
