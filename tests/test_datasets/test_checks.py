"""Bad input is named, with the fix, before the first iteration."""
import shutil

import numpy as np
import pytest

from mmseg_dg.datasets.checks import _ending, share_backend_args
from mmseg_dg.registry import DATASETS

from .trees import LOAD, city_tree, stripes, write_image, write_label

PACK = LOAD + [dict(type='PackStreamInputs')]


def seeded(**cfg):
    return DATASETS.build(dict(type='SeededDataset', dataset=cfg))


def gta_tree(root, labels=(0, 1, 2), images=range(8)):
    for i in images:
        write_image(root / f'images/{i:05d}.png', i)
    for i in labels:
        write_label(root / f'labels/{i:05d}_labelTrainIds.png', stripes([0, 1]))
    return dict(type='GTADataset', data_root=str(root), pipeline=PACK)


def test_missing_image_folder_shows_what_is_there(tmp_path):
    cfg = gta_tree(tmp_path)
    cfg['data_prefix'] = dict(img_path='image/train', seg_map_path='labels')
    with pytest.raises(FileNotFoundError, match=r"folder .*image/train'.*has \['images', 'labels'\].*data_root"):
        DATASETS.build(cfg)


def test_wrong_suffix_shows_the_endings_found(tmp_path):
    cfg = city_tree(tmp_path)
    cfg.update(type='GTADataset', img_suffix='.jpg')
    with pytest.raises(FileNotFoundError, match=r"ends with '\.jpg'; found \*_leftImg8bit\.png \(6\).*img_suffix"):
        DATASETS.build(dict(cfg, pipeline=LOAD))
    with pytest.raises(FileNotFoundError, match=r"no label .*; found \*_gtFine_labelTrainIds\.png .*seg_map_suffix"):
        DATASETS.build(dict(cfg, img_suffix='_leftImg8bit.png', seg_map_suffix='_x.png', pipeline=LOAD))


def test_empty_folder(tmp_path):
    (tmp_path / 'images').mkdir()
    with pytest.raises(FileNotFoundError, match="folder .*images' is empty"):
        DATASETS.build(dict(type='GTADataset', data_root=str(tmp_path)))


@pytest.mark.parametrize('stock', [False, True])
def test_images_without_labels_are_named_and_counted(tmp_path, stock):
    cfg = gta_tree(tmp_path)
    if stock:
        cfg.update(type='BaseSegDataset', img_suffix='.png', seg_map_suffix='_labelTrainIds.png',
                   data_prefix=dict(img_path='images', seg_map_path='labels'))
    with pytest.raises(FileNotFoundError, match=r"5 of 8 .*00003_labelTrainIds.png'.*seg_map_suffix.*LoadAnnotations"):
        seeded(**cfg)
    cfg['pipeline'] = [PACK[0], PACK[-1]]  # not needed when no labels are loaded
    assert len(seeded(**cfg)) == 8


def test_six_missing_labels_name_five(tmp_path):
    cfg = gta_tree(tmp_path, labels=(0, 1))
    with pytest.raises(FileNotFoundError, match="00006_labelTrainIds.png' and 1 more"):
        seeded(**cfg)


def test_missing_label_folder_of_an_unlabeled_stream(tmp_path):
    cfg = gta_tree(tmp_path, labels=())
    with pytest.raises(FileNotFoundError, match='no label folder.*stream without labels must not have Load'):
        DATASETS.build(cfg)


def test_lists(tmp_path):
    cfg = gta_tree(tmp_path)
    (tmp_path / 'twice.txt').write_text('00000\n00001\n00000\n')
    (tmp_path / 'wrong.txt').write_text('00000\n99999\n')
    (tmp_path / 'empty.txt').write_text('\n')
    for name, error, text in (('none.txt', FileNotFoundError, 'no list file .*none.txt'),
                              ('twice.txt', ValueError, r"twice: \['00000'\]"),
                              ('wrong.txt', FileNotFoundError, "1 of 2 listed images are missing: .*99999.png"),
                              ('empty.txt', ValueError, 'list .*empty.txt. is empty')):
        with pytest.raises(error, match=text):
            DATASETS.build(dict(cfg, ann_file=name))


def test_stock_datasets_get_the_same_messages(tmp_path):
    cfg = dict(city_tree(tmp_path), pipeline=PACK)
    assert len(seeded(**cfg)) == 6
    with pytest.raises(FileNotFoundError, match=r"no image folder .*leftImg8bit/nope'; .* has \['train'\]"):
        seeded(**dict(cfg, data_prefix=dict(img_path='leftImg8bit/nope', seg_map_path='gtFine/train')))
    with pytest.raises(FileNotFoundError, match=r'found \*_leftImg8bit\.png \(6\)'):
        seeded(**dict(cfg, img_suffix='.tif'))
    with pytest.raises(FileNotFoundError, match='no list file'):
        seeded(type='RepeatDataset', times=2, dataset=dict(cfg, ann_file='none.txt'))
    shutil.rmtree(tmp_path / 'gtFine')
    with pytest.raises(FileNotFoundError, match='6 of 6 images have no label'):
        seeded(type='ConcatDataset', datasets=[cfg])
    with pytest.raises(TypeError, match='unexpected keyword'):
        seeded(**dict(cfg, img_sufix='.png'))


def test_label_ids_outside_the_classes(tmp_path):
    cfg = gta_tree(tmp_path, labels=range(8))
    write_label(tmp_path / 'labels/00004_labelTrainIds.png', stripes([0, 19, 33, 255]))
    dataset = seeded(**cfg)
    dataset[3]
    with pytest.raises(ValueError, match=r'outside 0\.\.18 .*00004_labelTrainIds\.png: \[19, 33\].*raw_ids=True'):
        dataset[4]
    assert DATASETS.build(dict(type='SeededDataset', check_labels=False, dataset=cfg))[4] is not None


def test_cut_off_label_is_named(tmp_path):
    cfg = gta_tree(tmp_path, labels=range(8))
    path = tmp_path / 'labels/00002_labelTrainIds.png'
    write_label(path, np.random.default_rng(0).integers(0, 19, (24, 32)))
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(ValueError, match='00002_labelTrainIds.png: cannot be read as an image'):
        seeded(**cfg)[2]


def test_backend_args_reach_the_loaders(tmp_path):
    cfg = gta_tree(tmp_path, labels=range(8))
    cfg['pipeline'] = [dict(type='LoadImageFromFile', backend_args=dict(backend='local')), *PACK[1:]]
    args = dict(backend='local', disk='x')
    dataset = DATASETS.build(dict(cfg, lazy_init=True, backend_args=args))
    share_backend_args(dataset)
    image_loader, label_loader, _ = dataset.pipeline.transforms
    assert image_loader.backend_args == dict(backend='local')  # its own wins
    assert label_loader.backend_args == args
    cfg['pipeline'] = PACK
    assert seeded(**dict(cfg, backend_args=dict(backend='local')))[0] is not None


@pytest.mark.parametrize('name, ending', [
    ('a/aachen_000000_000019_leftImg8bit.png', '_leftImg8bit.png'),
    ('GOPR0475_frame_000041_rgb_anon.png', '_rgb_anon.png'),
    ('00001.PNG', '.PNG'),
    ('00001_labelTrainIds.png', '_labelTrainIds.png'),
])
def test_ending(name, ending):
    assert _ending(name) == ending
