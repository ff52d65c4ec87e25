"""Studies: combinations, restart, metrics, tables; the trainer is a stand-in that takes milliseconds."""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_dg.apis import study as module
from mmseg_dg.apis.row_configs import subset_lists
from mmseg_dg.apis.study import Run, Study, parse_grid, short_names, split_values
from mmseg_dg.apis.study_tables import evaluation_files, final_metrics, summarize

ROOT = Path(__file__).resolve().parents[2]
TRAINER = '''
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument('config'); parser.add_argument('--work-dir', type=pathlib.Path)
parser.add_argument('--resume', action='store_true'); parser.add_argument('--cfg-options', nargs='+')
parser.add_argument('--device')
args = parser.parse_args()
options = dict(pair.split('=', 1) for pair in args.cfg_options)
seed = int(options['randomness.seed'])
with open(args.work_dir / 'calls.txt', 'a') as f:
    f.write(json.dumps(sys.argv[1:]) + chr(10))
if seed == 13 and not (args.work_dir / 'again').exists():
    (args.work_dir / 'again').touch()
    sys.exit(3)
folder = args.work_dir / '20200101'
folder.mkdir(exist_ok=True)
score = 50 + seed + 10 * float(options.get('model.beta', 0))
for iteration in (5, 10):
    (folder / f'evaluation_iter_{iteration}.csv').write_text(
        'domain,images,selects_checkpoint,note,mIoU,IoU.road,IoU.train' + chr(10)
        + f'city,3,no,,{score * iteration / 10},90,nan' + chr(10) + f'mean,3,,,{score * iteration / 10},,' + chr(10))
'''


@pytest.fixture
def make(tmp_path):
    """``make(seeds=..., grid=...)`` gives a study with the stand-in trainer."""
    (tmp_path / 'trainer.py').write_text(TRAINER)
    config = tmp_path / 'my_config.py'
    config.write_text('model = dict(beta=0.)\nrandomness = dict(seed=0)\nstudy = dict(seeds=[4, 5])\n')

    def build(**settings):
        return Study(config=str(config), folder=tmp_path / 'out', train_script=tmp_path / 'trainer.py', **settings)

    return build


def calls(folder):
    return [json.loads(line) for line in (folder / 'calls.txt').read_text().splitlines()]


def test_mean_and_spread_over_seeds_and_grid(make):
    study = make(seeds=[0, 1, 2], grid={'model.beta': ['0.1', '0.2']})
    assert study.execute() == []
    with open(study.folder / 'study.csv', newline='') as f:
        rows = {(row['setting'], row['metric']): row for row in csv.DictReader(f)}
    row = rows['model.beta=0.2', 'city/mIoU']
    assert float(row['mean']) == pytest.approx(53) and float(row['std']) == pytest.approx(1) and row['runs'] == '3'
    assert row['values'] == '52.0 53.0 54.0'
    assert rows['model.beta=0.1', 'city/IoU.road']['std'] == '0.0'
    assert rows['model.beta=0.1', 'city/IoU.train']['runs'] == '0'  # a class that occurs nowhere
    text = (study.folder / 'study.md').read_text()
    assert '6 of 6 runs finished' in text and '| model.beta=0.2 | 53.00 ± 1.00 (3) | 53.00 ± 1.00 (3) |' in text
    assert sorted(p.name for p in study.folder.iterdir() if p.is_dir()) == [
        f'beta={beta}_seed{seed}' for beta in ('0.1', '0.2') for seed in range(3)]


def test_command_of_a_run(make):
    study = make(seeds=[7], options=['a.b=[1,2]'], grid={'model.beta': ['0.3']}, gpus=0)
    study.execute()
    folder = study.folder / 'beta=0.3_seed7'
    assert calls(folder) == [[study.config, '--work-dir', str(folder), '--resume', '--device', 'cpu', '--cfg-options',
                              'a.b=[1,2]', 'model.beta=0.3', 'randomness.seed=7']]
    command = make(seeds=[7], gpus=2).command(make(seeds=[7]).runs()[0])
    assert command[1:4] == ['-m', 'torch.distributed.run', '--nproc_per_node=2']
    assert command[-2:] == ['--launcher', 'pytorch']


