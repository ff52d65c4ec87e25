"""A Mix Transformer of one block per stage from random weights under a narrow DAFormer head: for demo and tests.

1.5 million parameters; no weights have to be fetched.
"""
_base_ = './daformer_mitb5.py'
model = dict(
    network=dict(
        backbone=dict(
            _delete_=True,
            type='MixTransformer',
            arch='b0',
            num_layers=[1, 1, 1, 1],
            drop_path_rate=0.),  # no init_cfg: random weights
        decode_head=dict(in_channels=[32, 64, 160, 256], channels=64, embed_channels=64)))
