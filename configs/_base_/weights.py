"""The pretrained encoders that configs name, all as local files: nothing here is ever downloaded by a run.

``python tools/prepare_weights.py`` (or ``mim run mmseg_dg prepare_weights``) lists which are there;
``... prepare_weights NAME`` checks and converts a fetched file to ``file``; with ``--download`` it fetches it first.
One entry per encoder:

* ``file``: what configs give as ``init_cfg=dict(type='Pretrained', checkpoint=...)``, relative to where a run starts;
* ``source``: where to fetch it by hand;
* ``candidates``: names under which a fetched file is looked for in the same folder;
* ``layout``: how the keys of the fetched file are named: ``mit`` (official Mix Transformer, or mmseg's conversion of
  it), ``resnet`` (torchvision), ``resnet_v1c`` (stem of three convolutions, as in mmseg), ``resnet_deepstem``
  (likewise, named ``conv1`` to ``conv3`` or ``conv1.0`` to ``conv1.6``), ``resnest`` (mmseg),
  ``mobilenet_v2`` (mmseg), ``vit_hybrid`` (the authors' npz file or timm's), ``dinov2`` (the authors' names; timm's
  and mmpretrain's are renamed), ``tinyvit`` (the original names, alone or below ``image_encoder.`` as in MobileSAM;
  mmpretrain's are renamed), ``mmpretrain`` (kept as it is, keys below ``backbone.``);
* ``sha256``: how the SHA-256 of a fetched file may begin, where that is known (torchvision names files so; for others
  several public lists of checksums agree); 64 digits are the whole of it;
* ``url``: where ``--download`` fetches it when a person asks for it; only with a whole SHA-256;
* ``backbone``: the encoder whose tensors the file must fill.
"""
_segformer = 'OpenMMLab: https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
_torchvision_models = 'https://download.pytorch.org/models/'
_torchvision = 'torchvision: ' + _torchvision_models
_openmmlab = 'OpenMMLab: https://download.openmmlab.com/pretrain/third_party/'
_dinov2_files = 'https://dl.fbaipublicfiles.com/dinov2/'
_dinov2 = 'DINOv2 authors (code and weights Apache-2.0): ' + _dinov2_files
# whole SHA-256 of files that --download fetches; the first 8 digits stand in torchvision's file names, the rest in
# several independent public lists
_R50 = '0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a'
_R101 = '63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a'
_MOBILE_SAM = '6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f'
_DINOV2 = dict(
    small='b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9',
    base='0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73',
    large='d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428',
    giant='baf8467e50af277596bbbafa06887c177ee899ab46033649c383577d7e9309d3',
)

