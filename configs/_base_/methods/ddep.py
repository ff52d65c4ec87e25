"""Decoder denoising pretraining: ``model = _base_.pop('method')`` beside a network of ``models/``.

Images reach the method on the scale [-1, 1]; ``encoder_norm`` is the normalization its encoder was trained with. It is
None for encoders that take [-1, 1] (``HybridViT``).
"""
method = dict(
    type='DDeP',
    # inferred: docs/behavior/ddep.md#confirmed-inferred-unconfirmed
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    encoder_norm=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),  # ImageNet encoders
    stream='images',
    noise=dict(form='scaled', sigma=0.22),  # best magnitude, slightly better form (docs/behavior/ddep.md#objective)
    target='noise',  # docs/behavior/ddep.md#objective
    train_encoder=False,  # True is DeP (docs/behavior/ddep.md#three-stages)
    noise_head=dict(kernel_size=3, upsample='bilinear'))  # ours: a convolution at full resolution
custom_hooks = [dict(type='TrainingPicturesHook', interval=1000)]