def test_finished_runs_are_skipped_and_failed_ones_tried_again(make):
    study = make(seeds=[1, 13, 2])
    failed = study.execute()
    assert [run.seed for run in failed] == [13]
    assert '2 of 3 runs finished' in (study.folder / 'study.md').read_text()
    assert make(seeds=[1, 13, 2]).execute() == []
    assert len(calls(study.folder / 'seed1')) == 1 and len(calls(study.folder / 'seed13')) == 2
    assert '3 of 3 runs finished' in (study.folder / 'study.md').read_text()


def test_seeds_can_be_added_later(make):
    make(seeds=[1]).execute()
    study = make(seeds=[1, 2])
    study.execute()
    assert len(calls(study.folder / 'seed1')) == 1
    assert '| - | 51.50 ± 0.71 (2) |' in (study.folder / 'study.md').read_text()


def test_other_settings_do_not_mix(make):
    make(seeds=[1], options=['a=1']).execute()
    with pytest.raises(ValueError, match='holds a run with other settings.*--work-dir'):
        make(seeds=[1], options=['a=2']).execute()
    study = make(seeds=[1], options=['a=1'])
    Path(study.config).write_text('model = dict(beta=1.)\n')
    with pytest.raises(ValueError, match='config was'):
        make(seeds=[1], options=['a=1']).execute()


def test_training_without_evaluation_counts_as_failed(make, tmp_path):
    (tmp_path / 'trainer.py').write_text('pass')
    study = make(seeds=[0])
    assert len(study.execute()) == 1 and not (study.folder / 'seed0' / module.FINISHED).exists()


def test_last_evaluation_counts(tmp_path):
    write_start(tmp_path, 'a', {900: 1})
    write_start(tmp_path, 'b', {1000: 2})
    assert final_metrics(tmp_path) == {'x/mIoU': 2.0}
    write_start(tmp_path, 'c', {950: 3})  # went on from an earlier checkpoint: 1000 is still to come
    assert final_metrics(tmp_path) == {'x/mIoU': 3.0}


def write_start(folder, stamp, scores, config=None):
    """Evaluations of one start of a training, ``{iteration: mIoU}``, and the config it had."""
    (folder / stamp / 'vis_data').mkdir(parents=True)
    if config:
        (folder / stamp / 'vis_data' / 'config.py').write_text(config)
    for n, score in scores.items():
        (folder / stamp / f'evaluation_iter_{n}.csv').write_text(f'domain,images,mIoU\nx,1,{score}\n')


def test_an_iteration_judged_twice_counts_by_the_time_of_the_start(tmp_path):
    write_start(tmp_path, '20260102_000000', {1000: 2})
    write_start(tmp_path, '20260101_000000', {1000: 1})  # a copy has written the earlier one last
    os.utime(tmp_path / '20260102_000000' / 'evaluation_iter_1000.csv', (0, 0))
    assert final_metrics(tmp_path) == {'x/mIoU': 2.}


def test_logs_of_an_overwritten_training_do_not_count(tmp_path):
    write_start(tmp_path, '20260101', {200: 70, 400: 70, 2000: 70}, 'train_cfg = dict(max_iters=2000)\n')
    write_start(tmp_path, '20260102', {500: 20, 1000: 30}, 'train_cfg = dict(max_iters=1000)\noverwrite = True\n')
    write_start(tmp_path, '20260103', {}, 'train_cfg = dict(max_iters=9)\noverwrite = True\n')  # was refused
    write_start(tmp_path, '20260104', {1000: 31}, 'train_cfg = dict(max_iters=1000)\noverwrite = False\n')
    assert final_metrics(tmp_path) == {'x/mIoU': 31.} and list(evaluation_files(tmp_path)) == [500, 1000]


def test_evaluations_beyond_the_length_of_the_training_do_not_count(tmp_path):
    write_start(tmp_path, '20260101', {500: 70, 2000: 70})
    write_start(tmp_path, '20260102', {500: 20, 1000: 30}, 'train_cfg = dict(max_iters=1000)\n')
    assert final_metrics(tmp_path) == {'x/mIoU': 30.} and sorted(evaluation_files(tmp_path)) == [500, 1000]


