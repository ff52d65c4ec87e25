"""DDeP pretraining of a TransUNet decoder on ImageNet-21k, sigma drawn from [0.2, 0.3].

Paper: DDeP (Brempong et al., TMLR 2022), sampled noise levels (a fixed one is as good or better).
Command: mim train mmseg_dg ddep_transunet_1x_imagenet21k_sigma02to03.py
Paper's resources: 32 TPU-v4 chips, 117.6 PFLOPs (48.3 for the supervised baseline); batch 512 images of
    224x224, 100 epochs; seeds 0 (ours). Time and memory here have not been measured.
Paper's score: none for this stage; health: loss below 1, PSNR above the noisy image's 19.2 dB.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_imagenet21k.py'
model = dict(noise=dict(sigma=(0.2, 0.3)))