weights = dict(
    mit_b0=dict(
        file='pretrained/mit_b0.pth', layout='mit', sha256=None,
        source=_segformer + "mit_b0_20220624-7e0fe6dd.pth, or the SegFormer authors' mit_b0.pth",
        candidates=['mit_b0_*.pth'], backbone=dict(type='MixTransformer', arch='b0')),
    mit_b1=dict(
        file='pretrained/mit_b1.pth', layout='mit', sha256=None,
        source=_segformer + "mit_b1_20220624-02e5a6a1.pth, or the SegFormer authors' mit_b1.pth",
        candidates=['mit_b1_*.pth'], backbone=dict(type='MixTransformer', arch='b1')),
    mit_b2=dict(
        file='pretrained/mit_b2.pth', layout='mit', sha256=None,
        source=_segformer + "mit_b2_20220624-66e8bf70.pth, or the SegFormer authors' mit_b2.pth",
        candidates=['mit_b2_*.pth'], backbone=dict(type='MixTransformer', arch='b2')),
    mit_b3=dict(
        file='pretrained/mit_b3.pth', layout='mit', sha256=None,
        source=_segformer + "mit_b3_20220624-13b1141c.pth, or the SegFormer authors' mit_b3.pth",
        candidates=['mit_b3_*.pth'], backbone=dict(type='MixTransformer', arch='b3')),
    mit_b4=dict(
        file='pretrained/mit_b4.pth', layout='mit', sha256=None,
        source=_segformer + "mit_b4_20220624-d588d980.pth, or the SegFormer authors' mit_b4.pth",
        candidates=['mit_b4_*.pth'], backbone=dict(type='MixTransformer', arch='b4')),
    mit_b5=dict(
        file='pretrained/mit_b5.pth', layout='mit', sha256=None,
        source=_segformer + "mit_b5_20220624-658746d9.pth, or the SegFormer authors' mit_b5.pth",
        candidates=['mit_b5_*.pth'], backbone=dict(type='MixTransformer', arch='b5')),
    resnet50=dict(
        file='pretrained/resnet50.pth', layout='resnet', sha256=['19c8e357', _R50],
        url=_torchvision_models + 'resnet50-0676ba61.pth',
        source=_torchvision + 'resnet50-0676ba61.pth (formerly resnet50-19c8e357.pth)',
        candidates=['resnet50-*.pth'], backbone=dict(type='ResNet', depth=50)),
    resnet101=dict(
        file='pretrained/resnet101.pth', layout='resnet', sha256=['5d3b4d8f', _R101],
        url=_torchvision_models + 'resnet101-63fe2227.pth',
        source=_torchvision + 'resnet101-63fe2227.pth (formerly resnet101-5d3b4d8f.pth)',
        candidates=['resnet101-*.pth'], backbone=dict(type='ResNet', depth=101)),
    resnet50_v1c=dict(
        file='pretrained/resnet50_v1c.pth', layout='resnet_v1c', sha256=None,
        source=_openmmlab + 'resnet50_v1c-2cccc1ad.pth',
        candidates=['resnet50_v1c-*.pth'], backbone=dict(type='ResNetV1c', depth=50)),
    resnet101_v1c=dict(
        file='pretrained/resnet101_v1c.pth', layout='resnet_v1c', sha256=None,
        source=_openmmlab + 'resnet101_v1c-e67eebb6.pth',
        candidates=['resnet101_v1c-*.pth'], backbone=dict(type='ResNetV1c', depth=101)),
    resnet50_deepstem=dict(
        file='pretrained/resnet50_deepstem.pth', layout='resnet_deepstem', sha256=None,
        source='README of UniMatch (github.com/LiheYoung/UniMatch): resnet50.pth, the deep stem of 64, 64, 128 '
        'channels of hszhao/semseg',
        candidates=['resnet50_v2.pth'], backbone=dict(type='ResNetV1c', depth=50, stem_channels=128)),
    resnet101_deepstem=dict(
        file='pretrained/resnet101_deepstem.pth', layout='resnet_deepstem', sha256=None,
        source='README of UniMatch (github.com/LiheYoung/UniMatch): resnet101.pth, the deep stem of 64, 64, 128 '
        'channels of hszhao/semseg',
        candidates=['resnet101_v2.pth'], backbone=dict(type='ResNetV1c', depth=101, stem_channels=128)),
    resnest50=dict(
        file='pretrained/resnest50.pth', layout='resnest', sha256=None,
        source=_openmmlab + 'resnest50_d2-7497a55b.pth',
        candidates=['resnest50_*.pth'], backbone=dict(type='ResNeSt', depth=50, stem_channels=64)),
    resnest101=dict(
        file='pretrained/resnest101.pth', layout='resnest', sha256=None,
        source=_openmmlab + 'resnest101_d2-f3b931b2.pth',
        candidates=['resnest101_*.pth'], backbone=dict(type='ResNeSt', depth=101, stem_channels=128)),
    resnest200=dict(
        file='pretrained/resnest200.pth', layout='resnest', sha256=None,
        source=_openmmlab + 'resnest200_d2-ca88e41f.pth',
        candidates=['resnest200_*.pth'], backbone=dict(type='ResNeSt', depth=200, stem_channels=128)),
    mobilenet_v2=dict(
        file='pretrained/mobilenet_v2.pth', layout='mobilenet_v2', sha256=None,
        source='OpenMMLab: https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/'
        'mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth',
        candidates=['mobilenet_v2_*.pth'], backbone=dict(type='MobileNetV2')),
    r50_vit_b16=dict(
        file='pretrained/r50_vit_b16.pth', layout='vit_hybrid', sha256=None,
        source='Vision Transformer authors: imagenet21k/R50+ViT-B_16.npz of https://github.com/google-research/'
        'vision_transformer; or the state dict of timm vit_base_r50_s16_224',
        candidates=['R50+ViT-B_16*.npz', 'vit_base_r50_s16_224*.pth'], backbone=dict(type='HybridViT')),
    dinov2_small=dict(
        file='pretrained/dinov2_small.pth', layout='dinov2', sha256=[_DINOV2['small']],
        url=_dinov2_files + 'dinov2_vits14/dinov2_vits14_pretrain.pth',
        source=_dinov2 + 'dinov2_vits14/dinov2_vits14_pretrain.pth',
        candidates=['dinov2_vits14_pretrain*.pth'], backbone=dict(type='PlainViT', arch='small')),
    dinov2_base=dict(
        file='pretrained/dinov2_base.pth', layout='dinov2', sha256=[_DINOV2['base']],
        url=_dinov2_files + 'dinov2_vitb14/dinov2_vitb14_pretrain.pth',
        source=_dinov2 + 'dinov2_vitb14/dinov2_vitb14_pretrain.pth',
        candidates=['dinov2_vitb14_pretrain*.pth'], backbone=dict(type='PlainViT', arch='base')),
    dinov2_large=dict(
        file='pretrained/dinov2_large.pth', layout='dinov2', sha256=[_DINOV2['large']],
        url=_dinov2_files + 'dinov2_vitl14/dinov2_vitl14_pretrain.pth',
        source=_dinov2 + 'dinov2_vitl14/dinov2_vitl14_pretrain.pth',
        candidates=['dinov2_vitl14_pretrain*.pth'], backbone=dict(type='PlainViT', arch='large')),
    dinov2_giant=dict(
        file='pretrained/dinov2_giant.pth', layout='dinov2', sha256=[_DINOV2['giant']],
        url=_dinov2_files + 'dinov2_vitg14/dinov2_vitg14_pretrain.pth',
        source=_dinov2 + 'dinov2_vitg14/dinov2_vitg14_pretrain.pth',
        candidates=['dinov2_vitg14_pretrain*.pth'], backbone=dict(type='PlainViT', arch='giant')),
    dinov2_small_reg=dict(
        file='pretrained/dinov2_small_reg.pth', layout='dinov2', sha256=None,
        source=_dinov2 + 'dinov2_vits14/dinov2_vits14_reg4_pretrain.pth',
        candidates=['dinov2_vits14_reg4_pretrain*.pth'], backbone=dict(type='PlainViT', arch='small', registers=4)),
    dinov2_base_reg=dict(
        file='pretrained/dinov2_base_reg.pth', layout='dinov2', sha256=None,
        source=_dinov2 + 'dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth',
        candidates=['dinov2_vitb14_reg4_pretrain*.pth'], backbone=dict(type='PlainViT', arch='base', registers=4)),
    dinov2_large_reg=dict(
        file='pretrained/dinov2_large_reg.pth', layout='dinov2', sha256=None,
        source=_dinov2 + 'dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth',
        candidates=['dinov2_vitl14_reg4_pretrain*.pth'], backbone=dict(type='PlainViT', arch='large', registers=4)),
    dinov2_giant_reg=dict(
        file='pretrained/dinov2_giant_reg.pth', layout='dinov2', sha256=None,
        source=_dinov2 + 'dinov2_vitg14/dinov2_vitg14_reg4_pretrain.pth',
        candidates=['dinov2_vitg14_reg4_pretrain*.pth'], backbone=dict(type='PlainViT', arch='giant', registers=4)),
    tinyvit_5m_sam=dict(
        file='pretrained/tinyvit_5m_sam.pth', layout='tinyvit', sha256=[_MOBILE_SAM],
        url='https://github.com/ChaoningZhang/MobileSAM/raw/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/'
        'mobile_sam.pt',
        source='MobileSAM authors (Apache-2.0): https://github.com/ChaoningZhang/MobileSAM, weights/mobile_sam.pt',
        candidates=['mobile_sam*.pt'], backbone=dict(type='TinyViT', arch='5m', last_stride=1)),
    vit_b16=dict(
        file='pretrained/vit_b16.pth', layout='mmpretrain', sha256=['98e8652b'],
        source='OpenMMLab: https://download.openmmlab.com/mmclassification/v0/vit/finetune/'
        'vit-base-p16_in21k-pre-3rdparty_ft-64xb64_in1k-384_20210928-98e8652b.pth',
        candidates=[], backbone=None),
)