SCORED = """
val_dataloader = dict(city=dict(dataset=dict(type='CityscapesDataset')))
val_evaluator = dict(type='ConfusionMatrixMetric')
val_cfg = dict(type='MultiDomainValLoop')
"""


@pytest.mark.parametrize('metric', ['city/mIuO', 'town/mIoU', 'city/label_free', 'mean/aAcc'])
def test_a_ranking_by_no_metric_of_the_config_is_refused_before_training(make, metric):
    study = make(seeds=[0], rank_by=metric)
    study.cfg.merge_from_dict(Config.fromstring(SCORED, '.py').to_dict())
    with pytest.raises(ValueError, match=f'--rank-by: score {metric!r}'):
        study.execute()
    assert not study.folder.exists()


def test_a_ranking_by_a_metric_that_never_comes_does_not_stop_the_study(make):
    """A config does not tell every metric: all runs are trained, the tables written, and then it is said."""
    study = make(seeds=[0, 1], rank_by='city/mIuO')
    with pytest.raises(ValueError, match='--rank-by city/mIuO: no finished run has this metric'):
        study.execute()
    assert '2 of 2 runs finished' in (study.folder / 'study.md').read_text()
    assert make(seeds=[0, 1], rank_by='city/mIoU').execute() == []
    assert '## Ranked by city/mIoU' in (study.folder / 'study.md').read_text()


def test_scalars_are_the_fallback(tmp_path):
    folder = tmp_path / 'a' / 'vis_data'
    folder.mkdir(parents=True)
    lines = [dict(loss=1., step=1), dict(mIoU=40., aAcc=80., step=2), dict(mIoU=41., aAcc=81., step=4), dict(loss=.5)]
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    assert final_metrics(tmp_path) == {'mIoU': 41., 'aAcc': 81.}
    assert final_metrics(tmp_path / 'none') == {}


def test_subsets_choose_the_lists_of_the_innermost_datasets(tmp_path):
    config = tmp_path / 'semi.py'
    config.write_text("train_dataloader = dict(labeled=dict(dataset=dict(type='R', dataset=dict(type='A'))),"
                      " unlabeled=dict(dataset=dict(type='A')))\n")
    study = Study(config=str(config), folder=tmp_path, seeds=[0], subsets=['1_8', '1_30'])
    assert [run.folder.name for run in study.runs()] == ['1_8_seed0', '1_30_seed0']
    command = study.command(study.runs()[0])
    assert command[command.index('--subset') + 1] == '1_8' and command[-1] == 'randomness.seed=0'
    lists = [f'train_dataloader.{key}.ann_file' for key in ('labeled.dataset.dataset', 'unlabeled.dataset')]
    assert subset_lists(study.cfg, '1_8') == dict(zip(lists, ('splits/1_8/labeled.txt', 'splits/1_8/unlabeled.txt')))
    assert study.runs()[0].settings == {'subset': '1_8'}
    each = Study(config=str(config), folder=tmp_path, seeds=[0, 3], subsets=['1_8_seed{seed}'])
    assert [(run.settings['subset'], run.folder.name) for run in each.runs()] == [
        ('1_8_seed0', '1_8_seed0_seed0'), ('1_8_seed3', '1_8_seed3_seed3')]


def test_subsets_need_a_labeled_stream(make):
    with pytest.raises(ValueError, match='stream "labeled"'):
        make(seeds=[0], subsets=['1_8']).runs()


@pytest.mark.parametrize('text, parts', [
    ('a,b', ['a', 'b']), ('[1,2],[3]', ['[1,2]', '[3]']), ('(1,(2,3)),x', ['(1,(2,3))', 'x']),
    ("'a,b',c", ["'a,b'", 'c'])])
def test_values_are_split_at_outer_commas(text, parts):
    assert split_values(text) == parts


@pytest.mark.parametrize('pairs', [['a'], ['=1'], ['a=1,,2'], ['a=1', 'a=2']])
def test_bad_grid_is_refused(pairs):
    with pytest.raises(ValueError, match='--grid'):
        parse_grid(pairs)


