"""The doctor finds every planted fault, says which file it is, and nothing in a clean tree."""
import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_dg.datasets.doctor import KINDS, Finding, Report, examine, write_fixed_lists
from mmseg_dg.datasets.doctor.files import Reading, examine_sample
from mmseg_dg.datasets.doctor.known import expected_count
from mmseg_dg.datasets.doctor.listing import Listing
from mmseg_dg.datasets.doctor.report import StreamSummary
from mmseg_dg.datasets.doctor.streams import Entry
from mmseg_dg.registry import DATASETS, TRANSFORMS

from .trees import LOAD, stripes, write_image, write_label, write_synthia_label

CLASSES = ['ground', 'house', 'sky']
PALETTE = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]
PACK = [dict(type='PackStreamInputs')]
COUNT = 6


def plant(root):
    """A clean tree: two labeled parts and an unlabeled one, no two files alike."""
    for seed, part in enumerate(('train', 'target', 'val')):
        for i in range(COUNT):
            write_image(root / f'images/{part}/{i}.png', 100 * seed + i)
            if part != 'target':
                write_label(root / f'masks/{part}/{i}.png', stripes([0, 1, 2, 255]))
    return root


def config(root, **source):
    def dataset(part, labeled=True):
        prefix = dict(img_path=f'images/{part}')
        if labeled:
            prefix['seg_map_path'] = f'masks/{part}'
        return dict(type='FolderDataset', classes=list(CLASSES), palette=[list(c) for c in PALETTE],
                    data_root=str(root), data_prefix=prefix, pipeline=(LOAD if labeled else LOAD[:1]) + PACK)

    return dict(
        train_dataloader=dict(
            source=dict(dataset=dict(dataset('train'), **source)), target=dict(dataset=dataset('target', False))),
        val_dataloader=dict(own=dict(dataset=dataset('val'))),
        model=dict(type='DACS', network=dict(decode_head=dict(num_classes=3))))


@pytest.fixture(scope='module')
def clean(tmp_path_factory):
    return plant(tmp_path_factory.mktemp('clean'))


@pytest.fixture
def tree(clean, tmp_path):
    return Path(shutil.copytree(clean, tmp_path / 'tree'))


def diagnose(cfg, **kwargs):
    """{(kind, stream): paths} of everything found."""
    found = {}
    for finding in examine(cfg, **kwargs).findings:
        found.setdefault((finding.kind, finding.stream), []).append(finding.path)
    return found


def test_clean_tree(clean):
    report = examine(config(clean))
    assert report.findings == []
    assert [(s.stream, s.images, s.labeled) for s in report.streams] == [
        ('train/source', 6, True), ('train/target', 6, False), ('val/own', 6, True)]
    assert report.streams[0].pixels == [6 * 24 * 8] * 3
    assert report.streams[1].pixels == []


def test_clean_tree_of_a_published_layout(tmp_path):
    """Raw 16-bit SYNTHIA labels beside converted ones: neither is an orphan of the other."""
    for i in range(3):
        write_image(tmp_path / f'RGB/{i:07d}.png', i)
        write_synthia_label(tmp_path / f'GT/LABELS/{i:07d}.png', stripes([3, 4, 2, 10, 22]))
        write_label(tmp_path / f'GT/LABELS/{i:07d}_labelTrainIds.png', stripes([0, 1, 2, 11, 255]))
    loaders = {}
    for name, raw in (('raw', True), ('converted', False)):
        loaders[name] = dict(dataset=dict(
            type='SynthiaDataset', raw_ids=raw, data_root=str(tmp_path),
            pipeline=[LOAD[0], dict(type='LoadSynthiaAnnotations'), *PACK]))
    report = examine(dict(val_dataloader=loaders))
    assert {f.kind for f in report.findings} == {'count', 'empty_class'}  # three images of 9400
    assert report.streams[0].expected == 9400
    pixels = report.streams[0].pixels
    assert pixels[11] > 0 and pixels == report.streams[1].pixels


def test_clean_tree_of_acdc_as_published(tmp_path):
    """Training and validation lie in one tree: neither is a left-over of the other."""
    loaders = {}
    for seed, part in enumerate(('train', 'val')):
        for i, condition in enumerate(('fog', 'night')):
            name = f'{condition}/{part}/GOPR/GOPR_{i}'
            write_image(tmp_path / f'rgb_anon/{name}_rgb_anon.png', 10 * seed + i)
            write_label(tmp_path / f'gt/{name}_gt_labelTrainIds.png', stripes(range(19), (24, 38)))
            write_image(tmp_path / f'rgb_anon/{name}_rgb_anon.png', 10 * seed + i, (24, 38))
        loaders[part] = dict(own=dict(dataset=dict(
            type='ACDCDataset', data_root=str(tmp_path), pipeline=LOAD + PACK,
            data_prefix=dict(img_path=f'rgb_anon/{part}', seg_map_path=f'gt/{part}'))))
    cfg = dict(train_dataloader=loaders['train'], val_dataloader=loaders['val'])
    assert examine(cfg, ignore=['count']).findings == []
    assert [s.expected for s in examine(cfg).streams] == [1600, 406]


