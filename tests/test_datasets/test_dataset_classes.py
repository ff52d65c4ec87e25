"""Every dataset class on a fake tree in its published layout."""
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset, DarkZurichDataset, MapillaryDataset_v1

from mmseg_dg.datasets.label_tables import GTA_TO_TRAIN_ID, MAPILLARY_TO_TRAIN_ID, SYNTHIA_TO_TRAIN_ID
from mmseg_dg.registry import DATASETS

from .trees import LOAD, stripes, write_image, write_label, write_palette_label, write_synthia_label


def build(type, root, **kwargs):
    return DATASETS.build(dict(type=type, data_root=str(root), **kwargs))


def labels_of(dataset):
    return [np.unique(dataset[i]['gt_seg_map']).tolist() for i in range(len(dataset))]


def test_gta_converted_and_raw_labels_agree(tmp_path):
    raw = stripes([7, 8, 26, 33, 5, 0, 34, 200])
    expected = stripes([0, 1, 13, 18, 255, 255, 255, 255])
    for i in (2, 1):
        write_image(tmp_path / f'images/{i:05d}.png', i)
        write_palette_label(tmp_path / f'labels/{i:05d}.png', raw)
        write_label(tmp_path / f'labels/{i:05d}_labelTrainIds.png', expected)
    converted = build('GTADataset', tmp_path, pipeline=LOAD)
    mapped = build('GTADataset', tmp_path, pipeline=LOAD, raw_ids=True)
    assert len(converted) == len(mapped) == 2
    assert converted[0]['img_path'].endswith('images/00001.png')
    assert mapped[0]['seg_map_path'].endswith('labels/00001.png')
    for dataset in (converted, mapped):
        np.testing.assert_array_equal(dataset[1]['gt_seg_map'], expected)
        assert dataset.metainfo['classes'] == CityscapesDataset.METAINFO['classes']
        assert dataset.metainfo['palette'] == CityscapesDataset.METAINFO['palette']


def test_raw_ids_follow_a_choice_of_classes(tmp_path):
    write_image(tmp_path / 'images/1.png')
    write_palette_label(tmp_path / 'labels/1.png', stripes([26, 7, 8, 33]))
    dataset = build('GTADataset', tmp_path, pipeline=LOAD, raw_ids=True, metainfo=dict(classes=('car', 'road')))
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], stripes([0, 1, 255, 255]))


def test_raw_ids_also_work_with_the_stock_loader(tmp_path):
    write_image(tmp_path / 'images/1.png')
    write_palette_label(tmp_path / 'labels/1.png', stripes([7, 8, 26, 33, 5, 34]))
    results = [build('GTADataset', tmp_path, raw_ids=True,
                     pipeline=[dict(type='LoadImageFromFile'), dict(type=loader)])[0]['gt_seg_map']
               for loader in ('LoadAnnotations', 'mmseg.LoadAnnotations')]
    np.testing.assert_array_equal(*results)


def test_synthia(tmp_path):
    raw, expected = stripes([3, 21, 11, 0, 22, 14]), stripes([0, 3, 18, 255, 255, 255])
    write_image(tmp_path / 'RGB/0000007.png')
    write_synthia_label(tmp_path / 'GT/LABELS/0000007.png', raw)
    write_label(tmp_path / 'GT/LABELS/0000007_labelTrainIds.png', expected)
    load = [dict(type='LoadImageFromFile'), dict(type='LoadSynthiaAnnotations')]
    for options in (dict(raw_ids=True, pipeline=load), dict(pipeline=load), dict(pipeline=LOAD)):
        np.testing.assert_array_equal(build('SynthiaDataset', tmp_path, **options)[0]['gt_seg_map'], expected)
    with pytest.raises(ValueError, match='needs LoadSynthiaAnnotations instead of LoadAnnotations'):
        build('SynthiaDataset', tmp_path, raw_ids=True, pipeline=LOAD)
    with pytest.raises(ValueError, match='expected a 3-channel label file.*raw_ids=False'):
        build('SynthiaDataset', tmp_path, raw_ids=True, pipeline=load, seg_map_suffix='_labelTrainIds.png')[0]


@pytest.mark.parametrize('image, label', [('rgb_0007', 'ss_0007'), ('0007', '0007')])
def test_urbansyn(tmp_path, image, label):
    write_image(tmp_path / f'rgb/{image}.png')
    write_label(tmp_path / f'ss/{label}.png', stripes([0, 13, 18, 19, 255, 11]))
    dataset = build('UrbanSynDataset', tmp_path, pipeline=LOAD)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], stripes([0, 13, 18, 255, 255, 11]))
    (tmp_path / f'ss/{label}.png').unlink()
    with pytest.raises(FileNotFoundError, match='UrbanSynDataset'):
        build('UrbanSynDataset', tmp_path, pipeline=LOAD)


