"""DAFormer with interlaced sparse attention as fusion (docs/behavior/daformer_hrda.md#decoder-variants)."""
_base_ = './daformer_mitb5.py'
model = dict(
    network=dict(
        decode_head=dict(
            fusion=dict(
                _delete_=True, type='isa', isa_channels=256, down_factor=(8, 8), key_query_num_convs=1))))
