"""Your own labeled images, and images of another domain without labels, on two processor cores: self-training.

No row of the papers. Command: mim train mmseg_dg custom_uda_small.py for a child of it: docs/custom_data.md.
It starts from the network that ships with the package, all but its classifier: nothing is fetched.
Resources: 2 cores x batch 2 + 2, crop 256 of images scaled to 512, 1000 iterations;
about 1.1 s of one core per iteration, so some twenty minutes (AMD EPYC, five iterations measured).
Paper's score: none; seeds 0 1 2 (tools/study.py) show your spread. Status: run by the tests on drawn images.
"""
_base_ = [
    '../_base_/models/mobilenetv2_city.py', '../_base_/methods/daformer.py', '../_base_/schedules/adamw_small.py',
    '../_base_/default_runtime.py'
]

# ------------------------------------------------------------------ what you give
data_root = 'data/custom'
# in the order of the ids in the masks: 0, 1, ...; from a text file: classes, palette = read_classes('classes.txt')
# (from mmseg_dg.datasets.class_names import read_classes)
classes = ['background', 'object']
palette = [[0, 0, 0], [220, 20, 60]]  # red, green, blue per class, for pictures; None: chosen for you
label_map = {}  # {255: 1} for binary masks of 0 and 255; 255 means "ignore" otherwise
source_images, source_masks = 'source/images', 'source/masks'
target_images = 'target/images'  # no labels needed
val_images, val_masks = 'val/images', 'val/masks'  # a few labeled images of the target domain
# height and width of the crops of all streams
train_cfg = dict(crop_size=(256, 256), new_classifier=True)  # the classes of the file below are others
load_from = 'mmseg_dg://city_day_mobilenetv2'
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=200, save_best='mean/mIoU'))  # beside the newest checkpoint the best one is kept
# ------------------------------------------------------------------ what follows from it
model = _base_.pop('method')
model.pop('feature_distance')  # its thing classes are those of Cityscapes
model.update(
    pseudo_threshold=0.9,  # the paper's 0.968 is for long trainings of large networks
    use_valid_mask=True,  # nothing is learned from padding
    network=dict(decode_head=dict(num_classes=len(classes))))
custom_hooks = [
    # remembers 100 of 1000 iterations and normalizes with statistics of its own
    dict(type='EMAUpdateHook', beta=0.99, when='before_step', ramp=True, buffers='own'),
    dict(type='TrainingPicturesHook', interval=200),
]
train_dataloader = dict(
    source=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='FolderDataset',
            data_root=data_root,
            classes=classes,
            palette=palette,
            label_map=label_map,
            data_prefix=dict(img_path=source_images, seg_map_path=source_masks),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='Resize', scale=(512, 512), keep_ratio=True),  # the longer side becomes 512
                dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
                dict(type='Pad', pad_val=dict(img=0, seg=255)),  # images smaller than the crop
                dict(type='RandomCrop', cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    target=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='FolderDataset',
            data_root=data_root,
            classes=classes,
            palette=palette,
            data_prefix=dict(img_path=target_images),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                dict(type='Resize', scale=(512, 512), keep_ratio=True),
                dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
                dict(type='Pad', pad_val=dict(img=0, seg=0)),
                dict(type='RandomCrop'),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
    own=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='FolderDataset',
            data_root=data_root,
            classes=classes,
            palette=palette,
            label_map=label_map,
            data_prefix=dict(img_path=val_images, seg_map_path=val_masks),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(512, 512), keep_ratio=True),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs'),
            ])))
val_evaluator = dict(type='ConfusionMatrixMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
# not settings of their own: a child config has to change the datasets above
del data_root, classes, palette, label_map, val_images, val_masks, source_images, source_masks, target_images