def test_mapillary(tmp_path):
    write_image(tmp_path / 'validation/images/aBc-1.jpg')
    write_palette_label(tmp_path / 'validation/labels/aBc-1.png', stripes([13, 24, 45, 61, 65, 0]))
    dataset = build('MapillaryTrainIdDataset', tmp_path, raw_ids=True, pipeline=LOAD)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], stripes([0, 0, 5, 14, 255, 255]))


@pytest.mark.parametrize('nested', [False, True])
def test_acdc_both_layouts_with_one_config(tmp_path, nested):
    names = {'fog': 'GOPR0475_frame_000041', 'night': 'GOPR0351_frame_000159'}
    for i, (condition, name) in enumerate(names.items()):
        place = f'{condition}/train/{name[:8]}' if nested else 'train'
        write_image(tmp_path / f'rgb_anon/{place}/{name}_rgb_anon.png', i)
        write_label(tmp_path / f'gt/{place}/{name}_gt_labelTrainIds.png', stripes([i, 255]))
        write_label(tmp_path / f'gt/{place}/{name}_gt_labelColor.png', stripes([77]))
    if nested:  # a reference picture must not slip in
        write_image(tmp_path / 'rgb_anon/fog/train_ref/GOPR0475/x_rgb_ref_anon.png')
        write_image(tmp_path / 'rgb_anon/fog/val/GOPR0476/y_rgb_anon.png')
    dataset = build('ACDCDataset', tmp_path, pipeline=LOAD)
    assert sorted(labels_of(dataset)) == [[0, 255], [1, 255]]
    images_only = build('ACDCDataset', tmp_path, data_prefix=dict(img_path='rgb_anon/train'), pipeline=LOAD[:1])
    assert len(images_only) == 2 and 'seg_map_path' not in images_only.get_data_info(0)
    (tmp_path / 'list.txt').write_text('night/train/GOPR0351/GOPR0351_frame_000159\n' if nested else
                                       'GOPR0351_frame_000159\n')
    assert labels_of(build('ACDCDataset', tmp_path, ann_file='list.txt', pipeline=LOAD)) == [[1, 255]]
    if nested:
        assert labels_of(build('ACDCDataset', tmp_path, conditions=['night'], pipeline=LOAD)) == [[1, 255]]
        with pytest.raises(FileNotFoundError, match="no image folder .*rgb_anon/snow/train"):
            build('ACDCDataset', tmp_path, conditions=['snow'], pipeline=LOAD)
    else:
        with pytest.raises(ValueError, match='mixes the conditions'):
            build('ACDCDataset', tmp_path, conditions=['night'], pipeline=LOAD)
    with pytest.raises(ValueError, match="unknown conditions \\['hail'\\]"):
        build('ACDCDataset', tmp_path, conditions=['hail'])


def test_dark_zurich_is_mmsegs_and_trains_without_labels(tmp_path):
    write_image(tmp_path / 'rgb_anon/train/night/GOPR0351/GOPR0351_frame_000001_rgb_anon.png')
    prefix = dict(img_path='rgb_anon/train/night')
    inner = dict(type='DarkZurichDataset', data_root=str(tmp_path), data_prefix=prefix,
                 pipeline=[LOAD[0], dict(type='PackStreamInputs')])
    dataset = DATASETS.build(dict(type='SeededDataset', dataset=inner))
    assert type(dataset.dataset) is DarkZurichDataset
    assert 'gt_sem_seg' not in dataset[0]['data_samples']


def test_unlabeled_folder(tmp_path):
    for i, name in enumerate(['b/2.png', 'a/1.JPG', 'c.jpeg', 'notes.txt']):
        write_image(tmp_path / name, i) if name[-3:] != 'txt' else (tmp_path / name).write_text('x')
    dataset = build('UnlabeledImageDataset', tmp_path, like='cityscapes', pipeline=LOAD[:1])
    assert [dataset[i]['img_path'][len(str(tmp_path)) + 1:] for i in range(len(dataset))] == ['a/1.JPG', 'b/2.png',
                                                                                              'c.jpeg']
    assert list(dataset.metainfo['classes']) == list(CityscapesDataset.METAINFO['classes'])
    assert [list(c) for c in dataset.metainfo['palette']] == CityscapesDataset.METAINFO['palette']
    (tmp_path / 'list.txt').write_text('c\n\nb/2.png\n')
    listed = build('UnlabeledImageDataset', tmp_path, like='cityscapes', ann_file='list.txt')
    assert [listed.get_data_info(i)['img_path'][-6:] for i in range(2)] == ['c.jpeg', '/2.png']
    own = build('UnlabeledImageDataset', tmp_path, metainfo=dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]]))
    assert own.metainfo['classes'] == ('a', 'b')
    with pytest.raises(ValueError, match="like='cityscapes'"):
        build('UnlabeledImageDataset', tmp_path)
    with pytest.raises(ValueError, match='LoadAnnotations'):
        build('UnlabeledImageDataset', tmp_path, like='cityscapes', pipeline=LOAD)
    (tmp_path / 'list.txt').write_text('nothing\n')
    with pytest.raises(FileNotFoundError, match="1 of 1 listed images are missing: 'nothing'"):
        build('UnlabeledImageDataset', tmp_path, like='cityscapes', ann_file='list.txt')