def gta_tree(root):
    from scipy.io import savemat
    for i in range(4):
        write_image(root / f'images/{i:05d}.png', i, (24, 38))
        write_label(root / f'labels/{i:05d}_labelTrainIds.png', stripes(range(19), (24, 38)))
    savemat(root / 'split.mat', dict(trainIds=[[0, 1, 2]], valIds=[[3]], testIds=[[9]]))
    return dict(type='GTADataset', data_root=str(root), ann_file='split.mat', split='train', pipeline=LOAD + PACK)


def test_gta_split_and_its_cure(tmp_path):
    cfg = dict(train_dataloader=dict(source=dict(dataset=gta_tree(tmp_path))))
    (finding, ) = examine(cfg).findings
    assert finding.kind == 'count' and '12403' in finding.detail
    (tmp_path / 'labels/00001_labelTrainIds.png').unlink()
    report = examine(cfg, ignore=['count'])
    assert [f.kind for f in report.findings] == ['missing_label']
    cured = Config(cfg)
    written = write_fixed_lists(report, str(tmp_path))
    cured.merge_from_dict({key: None if value == 'None' else value for key, value in written.items()})
    report = examine(cured)
    assert report.findings == [] and report.streams[0].images == 2
    exclude = Config(dict(cfg))
    (tmp_path / 'bad.txt').write_text('00001\n')
    exclude.merge_from_dict({'train_dataloader.source.dataset.exclude': 'bad.txt'})
    assert examine(exclude).findings == []


@pytest.mark.parametrize('split', [None, 'train'])
def test_gta_without_its_unusable_pairs(tmp_path, monkeypatch, split):
    """The converter's list of pairs to leave out is no broken download."""
    source = gta_tree(tmp_path)
    if split is None:
        del source['ann_file'], source['split']
    whole = 3 if split else 4
    monkeypatch.setattr('mmseg_dg.datasets.doctor.relations.expected_count', lambda *_: whole)
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/unusable.txt').write_text('00001\n')
    cfg = dict(train_dataloader=dict(source=dict(dataset=source)))
    report = examine(cfg)
    assert report.findings == [] and report.streams[0].images == whole - 1
    monkeypatch.setattr('mmseg_dg.datasets.doctor.relations.expected_count', lambda *_: 9)
    (finding, ) = examine(cfg).findings
    assert finding.detail == f'{whole - 1} images and 1 left out; the whole split has 9'


def test_rendered_pictures_beside_those_in_use(tmp_path):
    """Two index ranges of the synthetic city share a folder; what is not rendered yet is not rendered here."""
    loader = dict(own=dict(dataset=dict(type='SynthCityDataset', num_images=1, size=(64, 64), num_workers=1,
                                        data_root=str(tmp_path), pipeline=LOAD + PACK)))
    assert [f.kind for f in examine(dict(train_dataloader=loader)).findings] == ['not_checked']
    assert not list(tmp_path.iterdir())
    DATASETS.build(dict(loader['own']['dataset'], num_images=2))
    assert {f.kind for f in examine(dict(train_dataloader=loader)).findings} <= {'empty_class'}


# ---------------------------------------------------------------- planted faults
def png_16_bit(path):
    cv2.imwrite(str(path), stripes([0, 1, 2]).astype(np.uint16) * 1000)


def truncate(path):
    pixels = np.random.default_rng(0).integers(0, 3, (24, 32))
    if 'images' not in str(path):
        write_label(path, pixels)
    path.write_bytes(path.read_bytes()[:-60])


def rotated_jpeg(path, orientation=6, size=(24, 32), **kwargs):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.random.default_rng(5).integers(0, 255, (*size, 3), dtype=np.uint8))
    image.save(path.with_suffix('.jpg'), exif=exif, **kwargs)
    path.unlink()


