"""Rows: what a row changes, what errors name, and that a row's dump needs the row no more."""
import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict

from mmseg_dg.apis.config_rows import ORIGIN, closest, find_config, find_row, read_rows, rows_of, run_name
from mmseg_dg.apis.row_configs import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = '''
model = dict(type='A', size=(2, 2), head=dict(type='H', width=1, term=None), view_weights=[0.5, 0.5])
hooks = [dict(type='X'), dict(type='Y', beta=0.9)]
train_dataloader = dict(labeled=dict(dataset=dict(type='R', dataset=dict(ann_file='splits/1_8/labeled.txt'))),
                        unlabeled=dict(dataset=dict(ann_file='splits/1_8/unlabeled.txt')))
train_cfg = dict(max_iters=10)
'''
TABLE = '''
some:
  status: not yet run
  paper: no row
  score: none
  subsets:
    1_30: {score: 60.1 +- 1, overrides: {train_cfg.max_iters: 30}}
    1_4: not in our sources
  rows:
    tau0.07: {what: cooler, overrides: {model.tau: 7e-2, hooks.1.beta: 0.99}, score: 70.5}
    wide:
      what: wide
      overrides:
        model.size: !tuple [4, 4]
        model.head: {_delete_: true, type: G, layers: [1, 2]}
    deep:
      what: another network, shorter
      parts: {model.head: models/deep}
      drop: [model.view_weights]
    wide_deep:
      what: both
      with: [wide, deep]
      overrides: {model.head.term: {weight: 1}}
      subsets:
        1_30: {score: 61.0, overrides: {train_cfg.max_iters: 31}}
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / '_base_' / 'models').mkdir(parents=True)
    (tmp_path / '_base_' / 'models' / 'deep.py').write_text("model = dict(head=dict(type='D', depth=9))\n")
    (tmp_path / 'mine' / 'some.py').write_text(CONFIG)
    (tmp_path / 'mine' / 'ablations.yml').write_text(TABLE)
    return tmp_path / 'mine'


@pytest.fixture
def config(folder):
    return folder / 'some.py'


def test_overrides_lists_tuples_and_numbers(config):
    cfg, plain = load_config(config, 'tau0.07'), load_config(config)
    assert cfg.model.tau == 0.07 and [h.get('beta') for h in cfg.hooks] == [None, 0.99]
    assert cfg.pop(ORIGIN) == dict(config='some', row='tau0.07') and ORIGIN not in plain
    del cfg.model['tau']
    cfg.hooks[1].beta = 0.9
    assert cfg._cfg_dict == plain._cfg_dict, 'nothing else differs'
    wide = load_config(config, 'wide')
    assert wide.model.size == (4, 4) and type(wide.model.size) is tuple
    assert dict(wide.model.head) == dict(type='G', layers=[1, 2]) and isinstance(wide.model.head, ConfigDict)


def test_parts_are_taken_whole_and_dropped_keys_are_gone(config):
    cfg = load_config(config, 'deep')
    assert dict(cfg.model.head) == dict(type='D', depth=9) and 'view_weights' not in cfg.model


def test_a_row_on_rows(config):
    cfg = load_config(config, 'wide_deep')
    assert cfg.model.size == (4, 4) and cfg.model.head == dict(type='D', depth=9, term=dict(weight=1))
    assert 'view_weights' not in cfg.model


@pytest.mark.parametrize('row, subset, folder_name, iterations', [
    (None, '1_30', '1_30', 30), (None, '1_4', '1_4', 10), ('wide_deep', '1_30', '1_30', 31),
    ('wide', '1_30', '1_30', 30),    (None, '1_30_seed7', '1_30_seed7', 30), (None, 'my_own', 'my_own', 10)])
def test_subsets_set_the_lists_and_what_the_table_says(config, row, subset, folder_name, iterations):
    cfg = load_config(config, row, subset)
    assert cfg.train_dataloader.labeled.dataset.dataset.ann_file == f'splits/{folder_name}/labeled.txt'
    assert cfg.train_dataloader.unlabeled.dataset.ann_file == f'splits/{folder_name}/unlabeled.txt'
    assert cfg.train_cfg.max_iters == iterations
    assert cfg[ORIGIN].subset == subset


def test_what_the_table_says_can_be_read(config):
    rows = rows_of(config)
    assert list(rows) == ['', 'tau0.07', 'wide', 'deep', 'wide_deep']
    assert (rows['tau0.07'].score, rows['tau0.07'].status, rows['wide'].score) == ('70.5', 'not yet run', 'none')
    assert rows[''].subsets['1_30'].score == '60.1 +- 1' and rows['wide_deep'].subsets['1_30'].score == '61.0'
    assert find_row(config, None) is not None and run_name(config, 'wide', '1_4') == 'some_wide_1_4'


def test_the_dump_is_complete(config, tmp_path):
    cfg = load_config(config, 'wide_deep', '1_4')
    cfg.dump(tmp_path / 'dumped.py')
    again = load_config(tmp_path / 'dumped.py')
    assert again._cfg_dict == cfg._cfg_dict
    assert again[ORIGIN] == dict(config='some', row='wide_deep', subset='1_4')


def test_errors_name_file_row_and_the_closest_name(config, folder):
    with pytest.raises(ValueError, match='--row tau0.7: .*yml has no such row of some. Did you mean "tau0.07"'):
        load_config(config, 'tau0.7')
    (folder / 'other.py').write_text(CONFIG)
    with pytest.raises(ValueError, match='has no rows of other'):
        load_config(folder / 'other.py', 'wide')
    (folder / 'mine').mkdir()
    (folder / 'mine/own.py').write_text(CONFIG)
    with pytest.raises(ValueError, match='ablations.yml is not there, so the config has no rows; leave --row out'):
        load_config(folder / 'mine/own.py', 'wide')
    with pytest.raises(FileNotFoundError) as caught:  # nothing is called like that: no guess
        find_config('qqqq.py')
    assert 'Did you mean' not in str(caught.value)
    (folder / 'plain.py').write_text('train_dataloader = dict(source=dict(dataset=dict()))\n')
    with pytest.raises(ValueError, match='stream "labeled".*plain.py has source'):
        load_config(folder / 'plain.py', None, '1_8')


@pytest.mark.parametrize('entry, message', [
    ('{what: a, overides: {a: 1}}',
     r'some: row bad: there is no field .overides.. Did you mean "overrides". Fields: .*what'),
    ('{overrides: {a: 1}}', 'some: row bad does not say: what'),
    ('{what: a, with: [wid]}', 'with names .wid., which is no row above it. Did you mean "wide"'),
    ('{what: a, drop: [model.sizes]}', 'some, row bad: drop names model.sizes.* Did you mean "size"'),
    ('{what: a, drop: [modl.size]}', 'there is no .modl.. Did you mean "model"'),
    ('{what: a, parts: {model.head: models/deeep}}', 'row bad: parts names models/deeep for model.head: neither'),
    ('{what: a, parts: {model.neck: models/deep}}', 'deep.py has no model.neck'),
    ('{what: a, overrides: {model.size.x: 1}}', 'row bad: .*size'),
    ('{what: a, overrides: {hooks.5.x: 1}}', 'row bad: Index 5'),
    ('{what: a, drop: [hooks.2]}', 'drop names hooks.2, which the config does not have'),
    ('{what: a, parts: {hooks.2: "models/deep:model"}}', 'row bad: hooks.2: the list has 2 entries, no number 2'),
    ('{what: a, parts: {hooks.0: models/deep}}', 'there is no .hooks.'),
    ('{what: a, what: b}', 'what stands twice'),
])
def test_a_mistake_in_the_table_is_named(config, folder, entry, message):
    (folder / 'ablations.yml').write_text(f'{TABLE}    bad: {entry}\n')
    with pytest.raises(ValueError, match=message):
        load_config(config, 'bad')


def test_configs_are_found_by_name_or_path(config):
    assert find_config(config) == config
    assert find_config('daformer_mitb5_gta2cityscapes').name == 'daformer_mitb5_gta2cityscapes.py'
    assert find_config('daformer_mitb5_gta2cityscapes.py').parent.name == 'daformer'
    with pytest.raises(FileNotFoundError, match='Did you mean "daformer_mitb5_gta2cityscapes"'):
        find_config('daformer_mitb5_gta2cityscape')
    assert closest('x', []) == ''


def test_work_dir_and_options_come_after_the_row(config):
    from mmseg_dg.apis import launch
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    launch.add_common_args(parser)
    args = parser.parse_args([str(config), *'--row wide --subset 1_30 --cfg-options train_cfg.max_iters=5'.split()])
    cfg = launch.load_config(args)
    assert cfg.work_dir == 'work_dirs/some_wide_1_30'
    assert cfg.train_cfg.max_iters == 5 and cfg.model.size == (4, 4)
    assert Config.fromfile(config).model.size == (2, 2)


def test_study_runs_rows_and_their_subsets(config, tmp_path):
    from mmseg_dg.apis.study import Study
    study = Study(str(config), tmp_path / 'out', seeds=[0, 1], rows=['wide', 'deep'], subsets=['1_30'])
    runs = study.runs()
    assert [run.folder.name for run in runs] == [f'{row}_1_30_seed{i}' for row in ('wide', 'deep') for i in (0, 1)]
    command = study.command(runs[0])
    assert command[command.index('--row') + 1] == 'wide' and command[command.index('--subset') + 1] == '1_30'
    assert len({study.fingerprint_of(run) for run in runs}) == 2
    assert study.fingerprint_of(runs[0]).startswith('some_wide_1_30 ')
    with pytest.raises(ValueError, match='Did you mean "wide"'):
        Study(str(config), tmp_path, seeds=[0], rows=['wid']).runs()


@pytest.mark.ci
def test_rows_are_listed(config):
    def listed(*words):
        command = [sys.executable, str(ROOT / 'tools' / 'rows.py'), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    text = listed(str(config))
    assert 'tau0.07' in text and 'its score: 70.5' in text and '--subset 1_30, 1_4' in text
    assert "model.tau: 0.07" in listed(str(config), '--row', 'tau0.07')
    assert 'daformer/daformer_mitb5_gta2cityscapes: nowarmup' in listed()


def test_the_tables_of_the_package_can_be_read():
    for file in sorted((ROOT / 'configs').glob('*/ablations.yml')):
        for config in read_rows(file):
            assert (file.parent / f'{config}.py').is_file(), f'{file} names {config}, which does not exist'


def test_entries_of_lists_are_dropped_and_replaced(config, folder):
    rows = '    lists: {what: a, drop: [hooks.0]}\n    parts: {what: b, parts: {hooks.1: "models/deep:model"}}\n'
    (folder / 'ablations.yml').write_text(TABLE + rows)
    assert load_config(config, 'lists').hooks == [dict(type='Y', beta=0.9)]
    assert load_config(config, 'parts').hooks == [dict(type='X'), dict(head=dict(type='D', depth=9))]


@pytest.mark.parametrize('text', ['- some\n', '7: {rows: {}}\n', 'word\n'])
def test_a_file_without_names_of_configs_is_refused(config, folder, text):
    (folder / 'ablations.yml').write_text(text)
    with pytest.raises(ValueError, match='ablations.yml: it must hold names of configs'):
        load_config(config, 'tau0.07')
