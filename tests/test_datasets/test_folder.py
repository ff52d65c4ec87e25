"""Own images and masks without Python: layouts, lists, numbers of classes, binary masks."""
import numpy as np
import pytest
from mmengine.config import Config

from mmseg_dg.datasets.messages import DOCTOR
from mmseg_dg.registry import DATASETS

from .trees import LOAD, stripes, write_image, write_label

PACK = LOAD + [dict(type='PackStreamInputs')]


def plant(root, ids=(0, 1), count=4, ending='.jpg'):
    for i in range(count):
        write_image(root / f'photos/{i % 2}/{i}{ending}', i)
        write_label(root / f'masks/{i % 2}/{i}.png', stripes(ids))
    return dict(type='FolderDataset', classes=['ground', 'crack'], data_root=str(root),
                data_prefix=dict(img_path='photos', seg_map_path='masks'), pipeline=PACK)


def seeded(**cfg):
    return DATASETS.build(dict(type='SeededDataset', dataset=cfg))


def ids_of(dataset, index=0):
    return np.unique(dataset[index]['data_samples'].gt_sem_seg.data.numpy()).tolist()


@pytest.mark.parametrize('ending', ['.jpg', '.png', '.JPEG'])
def test_pairs_of_any_depth_and_ending(tmp_path, ending):
    dataset = seeded(**plant(tmp_path, ending=ending))
    assert len(dataset) == 4 and ids_of(dataset) == [0, 1]
    info = dataset.dataset.get_data_info(3)
    assert info['img_path'].endswith(f'photos/1/3{ending}') and info['seg_map_path'].endswith('masks/1/3.png')
    assert dataset.metainfo['classes'] == ('ground', 'crack')


def test_without_palette_all_streams_get_the_same_colors(tmp_path):
    cfg = plant(tmp_path)
    first, second = seeded(**cfg), seeded(**dict(cfg, data_prefix=dict(img_path='photos'), pipeline=LOAD[:1]))
    assert first.metainfo['palette'] == second.metainfo['palette'] and len(first.metainfo['palette']) == 2


@pytest.mark.parametrize('count', [1, 5, 200])
def test_any_number_of_classes(tmp_path, count):
    cfg = plant(tmp_path, ids=(0, count - 1, 255))
    cfg['classes'] = [f'kind {i}' for i in range(count)]
    dataset = seeded(**cfg, label_map={255: 255})
    assert ids_of(dataset) == sorted({0, count - 1, 255})


def test_images_only(tmp_path):
    cfg = plant(tmp_path)
    cfg.update(data_prefix=dict(img_path='photos'), pipeline=[PACK[0], PACK[-1]])
    assert 'gt_sem_seg' not in seeded(**cfg)[0]['data_samples']


def test_lists_with_and_without_ending(tmp_path):
    cfg = plant(tmp_path)
    (tmp_path / 'some.txt').write_text('1/3\n0/0.jpg\n')
    dataset = seeded(**cfg, ann_file='some.txt')
    assert [dataset[i]['data_samples'].img_path[-7:] for i in range(2)] == ['1/3.jpg', '0/0.jpg']
    (tmp_path / 'some.txt').write_text('9\n')
    with pytest.raises(FileNotFoundError, match='1 of 1 listed images are missing'):
        seeded(**cfg, ann_file='some.txt')


@pytest.mark.parametrize('ids', [(0, 255), (255, ), (0, ), (0, 1, 255)])
def test_binary_masks_are_explained(tmp_path, ids):
    cfg = plant(tmp_path, ids)
    if ids != (0, 255):  # a mask without object, or 255 beside real ids, is no proof
        seeded(**cfg)
        return
    with pytest.raises(ValueError, match=r"binary 0/255 masks.*4 of 4 masks.*\('crack'\).*label_map=\{255: 1\}"):
        seeded(**cfg)
    assert ids_of(seeded(**cfg, label_map={255: 1})) == [0, 1]
    assert ids_of(seeded(**cfg, label_map={255: 255})) == [0, 255]


def test_binary_masks_of_a_stock_dataset(tmp_path):
    cfg = plant(tmp_path, (0, 255))
    cfg.update(type='BaseSegDataset', metainfo=dict(classes=cfg.pop('classes')), img_suffix='.jpg')
    with pytest.raises(ValueError, match='BaseSegDataset: binary 0/255 masks'):
        seeded(**cfg)


def test_label_map_survives_a_config_file(tmp_path):
    """mmengine writes number keys as text when it dumps a config, and testing reads the dump."""
    cfg = Config(dict(train_dataloader=dict(dataset=dict(plant(tmp_path, (0, 255)), label_map={255: 1}))))
    cfg.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py')
    assert ids_of(seeded(**again.train_dataloader.dataset)) == [0, 1]


@pytest.mark.parametrize('change, message', [
    (dict(classes=[]), "classes is a list of names such as"),
    (dict(palette=[[1, 2, 3]]), '2 classes but 1 colors'),
    (dict(label_map={255: 2}), r'255: 2; ids are 0..255.*0\.\.1 or 255'),
    (dict(label_map={300: 1}), '300: 1'),
    (dict(label_map={'crack': 1}), 'must map ids to ids'),
    (dict(data_prefix=dict(img_path='photos')), "no 'seg_map_path'"),
])
def test_bad_arguments(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        seeded(**dict(plant(tmp_path), **change))


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="classes='road' is no file of class names"):
        seeded(**dict(plant(tmp_path), classes='road'))
    cfg = plant(tmp_path)
    for change, message in ((dict(img_path='pictures', seg_map_path='masks'), 'no image folder .*pictures'),
                            (dict(img_path='photos', seg_map_path='labels'), 'no mask folder .*labels')):
        with pytest.raises(FileNotFoundError, match=message):
            seeded(**dict(cfg, data_prefix=change))
    (tmp_path / 'masks/0/2.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 4 images have no label.*0/2\.png') as caught:
        seeded(**cfg)
    assert DOCTOR in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r'ends with .*found \*\.jpg \(4\)'):
        seeded(**dict(cfg, img_suffix='.tif'))
    with pytest.raises(TypeError, match='unexpected keyword'):
        seeded(**cfg, img_sufix='.png')


def test_two_images_must_not_share_a_mask(tmp_path):
    cfg = plant(tmp_path)
    write_image(tmp_path / 'photos/0/0.png', 77)
    with pytest.raises(ValueError, match=r'would share the mask .*0/0\.png; set img_suffix'):
        seeded(**cfg)
    assert len(seeded(**dict(cfg, img_suffix='.jpg'))) == 4


def test_wrong_ids_name_the_doctor(tmp_path):
    with pytest.raises(ValueError, match=r'\[7\].*label_map') as caught:
        seeded(**plant(tmp_path, (0, 7)))[0]
    assert DOCTOR in str(caught.value)