SOURCE, TARGET, VAL = 'train/source', 'train/target', 'val/own'
FILES = {
    'missing_label': (lambda t: (t / 'masks/train/2.png').unlink(), SOURCE, 'images/train/2.png'),
    'orphan_label': (lambda t: write_label(t / 'masks/train/x.png', stripes([0, 1])), SOURCE, 'masks/train/x.png'),
    'size_mismatch': (lambda t: write_label(t / 'masks/train/3.png', stripes([0, 1], (24, 30))), SOURCE,
                      'masks/train/3.png'),
    'ids_outside': (lambda t: write_label(t / 'masks/train/1.png', stripes([0, 3, 200])), SOURCE,
                    'masks/train/1.png'),
    'unreadable_image': (lambda t: truncate(t / 'images/target/4.png'), TARGET, 'images/target/4.png'),
    'unreadable_label': (lambda t: truncate(t / 'masks/val/0.png'), VAL, 'masks/val/0.png'),
    'color_label': (lambda t: cv2.imwrite(str(t / 'masks/train/5.png'), np.array(PALETTE, np.uint8)[stripes(
        [0, 1, 2])]), SOURCE, 'masks/train/5.png'),
    'wide_label': (lambda t: png_16_bit(t / 'masks/train/0.png'), SOURCE, 'masks/train/0.png'),
    'no_known_class': (lambda t: write_label(t / 'masks/train/0.png', stripes([255])), SOURCE, 'masks/train/0.png'),
    'exif_rotation': (lambda t: rotated_jpeg(t / 'images/train/4.png'), SOURCE, 'images/train/4.jpg'),
    'train_val_duplicate': (lambda t: shutil.copy(t / 'images/val/1.png', t / 'images/target/copy.png'), TARGET,
                            'images/target/copy.png'),
    'labeled_unlabeled_duplicate': (lambda t: shutil.copy(t / 'images/train/1.png', t / 'images/target/0.png'),
                                    TARGET, 'images/target/0.png'),
    'duplicate_image': (lambda t: shutil.copy(t / 'images/target/1.png', t / 'images/target/7.png'), TARGET,
                        'images/target/7.png'),
    'other_suffix': (lambda t: (t / 'images/train/9.tif').write_bytes(b'x'), SOURCE, 'images/train/9.tif'),
    'missing_folder': (lambda t: shutil.rmtree(t / 'masks/val'), VAL, 'masks/val'),
    'wrong_suffix': (lambda t: [p.rename(p.with_suffix('.bmp')) for p in (t / 'images/target').iterdir()], TARGET,
                     'images/target'),
}


@pytest.mark.parametrize('kind', sorted(FILES))
def test_planted_in_files(tree, kind):
    spoil, stream, path = FILES[kind]
    spoil(tree)
    found = diagnose(config(tree))
    assert found == {(kind, stream): [str(tree / path)]}
    report = examine(config(tree))
    assert bool(report.errors) == (KINDS[kind].severity == 'error')
    assert kind in report.text() and path in report.text()


@pytest.mark.parametrize('kwargs', [{}, dict(format='MPO', save_all=True)])
@pytest.mark.parametrize('orientation, size, fits', [
    (6, (32, 24), True), (8, (32, 24), True), (6, (24, 32), False), (3, (24, 32), False), (1, (24, 32), True),
    (0, (24, 32), True), (6, (24, 24), False)])
def test_turned_images(tree, orientation, size, fits, kwargs):
    """A label as large as the turned image was drawn on it; labels here are 24 high, 32 wide, or square."""
    if kwargs:
        kwargs['append_images'] = [Image.new('RGB', size[::-1])]
    rotated_jpeg(tree / 'images/train/4.png', orientation, size, **kwargs)
    with Image.open(tree / 'images/train/4.jpg') as image:
        assert image.format == kwargs.get('format', 'JPEG')
    if size == (24, 24):
        write_label(tree / 'masks/train/4.png', stripes([0, 1, 2], size))
    report = examine(config(tree))
    assert [f.kind for f in report.findings] == ([] if fits else ['exif_rotation'])
    assert fits or 'its label may not be' in report.text()


def test_ids_of_a_special_reader_are_those_of_the_file(tmp_path):
    """Without ``reduce_zero_label``, wherever it is set: binary masks are recognized by their raw ids."""
    write_image(tmp_path / 'a.png')
    write_label(tmp_path / 'b.png', stripes([0, 1, 2, 255]))
    info = dict(img_path=str(tmp_path / 'a.png'), seg_map_path=str(tmp_path / 'b.png'), label_map=None)
    for given, stored in ((True, True), (None, True), (None, False)):
        loader = TRANSFORMS.build(dict(type='mmseg.LoadAnnotations', reduce_zero_label=given, imdecode_backend='cv2'))
        record = examine_sample(dict(info, reduce_zero_label=stored), Reading(loader, 2 + (not stored)))
        assert record.problems == []
        assert np.flatnonzero(record.raw).tolist() == [0, 1, 2, 255]
        assert np.flatnonzero(record.mapped).tolist() == ([0, 1, 255] if stored else [0, 1, 2, 255])


def listed(tree, *names):
    (tree / 'list.txt').write_text(''.join(f'{name}\n' for name in names))
    return config(tree, ann_file='list.txt')


