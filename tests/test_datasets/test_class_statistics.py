"""Counting the classes of any dataset, once."""
import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mmseg_dg.datasets import class_statistics, from_official_json
from mmseg_dg.datasets.statistics import cache as statistics_cache
from mmseg_dg.registry import DATASETS

from .trees import LOAD, city_tree, stripes, write_image, write_label, write_palette_label

# the package's attribute of this name is the function
module = sys.modules['mmseg_dg.datasets.statistics.class_statistics']


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))
    return dict(city_tree(tmp_path / 'city', count=5), pipeline=LOAD)


@pytest.fixture
def said(monkeypatch):
    """Every log line of the module and of the cache."""
    lines = []
    for part in (module, statistics_cache):
        monkeypatch.setattr(part, 'print_log', lambda text, **_: lines.append(text))
    return lines


def brute_force(dataset):
    return np.stack([np.bincount(dataset[i]['gt_seg_map'].ravel(), minlength=256) for i in range(len(dataset))])


def test_counts_and_cache(cfg, said, tmp_path):
    dataset = DATASETS.build(cfg)
    first = class_statistics(dataset)
    np.testing.assert_array_equal(first.pixel_counts, brute_force(dataset)[:, :19])
    assert first.totals.dtype == np.int64 and first.totals.tolist() == first.pixel_counts.sum(0).tolist()
    assert first.files == 5 and isinstance(first.pixel_counts, np.memmap)
    assert first.class_names == dataset.metainfo['classes']
    assert first.images_per_class(191).tolist()[:3] == [5, 1, 1]
    assert any('counting 5 labels' in line for line in said)
    said.clear()
    assert class_statistics(DATASETS.build(cfg)).fingerprint == first.fingerprint and said == []
    files = sorted(p.name for p in (tmp_path / 'cache/class_statistics').iterdir())
    assert len(files) == 2 and files[0].endswith('.json') and files[1].endswith('.npy')  # and no temporary file


def test_stale_cache_is_noticed(cfg, said, tmp_path):
    before = class_statistics(DATASETS.build(cfg))
    label = tmp_path / 'city/gtFine/train/town/town_000001_000019_gtFine_labelTrainIds.png'
    write_label(label, np.random.default_rng(0).integers(0, 19, (24, 32)))
    said.clear()
    after = class_statistics(DATASETS.build(cfg))
    assert any('stale' in line for line in said)
    assert after.fingerprint != before.fingerprint and after.totals[18] > 0 == before.totals[18]


def test_broken_cache_is_counted_again(cfg, said, tmp_path):
    before = np.array(class_statistics(DATASETS.build(cfg)).pixel_counts)
    counts = next((tmp_path / 'cache/class_statistics').glob('*.npy'))
    counts.write_bytes(b'nothing')
    after = class_statistics(DATASETS.build(cfg))
    np.testing.assert_array_equal(after.pixel_counts, before)
    assert any('cannot read' in line for line in said)


def test_beside_the_data_moves_with_it(cfg, said, tmp_path):
    class_statistics(DATASETS.build(cfg), cache_dir='beside')
    (tmp_path / 'city').rename(tmp_path / 'moved')
    said.clear()
    class_statistics(DATASETS.build(dict(cfg, data_root=str(tmp_path / 'moved'))))
    assert said == [] and not (tmp_path / 'cache').exists()


def test_unwritable_cache_is_no_reason_to_stop(cfg, said, tmp_path):
    (tmp_path / 'cache').write_text('a file, not a folder')
    assert class_statistics(DATASETS.build(cfg)).files == 5
    assert any('MMSEG_DG_CACHE' in line for line in said)


def test_same_names_below_two_roots_do_not_mix(cfg, said, tmp_path):
    other = dict(city_tree(tmp_path / 'other', count=5), pipeline=LOAD)
    for path in Path(tmp_path / 'other/gtFine').rglob('*.png'):
        write_label(path, stripes([5]))
    assert class_statistics(DATASETS.build(cfg)).totals[5] == 0
    assert class_statistics(DATASETS.build(other)).totals.nonzero()[0].tolist() == [5]
    said.clear()
    assert class_statistics(DATASETS.build(cfg)).totals[5] == 0 and said == []


