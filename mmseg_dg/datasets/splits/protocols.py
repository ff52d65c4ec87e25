"""Which images of which dataset the published labeled/unlabeled protocols choose from, and how
many.

Counts: docs/behavior/unimatch.md#unimatch-lists (VOC, Cityscapes, COCO; every one is the smallest
integer not below the fraction); Pascal Context and ADE20K: fractions of
docs/behavior/ddep.md#finetuning, rounded; ADE20K's ``1_k``: docs/behavior/unimatch_v2.md#lists.
"""
import math
import os
import os.path as osp
import re
from dataclasses import dataclass
from typing import Optional, Union

from mmseg_dg.utils.rounding import ceil_div


@dataclass(frozen=True)
class Source:
    """Where a dataset's training images and masks lie below ``data_root``.

    Attributes:
        name: Name on the command line.
        data_root: Usual place, for messages.
        images: Folder of images.
        img_suffix: Ending of images, or several.
        masks: Folder of masks.
        mask_suffix: Ending of masks.
        num_ids: Ids a mask may have are 0..num_ids - 1, and 255.
        list_file: List of the training images; None: every image of the folder.
        total: Published number of training images; None for data of your own.
        list_from: The tool that writes the list.
    """
    name: str
    data_root: str
    images: str
    img_suffix: Union[str, tuple[str, ...]]
    masks: str
    mask_suffix: str
    num_ids: int
    list_file: Optional[str] = None
    total: Optional[int] = None
    list_from: str = ''


@dataclass(frozen=True)
class Protocol:
    """One labeled/unlabeled division.

    Attributes:
        name: Folder below ``<data_root>/splits``.
        labeled: Number of labeled images; None: ``fraction`` of what is there.
        fraction: Share of the images that is labeled.
        choose_from: List of images among which the labeled ones are drawn; None: all training
            images.
        prefer: List of images that are labeled first, before any other.
        masks: Folder of the labeled images' masks, where it is not the dataset's.
        unlabeled: Number of the others; None where it follows.
    """
    name: str
    labeled: Optional[int] = None
    fraction: Optional[float] = None
    choose_from: Optional[str] = None
    prefer: Optional[str] = None
    masks: Optional[str] = None
    unlabeled: Optional[int] = None


_VOC_LISTS = 'ImageSets/Segmentation'
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source('voc', 'data/VOCdevkit/VOC2012', 'JPEGImages', '.jpg', 'SegmentationClassAug',
               '.png', 21, f'{_VOC_LISTS}/train_aug.txt', 10582,
               'tools/dataset_converters/voc_aug.py'),
        Source('cityscapes', 'data/cityscapes', 'leftImg8bit/train', '_leftImg8bit.png',
               'gtFine/train', '_gtFine_labelTrainIds.png', 19, None, 2975),
        Source('coco', 'data/coco', 'train2017', '.jpg', 'semantic81/train2017', '.png', 81, None,
               118287),
        Source('ade20k', 'data/ade/ADEChallengeData2016', 'images/training', '.jpg',
               'annotations/training', '.png', 151, None, 20210),
        Source('pascal_context', 'data/VOCdevkit/VOC2010', 'JPEGImages', '.jpg',
               'SegmentationClassContext', '.png', 60, 'ImageSets/SegmentationContext/train.txt',
               4998, 'tools/dataset_converters/pascal_context.py'),
    )
}


def _parts(total: int, *denominators: int) -> dict[str, Protocol]:
    """Protocols ``1_k`` for each k of ``denominators``: ceil(total / k) labeled images of
    ``total``.
    """
    counts = {k: ceil_div(total, k) for k in denominators}
    return {f'1_{k}': Protocol(f'1_{k}', labeled=n, unlabeled=total - n) for k, n in counts.items()}