def other_classes(tree):
    cfg = config(tree)
    cfg['val_dataloader']['own']['dataset'].update(classes=['ground', 'sky', 'house'])
    return cfg


def other_head(tree):
    cfg = config(tree)
    cfg['model']['network']['decode_head']['num_classes'] = 19
    return cfg


def binary(tree):
    for path in (tree / 'masks').rglob('*.png'):
        write_label(path, stripes([0, 255]))
    cfg = config(tree, classes=['ground', 'crack'], palette=PALETTE[:2])
    for part in (cfg['train_dataloader']['target'], cfg['val_dataloader']['own']):
        part['dataset'].update(classes=['ground', 'crack'], palette=PALETTE[:2])
    cfg['val_dataloader']['own']['dataset']['label_map'] = {255: 1}
    cfg['model']['network']['decode_head']['num_classes'] = 2
    return cfg


def two_of_three(tree):
    for path in (tree / 'masks/train').iterdir():
        write_label(path, stripes([0, 2]))
    return config(tree)


def jpeg_masks(tree):
    noise = np.random.default_rng(0).integers(0, 3, (24, 32)).astype(np.uint8) * 100
    for path in list((tree / 'masks/train').iterdir()):
        path.unlink()
        cv2.imwrite(str(path.with_suffix('.jpg')), noise)
    return config(tree, seg_map_suffix='.jpg')


CONFIGS = {
    'missing_list': (lambda t: config(t, ann_file='none.txt'), SOURCE, ['{}/none.txt']),
    'empty_list': (lambda t: listed(t, ''), SOURCE, ['{}/list.txt']),
    'duplicate_entry': (lambda t: listed(t, '0', '1', '0'), SOURCE, ['0']),
    'missing_image': (lambda t: listed(t, '0', '77'), SOURCE, ['{}/images/train/77']),
    'class_lists': (other_classes, VAL, ['val_dataloader.own.dataset']),
    'head_classes': (other_head, '', ['model.network.decode_head.num_classes']),
    'binary_mask': (binary, SOURCE, ['{}/masks/train']),
    'empty_class': (two_of_three, SOURCE, ['1 house']),
    'lossy_label': (jpeg_masks, SOURCE, [f'{{}}/masks/train/{i}.jpg' for i in range(COUNT)]),
    'refused': (lambda t: config(t, img_sufix='.png'), SOURCE, ['train_dataloader.source.dataset']),
}


@pytest.mark.parametrize('kind', sorted(CONFIGS))
def test_planted_in_the_config(tree, kind):
    make, stream, paths = CONFIGS[kind]
    found = diagnose(make(tree))
    assert sorted(found.pop((kind, stream))) == [path.format(tree) for path in paths]
    assert not found or kind == 'lossy_label'


def test_a_pipeline_that_cannot_run(tree):
    cfg = config(tree, pipeline=[*LOAD, dict(type='RareClassCrop', crop_size=(30, 30)), *PACK])
    (finding, ) = examine(cfg).findings
    assert finding.kind == 'refused' and 'smaller than the crop' in finding.detail


@pytest.mark.parametrize('kind', ['missing_image', 'duplicate_entry', 'missing_label'])
def test_stock_dataset(tree, kind):
    """The same in a class of mmseg, with its own way of reading lists."""
    names = dict(missing_image=['0', '77'], duplicate_entry=['0', '0'], missing_label=['0', '1'])[kind]
    (tree / 'list.txt').write_text('\n'.join(names))
    if kind == 'missing_label':
        (tree / 'masks/val/1.png').unlink()
    cfg = config(tree)
    cfg['val_dataloader']['own']['dataset'] = dict(
        type='BaseSegDataset', metainfo=dict(classes=CLASSES, palette=PALETTE), data_root=str(tree),
        ann_file='list.txt', data_prefix=dict(img_path='images/val', seg_map_path='masks/val'), img_suffix='.png',
        pipeline=LOAD)
    assert set(diagnose(cfg)) == {(kind, VAL)}


def test_several_faults_and_streams(tree):
    for kind in ('missing_label', 'size_mismatch', 'ids_outside', 'unreadable_image', 'unreadable_label',
                 'train_val_duplicate'):
        FILES[kind][0](tree)
    found = diagnose(config(tree))
    assert {kind for kind, _ in found} == {'missing_label', 'size_mismatch', 'ids_outside', 'unreadable_image',
                                           'unreadable_label', 'train_val_duplicate'}
    assert {stream for _, stream in diagnose(config(tree), streams=['target'])} == {TARGET}
    assert ('missing_label', SOURCE) not in diagnose(config(tree), ignore=['missing_label'])
    with pytest.raises(ValueError, match=r"no stream 'sauce'.*'train/source'"):
        examine(config(tree), streams=['sauce'])
    with pytest.raises(ValueError, match=r"no such kind of fault: \['odd'\]"):
        examine(config(tree), ignore=['odd'])


