"""DAFormer's embedding without context: a 1x1 fusion, the paper's SegFormer with 256 channels
(docs/behavior/daformer_hrda.md#decoder-variants)."""
_base_ = './daformer_mitb5.py'
model = dict(network=dict(decode_head=dict(fusion=dict(_delete_=True, type='conv1x1'))))
