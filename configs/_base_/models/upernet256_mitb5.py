"""MiT-B5 under UPerNet of 256 channels (docs/behavior/daformer_hrda.md#decoder-variants)."""
_base_ = './upernet_mitb5.py'
model = dict(network=dict(decode_head=dict(channels=256)))
