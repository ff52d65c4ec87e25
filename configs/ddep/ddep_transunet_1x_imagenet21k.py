"""DDeP pretraining of a TransUNet decoder of width 1 on ImageNet-21k.

Paper: DDeP (Brempong et al., TMLR 2022), decoder pretraining.
Command: mim train mmseg_dg ddep_transunet_1x_imagenet21k.py
Paper's resources: 32 TPU-v4 chips, 117.6 PFLOPs (48.3 for the supervised baseline); batch 512 images of
    224x224, 100 epochs; seeds 0 (ours). Time and memory here have not been measured.
Paper's score: none for this stage; health: loss below 1, PSNR above the noisy image's 19.2 dB.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/transunet.py', '../_base_/methods/ddep.py', '../_base_/datasets/images_imagenet21k.py',
    '../_base_/schedules/adam_cosine_100e.py', '../_base_/default_runtime.py'
]
custom_imports = dict(imports=['mmseg_dg', 'mmseg_dg.mmpretrain'], allow_failed_imports=False)
model = _base_.pop('method')  # the network of the model file learns to denoise
model.update(encoder_norm=None)  # HybridViT takes [-1, 1] as it is