def test_mappings_apply(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))
    write_image(tmp_path / 'images/1.png')
    write_palette_label(tmp_path / 'labels/1.png', stripes([26, 7, 0, 33]))

    def totals(**options):
        cfg = dict(type='GTADataset', data_root=str(tmp_path), raw_ids=True, pipeline=LOAD, **options)
        return class_statistics(DATASETS.build(cfg)).totals

    assert np.flatnonzero(totals()).tolist() == [0, 13, 18]
    assert totals(metainfo=dict(classes=('car', 'road'))).tolist() == [192, 192]
    plain = dict(type='BaseSegDataset', data_root=str(tmp_path), img_suffix='.png', pipeline=LOAD,
                 metainfo=dict(classes=tuple(f'c{i}' for i in range(33))), reduce_zero_label=True,
                 data_prefix=dict(img_path='images', seg_map_path='labels'))
    assert np.flatnonzero(class_statistics(DATASETS.build(plain)).totals).tolist() == [6, 25, 32]
    own = dict(plain, pipeline=[dict(LOAD[-1], reduce_zero_label=False)])  # the loader's word counts
    with pytest.raises(ValueError, match=r'outside 0\.\.32.*\[33\]'):
        class_statistics(DATASETS.build(own))


def test_wrong_ids_name_five_files(cfg, tmp_path):
    for path in Path(tmp_path / 'city/gtFine').rglob('*.png'):
        write_label(path, stripes([0, 19, 200, 255]))
    for i in range(5, 7):
        write_image(tmp_path / f'city/leftImg8bit/train/town/x_{i}_leftImg8bit.png')
        write_label(tmp_path / f'city/gtFine/train/town/x_{i}_gtFine_labelTrainIds.png', stripes([77]))
    with pytest.raises(ValueError, match=r'outside 0\.\.18.*\[19, 200\].* and 2 more files') as error:
        class_statistics(DATASETS.build(cfg))
    assert str(error.value).count('.png') == 5


def test_wrappers(cfg, tmp_path):
    repeated = dict(type='RepeatDataset', times=2, dataset=dict(cfg, indices=2))
    joined = dict(type='ConcatDataset', datasets=[cfg, repeated])
    seeded = DATASETS.build(dict(type='SeededDataset', dataset=joined))
    counts = class_statistics(seeded).pixel_counts
    single = class_statistics(DATASETS.build(cfg)).pixel_counts
    np.testing.assert_array_equal(counts, single[[0, 1, 2, 3, 4, 0, 1, 0, 1]])


def test_several_processes_agree_with_one(cfg, monkeypatch):
    monkeypatch.setattr(module, '_SERIAL_BELOW', 1)
    monkeypatch.setattr(module, '_CHUNK', 2)
    dataset = DATASETS.build(cfg)
    counts = module.count_labels(dataset, dataset.pipeline.transforms[1], 19, num_workers=2)
    np.testing.assert_array_equal(counts, brute_force(dataset)[:, :19])


def test_unlabeled_dataset_is_refused(cfg):
    with pytest.raises(ValueError, match='pipeline of CityscapesDataset has no LoadAnnotations'):
        class_statistics(DATASETS.build(dict(cfg, pipeline=LOAD[:1])))


def test_other_ranks_read_what_rank_0_counted_and_learn_of_its_failure(cfg, monkeypatch, said):
    dataset = DATASETS.build(cfg)
    monkeypatch.setattr(statistics_cache, 'get_dist_info', lambda: (1, 2))
    failures = [None]
    monkeypatch.setattr(statistics_cache, 'broadcast_object_list', lambda box, src: box.__setitem__(0, failures[0]))
    assert class_statistics(dataset).files == 5  # a cache of its own: counts by itself
    said.clear()
    assert class_statistics(dataset).files == 5 and said == []
    failures[0] = ValueError('rank 0 found wrong ids')
    with pytest.raises(ValueError, match='rank 0 found wrong ids'):
        class_statistics(dataset)


def test_official_files(cfg, tmp_path):
    dataset = DATASETS.build(cfg)
    counts = class_statistics(dataset).pixel_counts
    names = [f'data/cityscapes/{i}/' + os.path.basename(dataset.get_data_info(i)['seg_map_path']) for i in range(5)]
    rows = [{str(c): int(n) for c, n in enumerate(row) if n} for row in counts]
    layouts = dict(
        sample_class_stats=[dict(row, file=name) for row, name in zip(rows, names)][::-1],
        sample_class_stats_dict=dict(zip(names, rows)),
        samples_with_class={str(c): [[name, row[str(c)]] for name, row in zip(names, rows) if str(c) in row]
                            for c in range(19) if counts[:, c].any()})
    for name, content in layouts.items():
        path = tmp_path / f'{name}.json'
        path.write_text(json.dumps(content))
        np.testing.assert_array_equal(from_official_json(str(path), dataset).pixel_counts, counts)
    for content, text in (({names[0]: rows[0]}, '4 of 5 labels are not in it'), ([1], 'not a class statistics file'),
                          ({names[0]: {'19': 5}, names[1]: {}}, 'class 19 .* not in 0..18'),
                          ([dict(file='a/1.png'), dict(file='b/1.png')], 'share a base name')):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=text):
            from_official_json(str(path), dataset)
    with pytest.raises(FileNotFoundError, match='no statistics file'):
        from_official_json(str(tmp_path / 'none.json'), dataset)


