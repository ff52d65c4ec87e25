"""The network and hyper-parameters of a recorded official HRDA step: MiT-B0, decoder width 64, image 256, detail 128.

``python tools/replay_official.py RECORD tests/replay_configs/replay_hrda_mitb0.py``. Whatever the record itself says
(detail crop, mask or bands without pseudo-labels, width of the scale attention) is taken from there.
"""
_base_ = './replay_daformer_mitb0.py'
model = dict(
    network=dict(
        _delete_=True,
        type='HRDAEncoderDecoder',
        backbone=dict(type='MixTransformer', arch='b0', drop_path_rate=0.0),
        decode_head=dict(
            type='HRDAHead',
            head=dict(
                type='DAFormerHead', in_channels=[32, 64, 160, 256], in_index=[0, 1, 2, 3], channels=64,
                embed_channels=64, fusion=dict(type='sep_aspp', dilations=(1, 6, 12, 18)), dropout_ratio=0.0,
                num_classes=19, norm_cfg=dict(type='BN', requires_grad=True), align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
            attention_classwise=True,
            attention_channels=64,
            hr_loss_weight=0.1),
        scales=[1, 0.5],
        hr_crop_size=(128, 128),
        train_cfg=dict(),
        test_cfg=dict(mode='whole')),
    ignore_top=0,
    ignore_bottom=0,
    use_valid_mask=True)
