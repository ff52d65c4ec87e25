"""DDeP pretraining of the DAFormer head on MiT-B5, ImageNet-1k.

No row of the paper: it says that the method does not depend on the architecture, and shows TransUNet.
Command: mim train mmseg_dg ddep_daformer_mitb5_imagenet1k.py
Paper's resources: 32 TPU-v4 chips, 117.6 PFLOPs (48.3 for the supervised baseline); batch 512 images of
    224x224, 100 epochs; seeds 0 (ours). Time and memory here have not been measured.
Paper's score: none for this stage; health: loss below 1, PSNR above the noisy image's 19.2 dB.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/methods/ddep.py', '../_base_/datasets/images_imagenet1k.py',
    '../_base_/schedules/adam_cosine_100e.py', '../_base_/default_runtime.py'
]
custom_imports = dict(imports=['mmseg_dg', 'mmseg_dg.mmpretrain'], allow_failed_imports=False)
model = _base_.pop('method')  # the network of the model file learns to denoise
# the head ends at stride 4, which cannot tell single pixels: 4 x 4 of them are predicted from each feature (ours)
model.update(noise_head=dict(kernel_size=3, upsample='pixel_shuffle', stride=4))
