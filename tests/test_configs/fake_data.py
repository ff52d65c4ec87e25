"""Tiny folders in the layout of every dataset the configs read, so that their real dataset classes run."""
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

#: A few raw ids of every kind: flat, object, human, vehicle, sky.
_TRAIN_IDS = np.array([0, 2, 8, 10, 11, 13, 17, 18], dtype=np.uint8)


def _scene(rng: np.random.RandomState, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) and trainIds (H, W) in blocks of 16 pixels, whose color depends on the class."""
    height, width = size
    blocks = rng.choice(_TRAIN_IDS, size=(height // 16, width // 16))
    label = np.kron(blocks, np.ones((16, 16), np.uint8)).astype(np.uint8)
    color = np.stack([label * 13, 255 - label * 12, label * 7], axis=-1)
    return np.clip(color + rng.randint(-20, 20, color.shape), 0, 255).astype(np.uint8), label


def _write(path: Path, picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, Image.Image):
        picture.save(path)
    else:
        cv2.imwrite(str(path), picture)


def _list(root: Path, i: int) -> None:
    """Name image ``i`` in the lists of semi-supervised data: the first is labeled, the others fill a batch of two."""
    lists = [('cityscapes', protocol, f'town/town_{i}') for protocol in ('1_30', '1_8', '1_4')]
    lists += [('camvid_day', protocol, f'{i}') for protocol in ('1_8_seed0', '1_30_seed0')]
    lists += [('idd_lite', '1_16_seed0', f'{i}_000')]
    for folder, protocol, stem in lists:
        path = root / folder / 'splits' / protocol / ('unlabeled.txt' if i else 'labeled.txt')
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, 'a', encoding='utf-8') as file:
            file.write(f'{stem}\n')


def _write_splits(root: Path, count: int) -> None:
    """GTA's published split, one image in val and test, and the random one of SYNTHIA, all images in either."""
    from scipy.io import savemat
    parts = np.split(np.arange(count)[:, None], [count - 2, count - 1])
    savemat(root / 'gta/split.mat', dict(zip(('trainIds', 'valIds', 'testIds'), parts)))
    for part in ('train', 'val'):
        path = root / f'synthia/splits/random/{part}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'{i:07d}\n' for i in range(count)), encoding='utf-8')


def _inverse(raw_to_train: dict) -> np.ndarray:
    table = np.zeros(256, np.uint16)
    for raw, train in raw_to_train.items():
        table[train] = raw
    return table


def write_all(root: Path, count: int = 3, size: tuple[int, int] = (96, 160)) -> Path:
    """Every dataset the configs train and validate on, below ``root``."""
    from mmseg_dg.datasets.label_tables import GTA_TO_TRAIN_ID, MAPILLARY_TO_TRAIN_ID, SYNTHIA_TO_TRAIN_ID
    rng = np.random.RandomState(0)
    gta, synthia, mapillary = map(_inverse, (GTA_TO_TRAIN_ID, SYNTHIA_TO_TRAIN_ID, MAPILLARY_TO_TRAIN_ID))
    for i in range(count):
        image, label = _scene(rng, size)
        _write(root / f'gta/images/{i:05d}.png', image)
        palette = Image.fromarray(gta[label].astype(np.uint8), mode='P')
        palette.putpalette(list(range(256)) * 3)
        _write(root / f'gta/labels/{i:05d}.png', palette)
        _write(root / f'synthia/RGB/{i:07d}.png', image)
        _write(root / f'urbansyn/rgb/rgb_{i:04d}.png', image)
        _write(root / f'urbansyn/ss/ss_{i:04d}.png', np.where(label == 255, 19, label).astype(np.uint8))
        raw = np.zeros((*size, 3), np.uint16)
        raw[..., 2] = synthia[label]
        _write(root / f'synthia/GT/LABELS/{i:07d}.png', raw)
        for split in ('train', 'val'):
            _write(root / f'cityscapes/leftImg8bit/{split}/town/town_{i}_leftImg8bit.png', image)
            _write(root / f'cityscapes/gtFine/{split}/town/town_{i}_gtFine_labelTrainIds.png', label)
            for name, folder in (('acdc', split), ('dark_zurich', f'{split}/night/A')):
                _write(root / f'{name}/rgb_anon/{folder}/frame_{i}_rgb_anon.png', image)
                if (name, split) != ('dark_zurich', 'train'):  # Dark Zurich has no training labels
                    _write(root / f'{name}/gt/{folder}/frame_{i}_gt_labelTrainIds.png', label)
            for name in ('synthcity', 'synthcity_night', 'synthcity_fog', 'synthcity_rain', 'camvid_day',
                         'camvid_dusk'):
                _write(root / f'{name}/img/{split}/{i}.jpg', image)
                _write(root / f'{name}/label/{split}/{i}.png', label)
            _write(root / f'idd_lite/img/{split}/{i}_000.jpg', image)  # frame 000 of drive i
            _write(root / f'idd_lite/label7/{split}/{i}_000.png', np.minimum(label, 6))
        _list(root, i)
        _write(root / f'bdd100k/images/10k/val/{i}.jpg', image)
        _write(root / f'bdd100k/labels/sem_seg/masks/val/{i}.png', label)
        _write(root / f'mapillary/validation/images/{i}.jpg', image)
        _write(root / f'mapillary/validation/labels/{i}.png', mapillary[label].astype(np.uint8))
    _write_splits(root, count)
    return root