def test_command_line(cfg, tmp_path, monkeypatch, capsys):
    config = tmp_path / 'config.py'
    config.write_text(f'train_dataloader = dict(source=dict(dataset={cfg!r}), target=dict(dataset='
                      f'{dict(cfg, pipeline=LOAD[:1])!r}))\ndefault_scope = "mmseg_dg"\n')
    tool = Path(__file__).parents[2] / 'tools/analysis_tools/class_statistics.py'

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(tool), str(config), *arguments])
        runpy.run_path(str(tool), run_name='__main__')

    with pytest.raises(SystemExit) as ended:
        call('--num-workers', '1')
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert 'source: 5 images, 2880 labeled pixels' in out and 'sidewalk' in out and 'target:' not in out
    with pytest.raises(SystemExit, match="stream 'target' loads no labels"):
        call('--stream', 'target')
    with pytest.raises(SystemExit, match=r"no stream 'x'; it has \['source', 'target'\]"):
        call('--stream', 'x')


def test_command_line_explains_bad_data(cfg, tmp_path, monkeypatch):
    tool = Path(__file__).parents[2] / 'tools/analysis_tools/class_statistics.py'
    config = tmp_path / 'config.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), str(config), '--num-workers', '1'])
    bad_ids = tmp_path / 'bad'
    shutil.copytree(cfg['data_root'], bad_ids)
    write_label(next(bad_ids.rglob('*labelTrainIds.png')), stripes([0, 77]))
    for root, message in ((tmp_path / 'nowhere', 'nowhere'), (bad_ids, '77')):
        config.write_text('default_scope = "mmseg_dg"\ntrain_dataloader = dict(source=dict(dataset='
                          f'{dict(cfg, data_root=str(root))!r}))\n')
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(tool), run_name='__main__')
        assert ended.value.code.startswith(f'{config}: ') and message in ended.value.code


def test_the_guide_says_where_counts_are(cfg, tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'own'))
    dataset = DATASETS.build(cfg)
    class_statistics(dataset)
    assert list((tmp_path / 'own').rglob('*.npy')) and not (Path(cfg['data_root']) / 'class_statistics').exists()
    guide = (Path(__file__).parents[2] / 'docs/data.md').read_text().partition('## Class statistics')[2]
    section = ' '.join(guide.partition('\n## ')[0].split())
    assert 'otherwise counted on first use into `MMSEG_DG_CACHE`' in section and '--cache-dir beside' in section


@pytest.mark.parametrize('root', ['data/gta', 'data/gta/', '/data/gta', './data/gta', 'data/../data/gta'])
def test_relative_names_equal_those_of_the_standard_library(root):
    from mmseg_dg.datasets.statistics.cache import _relative
    for name in ('labels/1.png', './labels/1.png', 'a/../labels/1.png', 'labels//1.png', 'a.b/c.d.png', 'odd./1.png'):
        path = os.path.join(root, name)
        assert _relative(path, root, os.path.join(root, '')) == os.path.relpath(path, root)
    assert _relative('data/other/1.png', 'data/gta', 'data/gta/') == '../other/1.png'


@pytest.mark.parametrize('orientation', [1, 6])
def test_sizes_are_compared_as_the_image_is_loaded(tmp_path, orientation):
    """A camera that was held upright says so in the file, and loading turns its picture."""
    from PIL import Image
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / 'images').mkdir()
    Image.new('RGB', (32, 24)).save(tmp_path / 'images/1.jpg', exif=exif)
    cfg = dict(type='GTADataset', data_root=str(tmp_path), img_suffix='.jpg', pipeline=LOAD)
    for size, fits in (((24, 32), orientation == 1), ((32, 24), orientation == 6)):
        write_label(tmp_path / 'labels/1_labelTrainIds.png', stripes([0, 1], size))
        dataset = DATASETS.build(cfg)
        if fits:
            assert dataset[0]['img'].shape[:2] == size
            assert class_statistics(dataset, cache_dir=str(tmp_path)).files == 1
            continue
        with pytest.raises(ValueError, match='1 labels differ in size from their image'):
            class_statistics(dataset, cache_dir=str(tmp_path))
        with pytest.raises(ValueError, match='the label has'):
            dataset[0]