def test_unlabeled_list_of_any_names(tmp_path):
    for i, name in enumerate('abc'):
        write_image(tmp_path / f'x/{name}_rgb.png', i)
    (tmp_path / 'list.txt').write_text('x/c_rgb.png\nx/b_rgb\nx/a\n')  # whole, without file type, without suffix
    listed = build('UnlabeledImageDataset', tmp_path, like='cityscapes', ann_file='list.txt', img_suffix='_rgb.png')
    assert [Path(listed.get_data_info(i)['img_path']).name for i in range(3)] == ['c_rgb.png', 'b_rgb.png',
                                                                                  'a_rgb.png']


def test_id_tables_name_the_right_classes():
    classes = CityscapesDataset.METAINFO['classes']
    assert sorted(GTA_TO_TRAIN_ID.values()) == list(range(19))
    assert sorted(SYNTHIA_TO_TRAIN_ID.values()) == list(range(19))
    assert set(MAPILLARY_TO_TRAIN_ID.values()) == set(range(19))
    ours = {name: classes[MAPILLARY_TO_TRAIN_ID[i]] for i, name in enumerate(MapillaryDataset_v1.METAINFO['classes'])
            if i in MAPILLARY_TO_TRAIN_ID}
    assert ours['Lane Marking - General'] == ours['Manhole'] == ours['Road'] == 'road'
    assert ours['Other Rider'] == ours['Bicyclist'] == 'rider' and ours['Utility Pole'] == ours['Pole'] == 'pole'
    shared_names = [name for name in ours if name.lower() in classes]
    assert len(shared_names) == 16 and all(ours[name] == name.lower() for name in shared_names)


def test_lists_name_images_with_or_without_their_ending(tmp_path):
    """As label_first writes them; labels are found alike."""
    for name in ('rgb_1', 'rgb_2', 'rgb_3.png'):
        write_image(tmp_path / f'rgb/a/{name}.png')
        write_label(tmp_path / f'ss/a/{name.replace("rgb", "ss")}.png', stripes([0]))
    for lines, stems in (('a/rgb_2.png\na/rgb_1\n', ['rgb_2', 'rgb_1']), ('a/rgb_3.png\n', ['rgb_3.png']),
                         ('a/rgb_3.png.png\n', ['rgb_3.png'])):
        (tmp_path / 'list.txt').write_text(lines)
        dataset = build('UrbanSynDataset', tmp_path, ann_file='list.txt', pipeline=LOAD)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert [info['img_path'] for info in infos] == [str(tmp_path / f'rgb/a/{stem}.png') for stem in stems]
        assert infos[0]['seg_map_path'] == str(tmp_path / f'ss/a/{stems[0].replace("rgb", "ss")}.png')
    (tmp_path / 'list.txt').write_text('a/rgb_1\na/rgb_1.png\n')
    with pytest.raises(ValueError, match=r"names images twice, with and without '.png': \['a/rgb_1.png'\]"):
        build('UrbanSynDataset', tmp_path, ann_file='list.txt', pipeline=LOAD)
    (tmp_path / 'list.txt').write_text('a/rgb_9.png\n')
    with pytest.raises(FileNotFoundError, match=r'rgb/a/rgb_9\.png'):
        build('UrbanSynDataset', tmp_path, ann_file='list.txt', pipeline=LOAD)


def test_images_to_leave_out_are_named_with_or_without_their_ending(tmp_path):
    for i in range(3):
        write_image(tmp_path / f'images/{i}.png')
    (tmp_path / 'out.txt').write_text('0.png\n2\n')
    dataset = build('GTADataset', tmp_path, exclude='out.txt', pipeline=LOAD[:1])
    assert len(dataset) == 1 and dataset.left_out == 2


def test_split_list_and_unknown_argument(tmp_path):
    for i in range(3):
        write_image(tmp_path / f'images/{i}.png', i)
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/few.txt').write_text('2\n\n0\n')
    dataset = build('GTADataset', tmp_path, ann_file='splits/few.txt', pipeline=LOAD[:1])
    assert [dataset[i]['img_path'][-5:] for i in range(2)] == ['2.png', '0.png'] and len(dataset) == 2
    with pytest.raises(TypeError, match='img_sufix'):
        build('GTADataset', tmp_path, img_sufix='.png')
