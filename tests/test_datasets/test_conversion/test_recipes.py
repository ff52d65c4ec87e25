"""The commands that map ids file by file, on fake trees in the published layouts."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from mmseg_dg.datasets import class_statistics
from mmseg_dg.datasets.conversion import GTA, Part, Recipe, convert, find_jobs
from mmseg_dg.registry import DATASETS

from ..trees import LOAD, stripes, write_image, write_label, write_palette_label, write_synthia_label

ROOT = Path(__file__).parents[3]


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def gta_tree(root, count=4, mismatched=(3, )):
    for i in range(1, count + 1):
        write_image(root / f'images/{i:05d}.png', i)
        size = (26, 32) if i in mismatched else (24, 32)
        write_palette_label(root / f'labels/{i:05d}.png', stripes([7, 8, 26, 34, 0, i % 4 + 23], size))
    return root


def test_gta(tmp_path, command):
    gta_tree(tmp_path)
    ids = dict(trainIds=np.array([[1], [3]]), valIds=np.array([[2]]), testIds=np.array([[4]]))
    savemat(tmp_path / 'split.mat', ids)
    code, out = command('gta', tmp_path)
    assert code == 0
    assert '3 labels written, 0 were there already, 1 differ in size from their image, 0 failed' in out
    assert 'labels/00003.png has 32x26 pixels (width x height)' in out and 'images (published: 24966)' in out
    assert 'train: 2 images (published: 12403)' in out
    absent = out.split('classes without a pixel: ')[1].splitlines()[0].split(', ')
    assert 'train' in absent and 'road' not in absent and 'person' not in absent
    np.testing.assert_array_equal(read(tmp_path / 'labels/00001_labelTrainIds.png'), stripes([0, 1, 13, 255, 255, 11]))
    assert not (tmp_path / 'labels/00003_labelTrainIds.png').exists()
    lists = {p.relative_to(tmp_path).as_posix(): p.read_text().split() for p in (tmp_path / 'splits').rglob('*.txt')}
    assert lists == {'splits/usable.txt': ['00001', '00002', '00004'], 'splits/unusable.txt': ['00003'],
                     'splits/official/train.txt': ['00001'], 'splits/official/val.txt': ['00002'],
                     'splits/official/test.txt': ['00004']}
    # the dataset reads what the converter wrote, and published labels with the list of bad ones
    build = dict(type='GTADataset', data_root=str(tmp_path), pipeline=LOAD)
    made = DATASETS.build(dict(build, ann_file='splits/usable.txt'))
    raw = DATASETS.build(dict(build, raw_ids=True))  # knows the list of bad ones
    assert len(made) == len(raw) == 3
    for i in range(3):
        np.testing.assert_array_equal(made[i]['gt_seg_map'], raw[i]['gt_seg_map'])
    official = DATASETS.build(dict(build, raw_ids=True, ann_file='split.mat', split='train', exclude=None))
    assert [Path(official.get_data_info(i)['img_path']).stem for i in range(2)] == ['00001', '00003']
    with pytest.raises(ValueError, match=r'00003.png: the label has 26x32 pixels .*00003.png has 24x32'):
        official[1]
    with pytest.raises(ValueError, match=r'1 labels differ in size .*00003.png 32x26, image 32x24.*converters/gta.py'):
        class_statistics(official, cache_dir=str(tmp_path / 'cache'))
    assert class_statistics(raw, cache_dir=str(tmp_path / 'cache')).files == 3
    (tmp_path / 'splits/unusable.txt').write_text('')  # nothing to leave out is fine
    assert len(DATASETS.build(dict(build, raw_ids=True))) == 4
    with pytest.raises(FileNotFoundError, match='no list file .*other.txt'):
        DATASETS.build(dict(build, raw_ids=True, exclude='other.txt'))


def test_again_touches_nothing_and_continues(tmp_path, command):
    gta_tree(tmp_path, 5, ())
    assert command('gta', tmp_path)[0] == 0
    files = sorted((tmp_path / 'labels').glob('*TrainIds.png')) + [tmp_path / 'splits/usable.txt']
    before = [(p.stat().st_mtime_ns, p.read_bytes()) for p in files]
    code, out = command('gta', tmp_path)
    assert code == 0 and '0 labels written, 5 were there already' in out and 'without a pixel' not in out
    assert [(p.stat().st_mtime_ns, p.read_bytes()) for p in files] == before
    files[2].unlink()
    assert '1 labels written, 4 were there already' in command('gta', tmp_path)[1]
    assert files[2].read_bytes() == before[2][1]
    files[0].write_bytes(before[1][1])  # a file of another image
    assert command('gta', tmp_path)[0] == 0
    code, out = command('gta', tmp_path, '--verify')
    assert code == 1 and '00001_labelTrainIds.png: is not what' in out
    assert command('gta', tmp_path, '--overwrite')[0] == 0
    assert command('gta', tmp_path, '--verify')[0] == 0 and files[0].read_bytes() == before[0][1]


def test_labels_of_another_tool_are_measured(tmp_path, command):
    """What lies there already may have been made without a look at the images."""
    gta_tree(tmp_path, 4, (3, ))
    for i, size in ((2, (24, 32)), (3, (26, 32))):
        write_label(tmp_path / f'labels/{i:05d}_labelTrainIds.png', stripes([0, 1], size))
    code, out = command('gta', tmp_path)
    assert code == 0
    assert '2 labels written, 1 were there already, 1 differ in size from their image, 0 failed' in out
    assert '00003_labelTrainIds.png has 32x26 pixels (width x height)' in out and '00003.png has 32x24' in out
    assert (tmp_path / 'splits/unusable.txt').read_text().split() == ['00003']
    assert (tmp_path / 'splits/usable.txt').read_text().split() == ['00001', '00002', '00004']
    np.testing.assert_array_equal(read(tmp_path / 'labels/00002_labelTrainIds.png'), stripes([0, 1]))


def test_bad_files_are_named_and_left_out(tmp_path, command):
    gta_tree(tmp_path, 4, ())
    write_palette_label(tmp_path / 'labels/00001.png', stripes([7, 77]))
    whole = (tmp_path / 'labels/00002.png').read_bytes()
    (tmp_path / 'labels/00002.png').write_bytes(whole[:60])
    (tmp_path / 'images/00003.png').unlink()
    code, out = command('gta', tmp_path)
    assert code == 1 and '1 labels written' in out and '2 failed' in out
    assert "00001.png: has ids [77] that its dataset does not" in out and '00002.png: cannot be read' in out
    assert "1 images without label or labels without image, for example ['00003']" in out
    assert (tmp_path / 'splits/unusable.txt').read_text().split() == ['00001', '00002', '00003']
    assert [p.name for p in (tmp_path / 'labels').glob('*TrainIds*')] == ['00004_labelTrainIds.png']


def test_split_file_that_is_none(tmp_path):
    gta_tree(tmp_path, 2, ())
    build = dict(type='GTADataset', data_root=str(tmp_path), split='train', ann_file='split.mat')
    with pytest.raises(FileNotFoundError, match='no GTA5 split file .*split.mat'):
        DATASETS.build(build)
    (tmp_path / 'split.mat').write_bytes(b'MATLAB? ' * 30)
    with pytest.raises(ValueError, match='not a readable MATLAB file'):
        DATASETS.build(build)
    savemat(tmp_path / 'split.mat', dict(trainIds=[1]))
    with pytest.raises(ValueError, match=r"has no \['valIds', 'testIds'\]"):
        DATASETS.build(build)
    savemat(tmp_path / 'split.mat', dict(trainIds=[1], valIds=[1], testIds=[2]))
    with pytest.raises(ValueError, match='in two subsets'):
        DATASETS.build(build)
    savemat(tmp_path / 'split.mat', dict(trainIds=[1], valIds=[9], testIds=[2]))
    assert len(DATASETS.build(build)) == len(DATASETS.build(dict(build, backend_args=dict(backend='local')))) == 1
    with pytest.raises(FileNotFoundError, match='1 of 1 listed images are missing: .*00009.png'):
        DATASETS.build(dict(build, split='val'))
    with pytest.raises(ValueError, match='belong together'):
        DATASETS.build(dict(build, split=None))
    with pytest.raises(ValueError, match='belong together'):
        DATASETS.build(dict(build, ann_file=''))
    with pytest.raises(ValueError, match="must be 'train', 'val' or 'test'"):
        DATASETS.build(dict(build, split='training'))


def test_synthia(tmp_path, command):
    write_image(tmp_path / 'RGB/0000007.png')
    write_synthia_label(tmp_path / 'GT/LABELS/0000007.png', stripes([3, 21, 11, 0, 22, 14]))
    code, out = command('synthia', tmp_path)
    assert code == 0 and 'images (published: 9400)' in out
    made = read(tmp_path / 'GT/LABELS/0000007_labelTrainIds.png')
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, stripes([0, 3, 18, 255, 255, 255]))
    write_synthia_label(tmp_path / 'GT/LABELS/0000007.png', stripes([3, 23]))
    assert 'has ids [23]' in command('synthia', tmp_path, '--overwrite')[1]


def test_cityscapes_and_where_to_write(tmp_path, command):
    data, out_root = tmp_path / 'data', tmp_path / 'out'
    for split, city in (('train', 'aachen'), ('val', 'lindau')):
        stem = f'{split}/{city}/{city}_000000_000019'
        write_image(data / f'leftImg8bit/{stem}_leftImg8bit.png')
        for kind, ids in (('labelIds', [7, 33, 0, 10, 29]), ('instanceIds', [1]), ('color', [9])):
            write_label(data / f'gtFine/{stem}_gtFine_{kind}.png', stripes(ids))
    code, out = command('cityscapes', data, '--out-root', out_root)
    assert code == 0 and 'train: 1 images (published: 2975)' in out and 'val: 1 images (published: 500)' in out
    made = [p.relative_to(out_root).as_posix() for p in sorted(out_root.rglob('*.png'))]
    assert made == ['gtFine/train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png',
                    'gtFine/val/lindau/lindau_000000_000019_gtFine_labelTrainIds.png']
    np.testing.assert_array_equal(read(out_root / made[0]), stripes([0, 18, 255, 255, 255]))
    assert not list(data.rglob('*TrainIds*'))
    assert 'Cityscapes train' not in command('cityscapes', data, '--parts', 'val')[1]


def test_acdc_as_published(tmp_path, command):
    for condition in ('fog', 'night'):
        stem = f'{condition}/val/GOPR0476/GOPR0476_frame_000854'
        write_image(tmp_path / f'rgb_anon/{stem}_rgb_anon.png')
        write_image(tmp_path / f'rgb_anon/{condition}/val_ref/GOPR0476/GOPR0476_frame_000854_rgb_ref_anon.png')
        write_label(tmp_path / f'gt/{stem}_gt_labelIds.png', stripes([7, 24, 3]))
        write_label(tmp_path / f'gt/{stem}_gt_labelColor.png', stripes([200]))
    published = tmp_path / 'gt/fog/val/GOPR0476/GOPR0476_frame_000854_gt_labelTrainIds.png'
    write_label(published, stripes([0, 11, 255]))
    before = published.read_bytes()
    code, out = command('acdc', tmp_path, '--verify')
    assert code == 0 and 'fog/val: 1 images (published: 100)' in out and 'night/val: 1 images (published: 106)' in out
    assert published.read_bytes() == before
    dataset = DATASETS.build(dict(type='ACDCDataset', data_root=str(tmp_path), pipeline=LOAD,
                                  data_prefix=dict(img_path='rgb_anon/val', seg_map_path='gt/val')))
    assert [np.unique(dataset[i]['gt_seg_map']).tolist() for i in range(len(dataset))] == [[0, 11, 255]] * 2
    write_label(published, stripes([0, 12, 255]))
    code, out = command('acdc', tmp_path, '--verify')
    assert code == 1 and 'labelTrainIds.png: is not what' in out


def test_mapillary(tmp_path, command):
    write_image(tmp_path / 'validation/images/aBc-1.jpg')
    write_palette_label(tmp_path / 'validation/labels/aBc-1.png', stripes([13, 24, 45, 61, 65, 0]))
    code, out = command('mapillary', tmp_path)
    assert code == 0 and 'validation: 1 images (published: 2000)' in out
    dataset = DATASETS.build(dict(type='MapillaryTrainIdDataset', data_root=str(tmp_path), pipeline=LOAD))
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], stripes([0, 0, 5, 14, 255, 255]))


def test_missing_folders_are_explained(tmp_path, command):
    (tmp_path / 'images').mkdir()
    with pytest.raises(FileNotFoundError, match="GTA5: the image folder .* is empty"):
        (tmp_path / 'labels').mkdir()
        find_jobs(GTA, GTA.parts[0], str(tmp_path))
    with pytest.raises(FileNotFoundError, match='Cityscapes: no image folder .*leftImg8bit/train'):
        from mmseg_dg.datasets.conversion import CITYSCAPES
        find_jobs(CITYSCAPES, CITYSCAPES.parts[0], str(tmp_path))


def test_several_processes_give_the_same(tmp_path):
    gta_tree(tmp_path, 20, (4, ))
    jobs, _ = find_jobs(GTA, GTA.parts[0], str(tmp_path), str(tmp_path / 'one'))
    one = convert(jobs, GTA.labels, 19, num_workers=1)
    jobs, _ = find_jobs(GTA, GTA.parts[0], str(tmp_path), str(tmp_path / 'two'))
    two = convert(jobs, GTA.labels, 19, num_workers=2)
    assert one.usable == two.usable and len(two.usable) == 19 and list(two.mismatched) == ['00004']
    np.testing.assert_array_equal(one.pixel_counts, two.pixel_counts)
    for job in jobs:
        if job.name != '00004':
            assert Path(job.target).read_bytes() == Path(job.target.replace('/two/', '/one/')).read_bytes()
    with pytest.raises(ValueError, match="the same target"):
        convert(jobs + [jobs[0]._replace(name='x')], GTA.labels, 19)


def test_result_ids_are_checked(tmp_path):
    gta_tree(tmp_path, 1, ())
    jobs, _ = find_jobs(GTA, GTA.parts[0], str(tmp_path))
    report = convert(jobs, GTA.labels, 5, num_workers=1)
    assert 'gives ids [' in report.failed['00001'] and not report.usable


def test_killed_in_the_middle_leaves_only_whole_files(tmp_path):
    """The process is killed (SIGKILL) while a label is half written; a second run cleans up and finishes."""
    gta_tree(tmp_path, 6, ())
    script = '''
import os, signal, sys
import mmseg_dg
from mmseg_dg.datasets import class_statistics
from mmseg_dg.datasets.conversion import GTA, convert, files, find_jobs
replace, done = os.replace, []
def die(source, target):
    if len(done) == 3:
        with open(source, 'r+b') as file:
            file.truncate(20)
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(target)
    replace(source, target)
files.os.replace = die
convert(find_jobs(GTA, GTA.parts[0], sys.argv[1])[0], GTA.labels, 19, num_workers=1)
'''
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    ended = subprocess.run([sys.executable, '-c', script, str(tmp_path)], env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    made = sorted(p.name for p in (tmp_path / 'labels').iterdir() if p.name[5:6] == '_')
    assert made == [f'{i:05d}_labelTrainIds.png' for i in (1, 2, 3)]
    leftovers = list((tmp_path / 'labels').glob('.*.part'))
    assert len(leftovers) == 1 and leftovers[0].stat().st_size == 20
    report = convert(find_jobs(GTA, GTA.parts[0], str(tmp_path))[0], GTA.labels, 19, num_workers=1, verify=True)
    assert len(report.kept) == 3 and len(report.written) == 3 and not report.failed
    assert not list((tmp_path / 'labels').glob('.*'))


def test_no_converter_imports_mmseg_before_the_package():
    """mmseg cannot be imported beside mmcv-lite unless mmseg_dg has been; in tests it always has."""
    tools = sorted((ROOT / 'tools').rglob('*.py'))
    assert len([tool for tool in tools if tool.parent.name == 'dataset_converters']) >= 8
    for tool in tools:
        imports = [line.split()[1] for line in tool.read_text().splitlines() if line.startswith(('import ', 'from '))]
        rooms = [name.split('.')[0] for name in imports]
        first = rooms.index('mmseg_dg') if 'mmseg_dg' in rooms else len(rooms)
        assert not {'mmseg', 'mmpretrain'} & set(rooms[:first]), tool


def test_own_recipe(tmp_path):
    """The engine serves other data, too."""
    gta_tree(tmp_path, 2, ())
    recipe = Recipe('mine', (Part('a', 'images', 'labels'), ), '.png', '.png', '_x.png', GTA.labels)
    jobs, alone = find_jobs(recipe, recipe.parts[0], str(tmp_path))
    assert [Path(job.target).name for job in jobs] == ['00001_x.png', '00002_x.png'] and alone == []