def _whole_parts(total: int, *denominators: int) -> dict[str, Protocol]:
    """Protocols ``1_k`` for each k of ``denominators``: floor(total / k) labeled images of
    ``total`` (ADE20K's lists of UniMatch V2).
    """
    return {
        f'1_{k}': Protocol(f'1_{k}', labeled=total // k, unlabeled=total - total // k)
        for k in denominators
    }


def _percents(total: int, *shares: int) -> dict[str, Protocol]:
    """Protocols ``percent_k`` for each k of ``shares``: k % of ``total`` labeled images, rounded
    (halves up).
    """
    counts = {k: math.floor(total * k / 100 + 0.5) for k in shares}
    return {
        f'percent_{k}': Protocol(f'percent_{k}', labeled=n, unlabeled=total - n)
        for k, n in counts.items()
    }


def _voc() -> dict[str, Protocol]:
    """The protocols of Pascal VOC by name: classic lists (fine labels alone), blended ones (SBD's
    coarse labels as well) and U2PL's; 10582 images are train_aug, 1464 VOC's own train.
    """
    fine = f'{_VOC_LISTS}/train.txt'
    protocols = []
    for name, count in (('1_16', 92), ('1_8', 183), ('1_4', 366), ('1_2', 732), ('full', 1464)):
        protocols.append(
            Protocol(f'classic_{name}', labeled=count, choose_from=fine, masks='SegmentationClass',
                     unlabeled=10582 - count))
    for name, count in (('1_16', 662), ('1_8', 1323), ('1_4', 2646)):
        protocols.append(Protocol(f'blender_{name}', labeled=count, unlabeled=10582 - count))
        # finely labeled images first: 1_16 and 1_8 have no others, 1_4 has all 1464 and more
        protocols.append(
            Protocol(f'u2pl_{name}', labeled=count, prefer=fine, unlabeled=10582 - count))
    return {protocol.name: protocol for protocol in protocols}


#: Protocols by dataset and name.
PROTOCOLS: dict[str, dict[str, Protocol]] = dict(
    voc=_voc(),
    cityscapes=_parts(2975, 30, 16, 8, 4, 2),
    coco=_parts(118287, 512, 256, 128, 64, 32),
    ade20k=_percents(20210, 1, 5, 10, 20) | _whole_parts(20210, 64, 32, 16, 8, 4, 2),
    pascal_context=_percents(4998, 1, 5, 10, 20),
)

#: Datasets of configs -> name of the source here.
DATASET_TYPES = dict(PascalVOCDataset='voc', CityscapesDataset='cityscapes', COCO81Dataset='coco',
                     ADE20KDataset='ade20k', PascalContextDataset='pascal_context',
                     PascalContextDataset59='pascal_context')


def find_protocol(source: str, name: str) -> Protocol:
    """The protocol called ``name`` of the dataset called ``source`` (a key of :data:`SOURCES`).

    Raises:
        ValueError: No such protocol; names those there are.
    """
    protocols = PROTOCOLS.get(source, {})
    if name not in protocols:
        raise ValueError(f'{source} has no protocol {name!r}: use one of {", ".join(protocols)}')
    return protocols[name]


def missing_list_hint(path: str, dataset: str = '') -> str:
    """What to do about a split list that is not there: the commands that draw or import it, to be
    put behind a message; '' for a list that is no split list.

    Args:
        path: Of the missing list, ``<data_root>/splits/<protocol>/labeled.txt``.
        dataset: Type of the dataset in the config.
    """
    parts = osp.normpath(path).split(os.sep)
    if len(parts) < 3 or parts[-3] != 'splits' or parts[-1] not in ('labeled.txt', 'unlabeled.txt',
                                                                    'train.txt', 'val.txt'):
        return ''
    root, protocol = os.sep.join(parts[:-3]) or '.', parts[-2]
    if parts[-1] in ('train.txt', 'val.txt'):  # images that are held out for validation
        return (f". Draw it with 'python tools/make_split.py folder {root} --images IMAGES --masks "
                f"MASKS --val 1/5 --name {protocol}'")
    name = DATASET_TYPES.get(dataset.split('.')[-1])  # the type without a scope
    # lists of another seed lie in <protocol>_seed<N>
    seed = re.fullmatch(r'(.+)_seed(\d+)', protocol)
    seed_option = '' if seed is None else f' --seed {seed.group(2)}'
    protocol = protocol if seed is None else seed.group(1)
    what = f'{name} {root} --protocol {protocol}' if name else (
        f'folder {root} --images IMAGES --masks MASKS --fraction 1/8 --name {protocol}')
    command = f'python tools/make_split.py {what}{seed_option}'
    return (f". Draw it with '{command}', or import the published lists (one or two columns) with "
            f"'{command} --import-from FOLDER', FOLDER holding labeled.txt and unlabeled.txt")


def parse_fraction(text: str) -> float:
    """``'1/8'``, ``'0.125'`` or ``'5%'`` as a number in (0, 1).

    Raises:
        ValueError: Anything else.
    """
    match = re.fullmatch(r'\s*(\d+(?:\.\d+)?)\s*(?:/\s*(\d+)|(%))?\s*', text)
    if match:
        number = float(match.group(1))
        value = number / float(match.group(2) or 1) if not match.group(3) else number / 100
        if 0 < value < 1:
            return value
    raise ValueError('a fraction is written 1/8, 0.125 or 5% and lies between 0 and 1, got '
                     f'{text!r}')