def test_wrapped_datasets(tree):
    (tree / 'masks/train/2.png').unlink()
    cfg = config(tree)
    first = cfg['train_dataloader']['source']['dataset']
    second = cfg['val_dataloader'].pop('own')['dataset']
    cfg['train_dataloader']['source']['dataset'] = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=3, dataset=first), second])
    report = examine(cfg)
    assert [s.key.rpartition('source.')[2] for s in report.streams[:2]] == ['dataset.datasets.0.dataset',
                                                                           'dataset.datasets.1']
    assert [f.kind for f in report.findings] == ['missing_label']


def test_quick_reads_less_and_still_finds_the_cut_off_file(tree, monkeypatch):
    monkeypatch.setattr('mmseg_dg.datasets.doctor.examination._QUICK_LABELS', 2)
    FILES['unreadable_image'][0](tree)
    write_label(tree / 'masks/train/2.png', stripes([0, 77]))  # not among the first and the last
    assert set(diagnose(config(tree), quick=True)) == {('unreadable_image', TARGET)}
    assert ('ids_outside', SOURCE) in diagnose(config(tree))


def test_several_processes_agree_with_one(tree, monkeypatch):
    FILES['ids_outside'][0](tree)
    FILES['unreadable_label'][0](tree)
    alone = diagnose(config(tree), num_workers=1)
    monkeypatch.setattr('mmseg_dg.datasets.doctor.examination._SERIAL_BELOW', 1)
    monkeypatch.setattr('mmseg_dg.datasets.doctor.examination._PER_WORKER', 1)
    seen = []
    together = diagnose(config(tree), num_workers=2, progress=lambda *state: seen.append(state))
    assert together == alone
    assert (SOURCE, COUNT, COUNT) in seen


# ---------------------------------------------------------------- cleaned lists
def test_fixed_lists_cure(tree, tmp_path):
    for kind in ('missing_label', 'size_mismatch', 'ids_outside', 'unreadable_image', 'duplicate_image',
                 'train_val_duplicate'):
        FILES[kind][0](tree)
    shutil.copy(tree / 'images/train/0.png', tree / 'images/target/0.png')
    written = write_fixed_lists(examine(config(tree)), str(tmp_path / 'lists'))
    assert set(written) == {'train_dataloader.source.dataset.ann_file', 'train_dataloader.target.dataset.ann_file'}
    cfg = Config(config(tree))
    cfg.merge_from_dict(written)
    assert examine(cfg).findings == []
    assert Path(written['train_dataloader.source.dataset.ann_file']).read_text().split() == ['0', '4', '5']
    dataset = DATASETS.build(dict(type='SeededDataset', dataset=cfg.train_dataloader.target.dataset))
    names = [Path(dataset[i]['data_samples'].img_path).stem for i in range(len(dataset))]
    assert names == ['1', '2', '3', '5']


def test_fixed_list_of_a_list(tree, tmp_path):
    written = write_fixed_lists(examine(listed(tree, '3', '0', '3', '77')), str(tmp_path))
    ((key, path), ) = written.items()
    assert key == 'train_dataloader.source.dataset.ann_file' and Path(path).read_text() == '3\n0\n'


def cure_again(cfg, written):
    cured = Config(cfg)
    cured.merge_from_dict({key: None if value == 'None' else value for key, value in written.items()})
    return cured


def test_fixed_list_beside_the_own_list(tree):
    """The folder of the data is a likely place for the lists, and has lists."""
    names = ('0', '3', '77')
    cfg = listed(tree, *names)
    (tree / 'list.txt').rename(tree / 'train_source.txt')
    cfg['train_dataloader']['source']['dataset']['ann_file'] = 'train_source.txt'
    written = write_fixed_lists(examine(cfg), str(tree))
    assert written == {'train_dataloader.source.dataset.ann_file': str(tree / 'train_source_cleaned.txt')}
    assert (tree / 'train_source.txt').read_text().split() == list(names)
    cfg = cure_again(cfg, written)
    assert examine(cfg).findings == []
    (tree / 'masks/train/3.png').unlink()
    (tree / 'images/target/1.png').write_bytes(b'')
    with pytest.raises(ValueError, match='train_source_cleaned.txt would replace the list .*source.dataset reads'):
        write_fixed_lists(examine(cfg), str(tree / 'images/..'))
    assert (tree / 'train_source_cleaned.txt').read_text().split() == ['0', '3']
    assert not (tree / 'train_target_cleaned.txt').exists()


