"""GTA with labels, a few of Cityscapes' training images with labels, the others without: semi-supervised
adaptation.

As ``uda_gta_to_cityscapes_vfm.py``, divided by data/cityscapes/splits/1_16/{labeled,unlabeled}.txt (186 and 2789
images; tools/make_split.py writes them).
"""
_base_ = './uda_gta_to_cityscapes_vfm.py'
train_dataloader = dict(
    target=dict(dataset=dict(ann_file='splits/1_16/unlabeled.txt')),
    target_labeled=dict(
        batch_size=8,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            ann_file='splits/1_16/labeled.txt',  # 186 images
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomResize', scale=(10000, 1024), ratio_range=(0.9, 1.1), keep_ratio=True),
                dict(type='Pad', size=(1024, 1024), pad_val=dict(img=0, seg=255)),
                dict(type='RandomCrop', crop_size=(1024, 1024), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='ColorJitter', brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.05, prob=0.9),
                dict(type='PackStreamInputs'),
            ])))
