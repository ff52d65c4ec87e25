"""DDeP pretraining of a TransUNet decoder of width 3 on ImageNet-1k, 8 x 64 images a step.

Paper: DDeP (Brempong et al., TMLR 2022), decoder pretraining; the same batch of 512, accumulated for small machines.
Command: mim train mmseg_dg ddep_transunet_3x_imagenet1k_acc8.py
Paper's resources: 32 TPU-v4 chips, 117.6 PFLOPs (48.3 for the supervised baseline); batch 512 images of
    224x224, 100 epochs; seeds 0 (ours). Time and memory here have not been measured.
Paper's score: none for this stage; health: loss below 1, PSNR above the noisy image's 19.2 dB.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_3x_imagenet1k.py'
train_dataloader = dict(images=dict(batch_size=64))
train_cfg = dict(accumulate=8)  # BatchNorm of the decoder sees 64 images at a time
