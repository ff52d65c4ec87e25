"""DAFormer without depth-wise separable convolutions in its ASPP (docs/behavior/daformer_hrda.md#decoder-variants)."""
_base_ = './daformer_mitb5.py'
model = dict(network=dict(decode_head=dict(fusion=dict(_delete_=True, type='aspp', dilations=(1, 6, 12, 18)))))