def test_fixed_list_appears_in_one_step(tree, tmp_path, monkeypatch):
    (tree / 'masks/train/3.png').unlink()
    report = examine(config(tree))
    (path, ) = write_fixed_lists(report, str(tmp_path / 'lists')).values()
    Path(path).write_text('old\n')

    def full(*_):
        raise OSError('disk full')

    monkeypatch.setattr('mmseg_dg.datasets.conversion.files.os.replace', full)
    with pytest.raises(OSError, match='disk full'):
        write_fixed_lists(report, str(tmp_path / 'lists'))
    assert [p.read_text() for p in (tmp_path / 'lists').iterdir()] == ['old\n']


def test_fixed_list_replaces_indices(tree, tmp_path):
    (tree / 'masks/train/3.png').unlink()
    cfg = config(tree, indices=[1, 3, 5])
    written = write_fixed_lists(examine(cfg), str(tmp_path / 'lists'))
    assert written.pop('train_dataloader.source.dataset.indices') == 'None'
    assert [Path(path).read_text().split() for path in written.values()] == [['1', '5']]
    report = examine(cure_again(cfg, dict(written, **{'train_dataloader.source.dataset.indices': 'None'})))
    assert report.findings == [] and report.streams[0].images == 2


def test_fixed_list_of_images_without_labels(tree, tmp_path):
    for path in (tree / 'images/target').iterdir():
        path.rename(path.with_name(path.stem + '_rgb.png'))
    (tree / 'images/target/2_rgb.png').write_bytes(b'')
    cfg = config(tree)
    cfg['train_dataloader']['target']['dataset'] = dict(
        type='UnlabeledImageDataset', metainfo=dict(classes=CLASSES, palette=PALETTE), data_root=str(tree),
        data_prefix=dict(img_path='images/target'), img_suffix='_rgb.png', pipeline=LOAD[:1] + PACK)
    written = write_fixed_lists(examine(cfg), str(tmp_path / 'lists'))
    report = examine(cure_again(cfg, written))
    assert report.findings == [] and report.streams[1].images == COUNT - 1
    (tree / 'own.txt').write_text('1_rgb\n3_rgb.png\n')
    cfg['train_dataloader']['target']['dataset']['ann_file'] = 'own.txt'
    report = examine(cfg)
    assert report.findings == [] and report.streams[1].images == 2


class Counted(str):
    """Text that counts its comparisons."""
    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)


def test_many_findings_are_counted_quickly():
    listing = Listing(Entry('train', 'key', dict(type='X')))
    listing.findings = [Finding('missing_label', 'train', Counted(i)) for i in range(200)]
    report = Report.from_findings([StreamSummary.from_listing(listing, None, None)], listing.findings, [listing])
    Counted.compared = 0
    assert report.text().splitlines()[1].split()[-2:] == ['200', '0']
    assert Counted.compared < 1000


def test_no_list_for_what_no_list_cures(tree, tmp_path):
    assert write_fixed_lists(examine(binary(tree)), str(tmp_path / 'lists')) == {}
    assert not (tmp_path / 'lists').exists()


# ---------------------------------------------------------------- known numbers
@pytest.mark.parametrize('config, count', [
    (dict(type='CityscapesDataset', data_prefix=dict(img_path='leftImg8bit/train')), 2975),
    (dict(type='mmseg.CityscapesDataset', data_prefix=dict(img_path='leftImg8bit/val')), 500),
    (dict(type='CityscapesDataset', data_prefix=dict(img_path='img/train')), None),
    (dict(type='CityscapesDataset', data_prefix=dict(img_path='leftImg8bit/train'), ann_file='a.txt'), None),
    (dict(type='GTADataset'), 24966),
    (dict(type='GTADataset', split='train', ann_file='split.mat'), 12403),
    (dict(type='GTADataset', split='val', ann_file='split.mat'), 6382),
    (dict(type='GTADataset', split='test', ann_file='split.mat'), 6181),
    (dict(type='GTADataset', exclude='splits/unusable.txt'), None),
    (dict(type='GTADataset', indices=100), None),
    (dict(type='SynthiaDataset'), 9400),
    (dict(type='BDD100KDataset', data_prefix=dict(img_path='images/10k/val')), 1000),
    (dict(type='MapillaryTrainIdDataset', data_prefix=dict(img_path='validation/images')), 2000),
    (dict(type='PascalVOCDataset', ann_file='ImageSets/Segmentation/train.txt'), 1464),
    (dict(type='PascalVOCDataset', ann_file='ImageSets/Segmentation/aug.txt'), 9118),
    (dict(type='PascalVOCDataset', ann_file='ImageSets/Segmentation/train_aug.txt'), 10582),
    (dict(type='PascalVOCDataset', ann_file='/data/VOC2012/ImageSets/Segmentation/val.txt'), 1449),
    (dict(type='COCO81Dataset', data_prefix=dict(img_path='train2017')), 118287),
    (dict(type='COCO81Dataset', data_prefix=dict(img_path='val2017')), 5000),
])
def test_expected_counts(config, count):
    assert expected_count(config) == count


