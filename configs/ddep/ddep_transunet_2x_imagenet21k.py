"""DDeP pretraining of a TransUNet decoder of width 2 on ImageNet-21k.

Paper: DDeP (Brempong et al., TMLR 2022), decoder pretraining.
Command: mim train mmseg_dg ddep_transunet_2x_imagenet21k.py
Paper's resources: 32 TPU-v4 chips, 117.6 PFLOPs (48.3 for the supervised baseline); batch 512 images of
    224x224, 100 epochs; seeds 0 (ours). Time and memory here have not been measured.
Paper's score: none for this stage; health: loss below 1, PSNR above the noisy image's 19.2 dB.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_imagenet21k.py'
model = dict(network=dict(decode_head=dict(width_multiplier=2)))
optim_wrapper = dict(optimizer=dict(lr=1e-4))  # paper
