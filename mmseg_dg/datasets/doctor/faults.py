"""What can be wrong with data, how bad it is, and what to do about it."""
from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of fault.

    Attributes:
        severity: ``'error'`` (training fails or its result is wrong) or ``'warning'`` (may be meant
            so).
        title: For people.
        advice: What to do.
        per_sample: Whether leaving the sample out (a cleaned list) is a cure.
    """
    severity: str
    title: str
    advice: str
    per_sample: bool = False


#: Every kind of fault, in the order of the report.
KINDS: dict[str, Kind] = {
    'missing_folder': Kind('error', 'folder not there', 'correct data_root / data_prefix, or put '
                           'the data there'),
    'wrong_suffix': Kind('error', 'no file has the ending', 'set img_suffix / seg_map_suffix to '
                         'what is there'),
    'list_columns': Kind(
        'error', 'list with several columns', 'keep one image name per line; '
        'tools/make_split.py --import-from '
        'reads lists of two columns'),
    'missing_list': Kind('error', 'list file not there', 'correct ann_file, or write the list'),
    'empty_list': Kind('error', 'list names nothing', 'write one image name per line'),
    'duplicate_entry': Kind('error', 'listed twice', 'remove the second line', True),
    'missing_image': Kind('error', 'listed image not there', 'correct the list, img_suffix or '
                          'data_prefix', True),
    'missing_label': Kind('error', 'image without label', 'add the label, or leave the image '
                          'out', True),
    'refused': Kind('error', 'dataset cannot be built', 'see the message'),
    'unreadable_image': Kind('error', 'image cannot be read', 'fetch the file again, or leave it '
                             'out', True),
    'unreadable_label': Kind('error', 'label cannot be read', 'fetch the file again, or leave it '
                             'out', True),
    'deep_image': Kind(
        'error', 'image of more than 8 bits', 'say how many bits the values use '
        '(bit_depth=12, 16, ... of '
        'LoadImageFromFile), and they are '
        'scaled to 0..255', True),
    'extra_channels': Kind('error', 'image with channels that no network here takes', 'save the '
                           'three that '
                           'are used', True),
    'large_image': Kind('error', 'image with more pixels than max_pixels', 'cut it into tiles, or '
                        'raise max_pixels of '
                        'LoadImageFromFile', True),
    'small_image': Kind(
        'error', 'image too small for the network or the crop', 'leave it out, or '
        'enlarge images '
        'that small in '
        'the pipeline '
        '(Resize, '
        'Pad)', True),
    'size_mismatch': Kind('error', 'image and label differ in size', 'leave the pair out', True),
    'exif_rotation': Kind('error', 'image is turned when loaded, its label may not be',
                          'save the image turned as its label is, without the EXIF flag', True),
    'color_label': Kind('error', 'label is a color picture', 'save one id per pixel (8-bit, one '
                        'channel)', True),
    'wide_label': Kind('error', 'label has more than 8 bits', 'save class ids as 8-bit PNG', True),
    'lossy_label': Kind('error', 'label is a JPEG', 'JPEG changes ids; save labels as PNG', True),
    'ids_outside': Kind('error', 'ids that are no class', 'convert the labels, or map the ids '
                        '(raw_ids, label_map)', True),
    'binary_mask': Kind('error', 'binary 0/255 masks', 'label_map={255: 1} (FolderDataset)'),
    'train_val_duplicate': Kind('error', 'image in training and validation', 'leave it out of '
                                'training', True),
    'labeled_unlabeled_duplicate': Kind('error', 'image with and without label in one run',
                                        'leave it out of the unlabeled stream', True),
    'class_lists': Kind('error', 'streams with different classes', 'give all datasets the same '
                        'classes and palette'),
    'head_classes': Kind('error', 'network has another number of classes', 'set num_classes of '
                         'every decode head'),
    'count': Kind('error', 'not the known number of images', 'complete the download; or use a '
                  'list on purpose'),
    # no error: the data may be examined before, or on another machine than, the training
    'weights': Kind(
        'warning', 'pretrained weights without which a training stops at its start', 'do what the '
        'message says; to start from random weights on purpose: init_cfg=None; where the training '
        'will run on another machine: --ignore weights'),
    'no_known_class': Kind('warning', 'label is ignored altogether', 'leave the image out', True),
    'empty_class': Kind('warning', 'class without a pixel', 'check the ids; fine if the data has '
                        'none'),
    'duplicate_image': Kind('warning', 'same image twice in one stream', 'leave one out', True),
    'other_suffix': Kind('warning', 'image with another ending is not used', 'rename it, or set '
                         'img_suffix'),
    'hidden_image': Kind(
        'warning', 'hidden image is not used', 'delete what a program keeps '
        'there (such as '
        '.ipynb_checkpoints); rename what '
        'is meant'),
    'broken_link': Kind('warning', 'link that leads nowhere', 'mend or delete it'),
    'folder_like_image': Kind('warning', 'folder named like an image', 'rename it; what is in it '
                              'is not used'),
    'padding': Kind(
        'warning', 'padding fills more than a third of the crops', 'set '
        'train_cfg.crop_size '
        'to what the '
        'message says, or '
        'give larger '
        'images'),
    'alpha_image': Kind(
        'warning', 'alpha channel is not used', 'transparent pixels show the '
        'color they are saved with; save '
        'the image without alpha as it is '
        'meant'),
    'few_bits': Kind('warning', 'values use fewer bits than bit_depth', 'correct bit_depth of '
                     'LoadImageFromFile'),
    'orphan_label': Kind('warning', 'label without image', 'add the image, or delete the label'),
    'not_checked': Kind('warning', 'not examined', 'see the message'),
}


class Finding(NamedTuple):
    """One fault that was found.

    Attributes:
        kind: Key of :data:`KINDS`.
        stream: ``train/source``, ``val/cityscapes``, ...; empty for the config as a whole.
        path: The offending file, folder, list line or class.
        detail: What is wrong with it.
        image: Image path of the sample it belongs to, '' if it belongs to none.
    """
    kind: str
    stream: str
    path: str
    detail: str = ''
    image: str = ''

    @property
    def is_error(self) -> bool:
        """Whether its kind is an error and not a warning."""
        return KINDS[self.kind].severity == 'error'