def test_incomplete_download(tmp_path):
    for i in range(3):
        write_image(tmp_path / f'leftImg8bit/train/a/{i}_leftImg8bit.png', i)
    cfg = dict(train_dataloader=dict(target=dict(dataset=dict(
        type='CityscapesDataset', data_root=str(tmp_path), data_prefix=dict(img_path='leftImg8bit/train'),
        pipeline=LOAD[:1]))))
    (finding, ) = examine(cfg).findings
    assert finding.kind == 'count' and '3 images' in finding.detail and '2975' in finding.detail
    assert examine(cfg, ignore=['count']).findings == []


# ---------------------------------------------------------------- the command
@pytest.fixture(scope='module')
def tool():
    path = Path(__file__).resolve().parents[2] / 'tools/doctor.py'
    spec = importlib.util.spec_from_file_location('doctor_tool', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_command(tool, tree, tmp_path, capsys):
    file = tmp_path / 'config.py'
    Config(config(tree)).dump(file)
    assert tool.main([str(file)]) == 0
    assert '0 errors, 0 warnings' in capsys.readouterr().out
    FILES['orphan_label'][0](tree)
    assert tool.main([str(file)]) == 0
    assert tool.main([str(file), '--strict']) == 1
    FILES['ids_outside'][0](tree)
    capsys.readouterr()
    assert tool.main([str(file), '--fix-list', str(tmp_path / 'lists')]) == 1
    out, err = capsys.readouterr()
    assert 'masks/train/1.png: ids 3, 200' in out and 'cleaned lists: --cfg-options train_dataloader.source' in out
    assert tool.main([str(file), '--json', '--stream', 'source']) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found['ok'] and [f['kind'] for f in found['findings']] == ['ids_outside', 'orphan_label']
    assert tool.main([str(file), '--stream', 'nowhere']) == 2


def test_command_finds_weights_that_are_not_there(tool, tree, tmp_path, capsys):
    file = tmp_path / 'config.py'
    given = dict(config(tree), load_from=str(tmp_path / 'no.pth'), model=dict(type='Supervised', network=dict(
        type='EncoderDecoder', backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='pretrained/mit_b5.pth')))))
    Config(given).dump(file)
    assert tool.main([str(file), '--json']) == 0, 'the data are fine'
    found = json.loads(capsys.readouterr().out)['findings']
    assert [(f['kind'], f['path']) for f in found] == [('weights', 'model.network.backbone.init_cfg'),
                                                       ('weights', 'load_from')]
    assert 'prepare_weights mit_b5' in found[0]['detail'] and 'no.pth' in found[1]['detail']
    assert tool.main([str(file), '--strict']) == 1
    assert '2 warnings' in (out := capsys.readouterr().out) and '--ignore weights' in out
    assert tool.main([str(file), '--strict', '--ignore', 'weights']) == 0


def test_command_ends_with_2_where_the_config_cannot_be_read(tool, tree, tmp_path, capsys):
    none = tmp_path / 'none.py'
    assert tool.main([str(none)]) == 2
    assert str(none) in (err := capsys.readouterr().err) and 'Traceback' not in err
    assert tool.main([str(none)], debug=True) == 2 and 'Traceback' in capsys.readouterr().err
    script = Path(__file__).resolve().parents[2] / 'tools/doctor.py'
    done = subprocess.run([sys.executable, str(script), str(none), '--debug'], capture_output=True, text=True)
    assert done.returncode == 2 and 'Traceback' in done.stderr


def test_a_file_of_classes_whose_letters_were_counted(tree, tmp_path):
    file = tmp_path / 'names.txt'
    file.write_text('\n'.join(CLASSES))
    cfg = config(tree)
    for stream in (*cfg['train_dataloader'].values(), *cfg['val_dataloader'].values()):
        stream['dataset'].update(classes=str(file), palette=None)
    cfg['model']['network']['decode_head']['num_classes'] = len(str(file))
    (finding, ) = examine(cfg).findings
    assert finding.kind == 'head_classes' and f'{len(str(file))}, but the data has 3 classes' in finding.detail
    assert f'read_classes({str(file)!r})' in finding.detail


