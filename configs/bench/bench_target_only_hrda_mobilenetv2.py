"""Small real benchmark, upper control of HRDA: the multi-resolution network on the labels of the real target.

No paper row. Network of bench_hrda_mobilenetv2.py, data and schedule of bench_target_only_mobilenetv2.py.
Command: mim train mmseg_dg bench_target_only_hrda_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 2 CPU cores about 15 minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_target_only_mobilenetv2.py'
model = dict(
    network=dict(
        type='HRDAEncoderDecoder',
        decode_head=dict(
            _delete_=True,
            type='HRDAHead',
            head=_base_.model.network.decode_head,
            attention_channels=64,
            output_stride=4,
            hr_loss_weight=0.1),
        scales=[1, 0.5],
        hr_crop_size=(128, 128),
        test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_chunk=4)))