def test_short_names_stay_unambiguous():
    assert short_names(['m.a.lr', 'm.b.lr', 'seed.x']) == {'m.a.lr': 'a.lr', 'm.b.lr': 'b.lr', 'seed.x': 'x'}
    assert short_names(['lr', 'a.lr']) == {'lr': 'lr', 'a.lr': 'a.lr'}


def test_long_and_odd_folder_names_stay_distinct():
    long = [module.folder_name(['x' * 300, f'seed{n}']) for n in (1, 2)]
    odd = [module.folder_name([text, 'seed1']) for text in ('k=a/b', 'k=a-b', 'k=a b')]
    assert len({*long, *odd}) == 5 and all(len(name) < 140 and '/' not in name for name in [*long, *odd])


def test_one_value_has_no_spread():
    row, = summarize([(Run(0, {}, [], Path('x')), {'city/mIoU': 50.0})])
    assert (row['mean'], row['std'], row['runs']) == (50.0, '', 1)


def test_subsets_are_also_pooled():
    scores = {'a': 50., 'b': 54.}
    runs = [(Run(0, {'subset': name}, [], Path('x')), {'city/mIoU': value}) for name, value in scores.items()]
    rows = {row['setting']: row for row in summarize(runs)}
    assert set(rows) == {'subset=a', 'subset=b', 'subset=all'}
    assert (rows['subset=all']['mean'], rows['subset=all']['runs']) == (52., 2)
    assert rows['subset=all']['std'] == pytest.approx(8**0.5)
    assert set(row['setting'] for row in summarize(runs[:1])) == {'subset=a'}, 'nothing to pool'


@pytest.mark.ci
def test_tool_takes_subsets_and_grid_from_the_config(tmp_path):
    config = tmp_path / 'few.py'
    config.write_text("train_dataloader = dict(labeled=dict(dataset=dict(type='A')))\n"
                      "study = dict(seeds=[0], subsets=['1_30', '1_30_seed1'], grid={'optimizer.lr': [1e-5, 3e-4]})\n")
    done = subprocess.run([sys.executable, str(ROOT / 'tools' / 'study.py'), str(config), '--work-dir',
                           str(tmp_path / 'out'), '--dry-run'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert '--subset 1_30_seed1' in lines[-1] and 'optimizer.lr=0.0003' in lines[-1]


def test_tool_takes_seeds_from_the_config(make, tmp_path):
    study = make(seeds=[0])
    done = subprocess.run([sys.executable, str(ROOT / 'tools' / 'study.py'), study.config, '--work-dir',
                           str(tmp_path / 'out'), '--dry-run'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert ['randomness.seed=4' in lines[0], 'randomness.seed=5' in lines[1], len(lines)] == [True, True, 2]
    assert 'tools/train.py' in lines[0]


def test_fingerprint_does_not_depend_on_where_things_lie(monkeypatch):
    def fingerprint(configs, shared):
        monkeypatch.setattr(module, 'config_homes', lambda: [Path(configs)])
        monkeypatch.setenv('MMSEG_DG_SHARED', shared)  # '' stands for unset, as in configs
        weights = f'{shared or "../shared"}/weights/x.pth'
        lists = [f'{configs}/_base_/a.txt']
        return module._fingerprint('name', Config(dict(lists=lists, weights=weights, other='/b')))

    here = fingerprint('/here/configs', '/data')
    for shared in ('/mnt/data', '/mnt/data/', '../shared', ''):  # the default of configs is ../shared
        assert here == fingerprint('/there/deep/configs', shared), shared
    monkeypatch.setenv('MMSEG_DG_SHARED', '/data')
    monkeypatch.setattr(module, 'config_homes', lambda: [Path('/here/configs')])
    for lists in ('/here/configs/_base_/b.txt', '/there/configs/_base_/a.txt'):  # another file, another folder
        other = Config(dict(lists=[lists], weights='/data/weights/x.pth', other='/b'))
        assert here != module._fingerprint('name', other)
