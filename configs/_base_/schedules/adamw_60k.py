"""PiXL's 60 000 iterations of AdamW for Mix Transformers: the 40 000 of DAFormer and HRDA, half as long again.

The card says 60000 epochs; every run of the recipe it follows counts iterations (PiXL specification (a) 8).
"""
_base_ = './adamw_40k.py'
train_cfg = dict(max_iters=60000)  # card; validation stays at every 4000 (CLUDA specification, test)