def test_command_for_logs_and_shells(tool, clean, tmp_path, capsys, monkeypatch):
    tree = Path(shutil.copytree(clean, tmp_path / 'my, tree'))
    FILES['ids_outside'][0](tree)
    file = tmp_path / 'config.py'
    Config(config(tree, indices=3)).dump(file)
    lists = tree / "it's lists"
    assert tool.main([str(file), '--fix-list', str(lists)]) == 1
    out, err = capsys.readouterr()
    assert '\r' not in err and 'train/source' not in err, 'what is over at once needs no line in a log'
    words = shlex.split(next(line for line in out.splitlines() if line.startswith('cleaned lists: '))[15:])
    options = tool.parse_args(['config.py', *words]).cfg_options
    assert options == {'train_dataloader.source.dataset.ann_file': str(lists / 'train_source_cleaned.txt'),
                       'train_dataloader.source.dataset.indices': None}
    (tree / 'masks/train/0.png').unlink()
    assert tool.main([str(file), '--fix-list', str(lists), *words]) == 2
    out, err = capsys.readouterr()
    assert 'missing_label' in out and 'no list written' not in out
    assert err.splitlines()[-1].startswith(f'{file}: --fix-list: the cleaned list') and 'another folder' in err
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    bars = tool.Bars()
    bars('part', 1, 3)
    bars.bars['part'].quiet = 0
    bars('part', 2, 3)
    bars('part', 3, 3)
    err = capsys.readouterr().err
    assert err.count('\r') == 2 and '2 of 3, 0 s left' in err and err.endswith('\n')


def test_images_of_other_depth_channels_and_size(tree):
    folder = tree / 'images' / 'target'
    image = cv2.imread(str(folder / '0.png'))
    cv2.imwrite(str(folder / '0.png'), image.astype(np.uint16) * 16)
    cv2.imwrite(str(folder / '1.png'), np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]))
    size = (20000).to_bytes(4, 'big') * 2
    (folder / '2.png').write_bytes(b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + size + b'\x08\x02\0\0\0')
    cv2.imwrite(str(folder / '3.tif'), np.dstack([image, image[..., :1]]))
    (folder / '3.png').unlink()
    (folder / '3.tif').rename(folder / '3.png')
    cfg = config(tree)
    found = diagnose(cfg, streams=['target'])
    assert {kind: [Path(path).name for path in paths] for (kind, _), paths in found.items()} == dict(
        deep_image=['0.png'], alpha_image=['1.png'], large_image=['2.png'], extra_channels=['3.png'])
    assert '12 bits' in next(f.detail for f in examine(cfg, streams=['target']).findings if f.kind == 'deep_image')
    pipeline = [dict(LOAD[0], bit_depth=12), *PACK]
    cfg['train_dataloader']['target']['dataset']['pipeline'] = pipeline
    assert ('deep_image', 'train/target') not in diagnose(cfg, streams=['target'])
    pipeline[0]['bit_depth'] = 16
    found = diagnose(cfg, streams=['target'])
    assert 'bit_depth=16' in str(examine(cfg, streams=['target']).text()) and ('few_bits', 'train/target') in found
    pipeline[0]['bit_depth'] = 10
    assert ('deep_image', 'train/target') in diagnose(cfg, streams=['target'])


def test_files_that_are_left_out_and_lists_with_columns(tree):
    folder = tree / 'images' / 'target'
    (folder / '.ipynb_checkpoints').mkdir()
    shutil.copy(folder / '0.png', folder / '.ipynb_checkpoints')
    (folder / 'gone.png').symlink_to(tree / 'nowhere.png')
    (folder / 'folder.png').mkdir()
    found = diagnose(config(tree), streams=['target'])
    assert {kind for kind, _ in found} == {'hidden_image', 'broken_link', 'folder_like_image'}
    (tree / 'list.txt').write_text('\ufeff0.png masks/0.png\n1.png masks/1.png\n', encoding='utf-8')
    found = diagnose(config(tree, ann_file='list.txt'), streams=['source'])
    assert list(found) == [('list_columns', 'train/source')]


def test_images_too_small_for_network_or_crop(tree):
    write_image(tree / 'images/val/0.png', 999, (9, 12))
    write_label(tree / 'masks/val/0.png', np.zeros((9, 12), np.uint8))
    cfg = config(tree)
    cfg['model'] = dict(type='Supervised', network=dict(
        type='EncoderDecoder', backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4),
        decode_head=dict(type='mmseg.FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, num_classes=3,
                         loss_decode=dict(type='mmseg.CrossEntropyLoss')), test_cfg=dict(mode='whole')))
    cfg = Config(cfg)
    found = {kind: path for (kind, stream), path in diagnose(cfg).items() if 'val' in stream}
    assert [Path(path).name for path in found['small_image']] == ['0.png']
    cfg['train_dataloader']['target']['dataset']['pipeline'] = [LOAD[0], dict(type='RandomCrop', crop_size=(500, 500)),
                                                                *PACK]
    assert ('small_image', 'train/target') in diagnose(cfg, streams=['target'])
