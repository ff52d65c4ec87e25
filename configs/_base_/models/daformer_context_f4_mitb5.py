"""DAFormer with context on the last level only, which a neck brings to stride 4 before
(docs/behavior/daformer_hrda.md#decoder-variants)."""
_base_ = './daformer_mitb5.py'
model = dict(
    network=dict(
        neck=dict(type='FeatureUpsampleNeck', in_index=(3, ), scales=(8, )),
        decode_head=dict(fusion=dict(_delete_=True, type='context_f4', dilations=(1, 6, 12, 18)))))
