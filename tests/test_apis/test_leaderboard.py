"""Leaderboards: fair suites, judgment by hand numbers, pages; a stand-in trainer takes milliseconds."""
import copy
import functools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from mmengine.config import Config

from mmseg_dg.apis.leaderboard import Leaderboard, read_suite
from mmseg_dg.apis.leaderboard.board import measured_cost
from mmseg_dg.apis.leaderboard.judgment import best, half_interval, last_three, paired_gain, rise
from mmseg_dg.apis.leaderboard.page import encoder_cells
from mmseg_dg.apis.leaderboard.rows import counts_file, drives_of, read_row
from mmseg_dg.evaluation.confusion import scores
from mmseg_dg.evaluation.drives import (
    DriveMetric,
    Drives,
    _resampled,
    bootstrap_difference,
    read_counts,
    write_counts,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = '''
train_cfg = dict(max_iters=40, val_interval=10)
train_dataloader = dict(source=dict(batch_size=4, dataset=dict(type='A')), {more})
val_dataloader = dict(target=dict(dataset=dict(type='FolderDataset', data_prefix=dict({prefix}))))
val_evaluator = dict(type='DriveMetric')
val_cfg = dict(protocols=dict(target=dict(role='target')))
model = dict(beta=0.)
randomness = dict(seed=0)
'''
WIDE = ['train_dataloader.source.batch_size=8']  # as many images as two streams of four
TRAINER = '''
import argparse, pathlib, sys
import numpy as np
parser = argparse.ArgumentParser()
parser.add_argument('config'); parser.add_argument('--work-dir', type=pathlib.Path)
parser.add_argument('--resume', action='store_true'); parser.add_argument('--cfg-options', nargs='+')
parser.add_argument('--device')
args = parser.parse_args()
options = dict(pair.split('=', 1) for pair in args.cfg_options)
seed, beta = int(options['randomness.seed']), float(options.get('model.beta', 0))
with open(args.work_dir.parent.parent / 'calls.txt', 'a') as file:
    file.write(f'{args.work_dir.parent.name} {seed}' + chr(10))
if options.get('model.fails') == str(seed):
    sys.exit(3)
for stamp, iterations in (('a', (10, 20)), ('b', (30, 40))):  # as if it had been interrupted in between
    folder = args.work_dir / stamp
    folder.mkdir(exist_ok=True)
    for n in iterations:
        score = 40 + seed + beta * n / 40
        (folder / f'evaluation_iter_{n}.csv').write_text(
            'domain,images,selects_checkpoint,note,mIoU,mIoU.head,mIoU.tail,IoU.road' + chr(10)
            + f'target,3,no,,{score},60,20,{score}' + chr(10) + f'mean,3,,,{score},,,' + chr(10))
        matrices = np.array([[[50 + int(beta), 50 - int(beta), 0], [40, 60, 0]]] * 3) + np.arange(3)[:, None, None]
        np.savez(folder / f'drives_target_iter_{n}.npz', names=np.array(['a', 'b', 'c']), matrices=matrices,
                 subset=np.array([-1]))
'''


@pytest.fixture
def make(tmp_path):
    """``make(arms=..., ...)`` writes a suite with two configs and the stand-in trainer, and reads it."""
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'trainer.py').write_text(TRAINER)
    target = "target=dict(batch_size=4, dataset=dict(type='A'))"
    masks = "img_path='a', seg_map_path='b'"
    (tmp_path / 'configs' / 'one.py').write_text(CONFIG.format(more='', prefix=masks))
    (tmp_path / 'configs' / 'two.py').write_text(CONFIG.format(more=target, prefix=masks))
    (tmp_path / 'configs' / 'bare.py').write_text(CONFIG.format(more='', prefix="img_path='a'"))

    def build(**changes):
        arms = dict(
            lower=dict(config='configs/one.py', options=WIDE, cpu_seconds=7200),
            upper=dict(config='configs/one.py', control='lower',
                       options=[*WIDE, 'model.beta=20'], cpu_seconds=3600),
            ours=dict(config='configs/two.py', control='lower', options=['model.beta=8']))
        data = dict(title='Tiny', score='target/mIoU', lower='lower', upper='upper', seeds=[0, 1],
                    seconds_per_image=0.01, arms=arms)
        for name, change in changes.pop('arms', {}).items():
            arms[name] = {k: v for k, v in {**arms.get(name, {}), **change}.items() if v is not None}
        data.update(changes)
        path = tmp_path / 'tiny.yml'
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return read_suite(path)

    return build


def board(suite, tmp_path, name='out'):
    return Leaderboard(suite, tmp_path / name, tmp_path / 'trainer.py', gpus=0)


def calls(tmp_path, name='out'):
    return (tmp_path / name / 'runs' / 'calls.txt').read_text().splitlines()


# ---------------------------------------------------------------- what is refused
def test_budgets_count_the_images_of_all_streams(make):
    suite = make()
    assert [(arm.name, arm.steps, arm.images_per_step, arm.budget) for arm in suite.arms] == [
        ('lower', 40, 8, 320), ('upper', 40, 8, 320), ('ours', 40, 8, 320)]
    with pytest.raises(ValueError, match='unequal budgets.*\n.*lower: 40 steps x 8.*\n.*\n.*ours: 80 steps x 8'):
        make(arms=dict(ours=dict(options=['train_cfg.max_iters=80'])))
    with pytest.raises(ValueError, match='40 steps x 8 images \\+ 160 before = 480'):
        make(arms=dict(ours=dict(images_before=160, why_images_before='its decoder was pretrained')))
    paid = make(arms=dict(ours=dict(images_before=160, why_images_before='pretraining', options=[
        'train_cfg.max_iters=20', 'train_cfg.val_interval=5'])))
    assert paid.arm('ours').budget == 320
    assert make(arms=dict(ours=dict(options=['train_cfg.accumulate=2', 'train_cfg.max_iters=20',
                                             'train_cfg.val_interval=5']))).arm('ours').images_per_step == 16


@pytest.mark.parametrize('changes, error, words', [
    (dict(arms=dict(ours=dict(config='configs/tow.py'))), FileNotFoundError, "arm 'ours'.*did you mean .*two.py"),
    (dict(arms=dict(ours=dict(config='configs/bare.py', options=WIDE))), ValueError,
     "score 'target/mIoU' needs labels, but the domain 'target' has none"),
    (dict(score='mean/mIoU', arms={name: dict(config='configs/bare.py', options=WIDE)
                                   for name in ('lower', 'upper', 'ours')}), ValueError, 'none of the domains'),
    (dict(arms=dict(ours=dict(control=None))), ValueError, "arm 'ours' has no control"),
    (dict(arms=dict(ours=dict(control='theirs'))), ValueError, 'is no other arm'),
    (dict(upper='oracle'), ValueError, "control 'oracle' is no arm"),
    (dict(score='city/mIoU'), ValueError, 'of no validation domain'),
    (dict(seeds=[0, 0]), ValueError, 'different numbers'),
    (dict(arms=dict(ours=dict(options=['train_cfg.val_interval=20']))), ValueError, 'evaluates 2 times'),
    (dict(arms=dict(ours=dict(options=['beta']))), ValueError, 'KEY=VALUE'),
    (dict(arms=dict(ours=dict(confg='x'))), ValueError, "unknown keys \\['confg'\\]"),
    (dict(arms=dict(ours=dict(images_before=5))), ValueError, 'why_images_before'),
    (dict(seedz=[1]), ValueError, 'seedz')])
def test_what_is_refused_before_anything_runs(make, changes, error, words):
    with pytest.raises(error, match=words):
        make(**changes)


def test_a_missing_suite_and_one_that_is_no_mapping(tmp_path):
    with pytest.raises(FileNotFoundError, match='no suite'):
        read_suite(tmp_path / 'none.yml')
    (tmp_path / 'bad.yml').write_text('- 1')
    with pytest.raises(ValueError, match='YAML mapping'):
        read_suite(tmp_path / 'bad.yml')


def test_methods_times_encoders(make):
    suite = make(encoders=dict(small=None, large=dict(options=['model.depth=9'])),
                 arms=dict(ours=dict(encoders=['small'])))
    assert [arm.name for arm in suite.arms] == [
        'lower-small', 'lower-large', 'upper-small', 'upper-large', 'ours-small']
    assert suite.arm('upper-large').control == 'lower-large' and suite.arm('upper-large').cfg.model.depth == 9
    assert suite.controls('large') == ['lower-large', 'upper-large']


def test_an_arm_may_be_a_row_of_its_config(make, tmp_path):
    (tmp_path / 'configs' / 'ablations.yml').write_text(
        'two:\n  status: not run\n  paper: none\n  score: none\n  rows:\n'
        '    strong: {what: a stronger one, overrides: {model.beta: 16.}}\n')
    suite = make(arms=dict(ours=dict(row='strong', options=['model.alpha=1'])))
    assert suite.arm('ours').cfg.model.beta == 16
    mine = board(suite, tmp_path)
    run, = [p for p in mine.plan() if p.arm.name == 'ours' and p.run.seed == 1]
    assert run.run.folder == suite.arm('ours').work_dir(mine.folder, 1)
    assert '--row' in run.study.command(run.run) and ' --row strong ' in mine._command(run.study, run.run)
    with pytest.raises(ValueError, match='strog'):
        make(arms=dict(ours=dict(row='strog')))


def test_each_seed_may_have_labels_of_its_own(make, tmp_path):
    for name in ('one', 'two'):
        path = tmp_path / 'configs' / f'{name}.py'
        path.write_text(path.read_text().replace('source=', 'labeled='))
    wide = ['train_dataloader.labeled.batch_size=8']
    suite = make(arms=dict(lower=dict(options=wide, subset='1_8_seed{seed}'), upper=dict(options=wide)))
    mine = board(suite, tmp_path)
    assert suite.arm('lower').cfg.train_dataloader.labeled.dataset.ann_file.endswith('1_8_seed0/labeled.txt')
    runs = {p.run.seed: p for p in mine.plan() if p.arm.name == 'lower'}
    for seed, planned in runs.items():
        assert planned.run.folder == suite.arm('lower').work_dir(mine.folder, seed)
        assert f' --subset 1_8_seed{seed} ' in mine._command(planned.study, planned.run)
        assert f'--subset 1_8_seed{seed} ' in ' '.join(planned.study.command(planned.run))
    assert len({planned.study.fingerprint_of(planned.run) for planned in runs.values()}) == 2


# ---------------------------------------------------------------- running
def test_cheapest_first_and_planned_hours(make, tmp_path, capfd):
    mine = board(make(), tmp_path)
    assert 'ours: 2 runs of 0.001 CPU-hours (estimated from its images)' in mine.plan_text()
    assert 'planned: 6.00 CPU-hours' in mine.plan_text()
    assert 'upper: 2 runs of 1.000 CPU-hours (measured)' in mine.plan_text()
    assert mine.execute() == []
    assert calls(tmp_path) == ['ours 0', 'ours 1', 'upper 0', 'upper 1', 'lower 0', 'lower 1']
    assert 'planned: 6.00 CPU-hours' in capfd.readouterr().out
    assert mine.plan() == [] and mine.execute() == [] and len(calls(tmp_path)) == 6


def test_rows_and_page(make, tmp_path):
    mine = board(make(), tmp_path)
    mine.execute()
    row = json.loads((mine.rows / 'ours_seed1.json').read_text())
    assert row['last_three'] == pytest.approx(41 + 8 * (20 + 30 + 40) / 120) and row['last'] == 49
    assert (row['best_on_validation'], row['best_iteration']) == (49, 40) and row['rise_in_last_quarter'] == 2
    assert row['groups'] == dict(head=60, middle=None, tail=20) and row['metrics']['target/IoU.road'] > 40
    assert row['budget'] == dict(steps=40, images_per_step=8, images_before=0, images=320)
    assert row['command'].startswith('python tools/train.py configs/two.py --work-dir runs/ours/seed1 --device cpu')
    assert row['cpu_seconds'] > 0 and row['cpu_seconds_complete'] and row['versions']['torch']
    text = (mine.folder / 'leaderboard.md').read_text()
    lines = [line for line in text.splitlines() if line.startswith('| ')]
    assert [line.split(' | ')[0] for line in lines[:5]] == ['| arm', '| ---', '| upper', '| ours', '| lower']
    ours = lines[3].split(' | ')
    assert ours[2] == '46.50 ± 0.71' and ours[5] == '+6.00 ± 0.00 (2)' and ours[7] == 'gain'
    assert ours[8] == 'rises +2.00' and ours[9].startswith('48.50') and lines[4].split(' | ')[8] == ''
    assert row['encoder_note'] == 'no checkpoint is left' and ours[10:] == ['-', '-', '- |']
    page = (mine.folder / 'leaderboard.html').read_text()
    assert '<td>46.50 ± 0.71</td>' in page and 'http' not in page.replace('https://', '')
    assert '| ours | 1 |' in (mine.folder / 'costs.md').read_text()

    for key in ('encoder_distance', 'probe', 'probe_of_start', 'encoder_note'):  # as an earlier version wrote it
        del row[key]
    (mine.rows / 'ours_seed1.json').write_text(json.dumps(dict(row, commit='earlier')))
    mine.write()
    mended = json.loads((mine.rows / 'ours_seed1.json').read_text())
    assert mended == dict(row, commit='earlier', encoder_distance=None, probe=None, probe_of_start=None,
                          encoder_note='no checkpoint is left')


@pytest.mark.ci
def test_an_interrupted_suite_gives_the_same_page(make, tmp_path):
    whole = board(make(), tmp_path, 'whole')
    whole.execute()
    broken = board(make(arms=dict(ours=dict(options=['model.beta=8', 'model.fails=1']))), tmp_path, 'broken')
    assert [run.seed for run in broken.execute()] == [1]
    assert '5 of 6 runs are finished' in (broken.folder / 'leaderboard.md').read_text()
    mended = board(make(), tmp_path, 'mended')
    mended.plan()[0].study.train(mended.plan()[0].run)  # one run, and then the power is gone: it has no row
    assert mended.execute() == []
    for name in ('leaderboard.md', 'leaderboard.html'):
        assert (mended.folder / name).read_text() == (whole.folder / name).read_text()
    assert len(calls(tmp_path, 'mended')) == 6
    (mended.rows / 'ours_seed0.json').write_text('{')  # a damaged row is made again
    mended.write()
    assert read_row(mended.rows / 'ours_seed0.json')[0]['seed'] == 0


def test_rows_of_another_machine_are_taken_over(make, tmp_path, capfd):
    first = board(make(seeds=[0]), tmp_path, 'first')
    first.execute()
    whole = board(make(), tmp_path, 'whole')
    whole.execute()
    capfd.readouterr()
    second = Leaderboard(make(), tmp_path / 'second', tmp_path / 'trainer.py', gpus=0, earlier=first.rows)
    assert '3 of 6 runs are finished' in second.plan_text() and not second.rows.exists(), 'asking writes nothing'
    second.execute()
    assert sorted(calls(tmp_path, 'second')) == ['lower 1', 'ours 1', 'upper 1']
    text = (second.folder / 'leaderboard.md').read_text()
    ours = next(line for line in text.splitlines() if line.startswith('| ours')).split(' | ')
    assert ' to ' in ours[6], 'counts by drive come with the rows'
    made_with = '## Made with'
    assert text.split(made_with)[0] == (whole.folder / 'leaderboard.md').read_text().split(made_with)[0]
    assert len(list(second.rows.glob('*_drives.npz'))) == 6

    shutil.rmtree(second.folder / 'runs')  # a row says that its run has ended
    again = board(make(), tmp_path, 'second')
    assert again.plan() == [] and again.execute() == []
    assert (again.folder / 'leaderboard.md').read_text() == text
    (again.rows / 'ours_seed0.json').write_text('{')  # mended from the other machine's
    Leaderboard(make(), tmp_path / 'second', tmp_path / 'trainer.py', 0, first.rows).write()
    assert (again.folder / 'leaderboard.md').read_text() == text and again.plan() == []
    counts = counts_file(again.rows / 'ours_seed0.json')
    whole_bytes = counts.read_bytes()
    flipped = bytearray(whole_bytes)
    flipped[len(flipped) // 2] ^= 1
    for damage in (whole_bytes[:100], b'', b'version https://git-lfs.github.com/spec/v1', bytes(flipped)):
        counts.write_bytes(damage)
        with pytest.raises(ValueError, match='ours_seed0_drives.npz is damaged') as caught:
            again.write()
        assert 'pickle' not in str(caught.value)


def test_own_results_come_before_those_of_others(make, tmp_path):
    """A run that has ended here, but has no row yet, is noted; another machine's row does not replace it."""
    first = board(make(seeds=[0]), tmp_path, 'first')
    first.execute()
    other = json.loads((first.rows / 'ours_seed0.json').read_text())
    shifted = {n: {key: value + 9 for key, value in found.items()} for n, found in other['evaluations'].items()}
    (first.rows / 'ours_seed0.json').write_text(json.dumps(dict(
        other, last_three=other['last_three'] + 9, evaluations=shifted,
        curve={n: value + 9 for n, value in other['curve'].items()})))
    mine = board(make(seeds=[0]), tmp_path, 'mine')
    run = next(planned for planned in mine.plan() if planned.arm.name == 'ours')
    run.study.train(run.run)  # and the power is gone
    mine = Leaderboard(make(seeds=[0]), tmp_path / 'mine', tmp_path / 'trainer.py', 0, first.rows)
    mine.execute()
    assert json.loads((mine.rows / 'ours_seed0.json').read_text())['last_three'] == other['last_three']


def test_counts_belong_to_their_row(make, tmp_path):
    mine = board(make(seeds=[0]), tmp_path)
    mine.execute()
    row, text = mine.rows / 'ours_seed0.json', (mine.folder / 'leaderboard.md').read_text()
    counts_file(row).unlink()
    mine.write()
    assert counts_file(row).exists() and (mine.folder / 'leaderboard.md').read_text() == text
    for path in mine.folder.glob('runs/ours/*/*/drives_*.npz'):  # another run, whose evaluator counts no drives
        path.unlink()
    row.unlink()
    mine.write()
    assert row.exists() and not counts_file(row).exists()


def test_another_score_is_read_from_the_runs_or_refused(make, tmp_path):
    mine = board(make(seeds=[0]), tmp_path)
    mine.execute()
    other = board(make(seeds=[0], score='target/IoU.road'), tmp_path)
    other.write()
    row = json.loads((mine.rows / 'ours_seed0.json').read_text())
    assert row['score'] == 'target/IoU.road' and row['last_three'] == pytest.approx(row['metrics']['target/IoU.road'])
    shutil.rmtree(mine.folder / 'runs')
    words = 'score was target/IoU.road, is target/mIoU.*delete that file and .*_drives.npz'
    with pytest.raises(ValueError, match=words):
        board(make(seeds=[0]), tmp_path).write()
    changed = make(seeds=[0], arms=dict(ours=dict(options=['model.beta=9'])))
    mine = board(make(seeds=[0]), tmp_path, 'third')
    mine.execute()
    with pytest.raises(ValueError, match='holds a run with other settings'):
        board(changed, tmp_path, 'third').write()  # pages alone


def test_rows_of_other_settings_are_not_taken_over(make, tmp_path):
    first = board(make(seeds=[0]), tmp_path, 'first')
    first.execute()
    changed = dict(ours=dict(options=['model.beta=9']))
    second = Leaderboard(make(arms=changed, seeds=[0]), tmp_path / 'second', tmp_path / 'trainer.py', 0, first.rows)
    assert [planned.arm.name for planned in second.plan()] == ['ours']
    (first.rows / 'extra.json').write_text((first.rows / 'lower_seed0.json').read_text())
    (first.rows / 'other_seed0.json').write_text(json.dumps(dict(json.loads(
        (first.rows / 'lower_seed0.json').read_text()), arm='other')))
    (first.rows / 'next_seed0.json').write_text(json.dumps(dict(arm='next', schema=7, last_three=1)))
    plan = second.plan_text()
    assert "ours_seed0.json (options was ['model.beta=8'], is ['model.beta=9'])" in plan
    assert 'extra.json (a row of lower, seed 0 is called lower_seed0.json)' in plan
    assert 'other_seed0.json (arm other, seed 0 is no run of the suite)' in plan
    assert 'next_seed0.json (schema 7, this version reads 1)' in plan
    second.execute()
    assert calls(tmp_path, 'second') == ['ours 0']
    (tmp_path / 'configs' / 'two.py').write_text((tmp_path / 'configs' / 'two.py').read_text() + 'more = 1\n')
    shutil.rmtree(second.folder / 'runs')
    with pytest.raises(ValueError, match='ours_seed0.json is of a run with other settings .fingerprint was two.py'):
        board(make(arms=changed, seeds=[0]), tmp_path, 'second').plan()
    with pytest.raises(FileNotFoundError, match='--rows .*nowhere: there is no such folder'):
        Leaderboard(make(), tmp_path / 'third', tmp_path / 'trainer.py', 0, tmp_path / 'nowhere')


def test_rows_of_an_earlier_version_get_what_they_lack(make, tmp_path):
    mine = board(make(seeds=[0]), tmp_path)
    mine.execute()
    path = mine.rows / 'ours_seed0.json'
    row = json.loads(path.read_text())
    assert row['evaluations']['10']['target/mIoU'] == 42 and sorted(row['evaluations']) == ['10', '20', '30', '40']
    path.write_text(json.dumps({key: value for key, value in dict(row, commit='old').items() if key != 'evaluations'}))
    counts_file(path).unlink()
    mine.write()
    assert json.loads(path.read_text()) == dict(row, commit='old') and counts_file(path).exists()


def test_close_controls_are_not_published(make, tmp_path):
    suite = make(arms=dict(upper=dict(options=[*WIDE, 'model.beta=4'])))
    mine = board(suite, tmp_path)
    mine.execute()
    text = (mine.folder / 'leaderboard.md').read_text()
    assert 'Not published: the upper control upper is 3.00 points better than the lower' in text
    assert '| ours' not in text
    assert len(list(mine.rows.glob('*.json'))) == 6


def test_a_run_without_a_score_does_not_stop_the_suite(make, tmp_path):
    trainer = tmp_path / 'trainer.py'
    trainer.write_text(trainer.read_text().replace(
        'score = 40', "score = float('nan') if n == 30 and beta == 8 and not seed else 40"))
    mine = board(make(), tmp_path)
    assert [run.seed for run in mine.execute()] == [0] and len(calls(tmp_path)) == 6
    assert '5 of 6 runs are finished' in (mine.folder / 'leaderboard.md').read_text()


def test_no_ranking_without_both_controls(make, tmp_path):
    mine = board(make(), tmp_path)
    for planned in mine.plan()[:2]:
        planned.study.train(planned.run)
    mine.write()
    assert 'there is no run of the control lower and upper' in (mine.folder / 'leaderboard.md').read_text()


def test_a_killed_attempt_is_known_to_be_missing_from_the_cost(tmp_path):
    cost = tmp_path / 'run' / 'cpu_seconds.json'
    with measured_cost(cost):
        subprocess.run([sys.executable, '-c', 'sum(range(3_000_000))'], check=True)
    first = json.loads(cost.read_text())
    assert first['seconds'] > 0 and first['started'] == first['measured'] == 1
    measured_cost(cost).__enter__()  # and the process is gone
    with measured_cost(cost):
        pass
    record = json.loads(cost.read_text())
    assert record['started'] == 3 and record['measured'] == 2 and record['seconds'] >= first['seconds']


def test_cells_of_the_encoder():
    rows = {0: dict(encoder_distance=0.1, probe=40., probe_of_start=35.),
            1: dict(encoder_distance=0.2, probe=None, probe_of_start=36.), 2: {}}
    assert encoder_cells(rows) == ['15.00', '40.00', '35.50'] and encoder_cells({0: {}}) == ['-', '-', '-']


# ---------------------------------------------------------------- judgment
def curve(*scores):
    return {10 * (n + 1): {'t/mIoU': score} for n, score in enumerate(scores)}


def test_scores_of_a_run_by_hand():
    assert last_three(curve(1, 2, 6, 10), 't/mIoU') == 6 and last_three(curve(4, math.nan, 6), 't/mIoU') == 5
    assert math.isnan(last_three(curve(), 't/mIoU')) and math.isnan(last_three(curve(1), 'x'))
    assert best(curve(1, 9, 9, 2), 't/mIoU') == (9, 20)
    assert rise(curve(1, 2, 6, 8.5), 't/mIoU', 40) == 2.5  # against iteration 30
    assert math.isnan(rise(curve(1), 't/mIoU', 10))


def test_paired_gains_by_hand():
    gain = paired_gain({0: 50, 1: 52, 2: 54}, {0: 48, 1: 49, 2: 50})  # differences 2, 3, 4
    assert gain.mean == 3 and gain.pairs == 3 and gain.half == pytest.approx(4.303 / math.sqrt(3))
    assert gain.verdict == 'gain'
    assert paired_gain({0: 50, 1: 52, 2: 54}, {0: 48, 1: 49, 2: 50}, (-0.1, 5)).verdict == 'level'
    assert paired_gain({0: 48, 1: 49, 2: 50}, {0: 50, 1: 52, 2: 54}, (-5, -1)).verdict == 'loss'
    assert paired_gain({0: 50, 1: 40}, {0: 48, 1: 41}).verdict == 'level'
    assert paired_gain({0: 50}, {0: 30}).verdict == 'one seed'
    assert paired_gain({0: 50}, {1: 30}) is None
    assert half_interval([1.]) is None and half_interval(list(range(40))) == pytest.approx(
        1.96 * np.std(range(40), ddof=1) / math.sqrt(40))


def drives(*hits):
    """Each drive has 100 pixels of each of two classes, ``hits`` of them right."""
    return Drives(tuple(f'd{i}' for i in range(len(hits))),
                  np.array([[[h, 100 - h, 0], [100 - h, h, 0]] for h in hits]))


def test_bootstrap_over_drives():
    # every drive gains alike: 60 of 100 right is IoU 60 / 140, 80 is 80 / 120; no sample differs
    low, high = bootstrap_difference([{'t': [drives(80, 80, 80)]}], [{'t': [drives(60, 60, 60)]}])
    assert low == pytest.approx(high) == pytest.approx(100 * (80 / 120 - 60 / 140))
    # all of the gain is in one of four drives: some samples do not have it
    ours, theirs = [{'t': [drives(90, 60, 60, 60)]}], [{'t': [drives(60, 60, 60, 60)]}]
    low, high = bootstrap_difference(ours, theirs)
    assert low == 0 < high and bootstrap_difference(ours, theirs) == (low, high)  # seeded
    assert bootstrap_difference([{'t': [drives(80)]}], [{'t': [drives(60)]}]) is None  # one drive
    assert bootstrap_difference(ours, [{'t': [drives(60, 60)]}]) is None and bootstrap_difference([], []) is None


@pytest.mark.parametrize('subset', [None, (0, 2)])
def test_resampled_scores_are_those_of_the_metric(subset):
    rng = np.random.RandomState(0)
    matrices = rng.randint(0, 9, (4, 3, 4))
    matrices[:, 2], matrices[:, :, 2] = 0, 0  # a class that is nowhere
    draws = rng.randint(0, 3, (5, 4))
    expected = [scores(sum(n * m for n, m in zip(draw, matrices)), subset).miou for draw in draws]
    found = _resampled(Drives(tuple('abcd'), matrices, subset), draws)
    assert found == pytest.approx(expected)


def test_counts_by_drive(tmp_path):
    import torch
    runner = type('R', (), dict(log_dir=str(tmp_path / 'run' / 'stamp'), _train_loop=None))()

    def sample(path, prediction, label):
        return dict(pred_sem_seg=dict(data=torch.tensor([[prediction]])), img_path=path,
                    gt_sem_seg=dict(data=torch.tensor([[label]])))

    metric = DriveMetric(drive=r'/(\w+?)_\d+')
    metric.dataset_meta = dict(classes=('a', 'b', 'c'))
    metric.use_run(runner, None, 'city')
    metric.process(None, [sample('x/s1_1.png', [0, 1], [0, 0]), sample('x/s2_1.png', [2, 2], [2, 1])])
    metric.process(None, [sample('x/s1_2.png', [1, 0], [1, 0])])
    found = metric.evaluate(3)
    assert found['aAcc'] == pytest.approx(100 * 4 / 6) and 'mIoU.tail' in found
    assert metric.drives.names == ('s1', 's2')
    assert metric.drives.matrices.sum(0).tolist() == metric.confusion.tolist()
    assert metric.drives.matrices[0].diagonal().tolist() == [2, 1, 0]
    stored = drives_of(tmp_path / 'run')
    assert list(stored) == ['city'] and np.array_equal(stored['city'][0].matrices, metric.drives.matrices)
    with pytest.raises(ValueError, match='does not match'):
        metric.process(None, [sample('x/none.png', [0], [0])])
    for wrong in ('(', 'abc'):
        with pytest.raises(ValueError, match='drive='):
            DriveMetric(drive=wrong)
    every = DriveMetric()
    every.dataset_meta = metric.dataset_meta
    every.process(None, [sample('x/s1_1.png', [0], [0]), sample('x/s1_2.png', [0], [0])])
    every.evaluate(2)
    assert every.drives.names == ('s1_1.png', 's1_2.png')
    for root in ('/data/x', '/elsewhere'):  # equal names in two folders are two images, wherever the data lie
        every.process(None, [sample(f'{root}/seq1/0001.png', [0], [0]), sample(f'{root}/seq2/0001.png', [1], [0])])
        every.evaluate(2)
        assert every.drives.names == ('seq1/0001.png', 'seq2/0001.png')


def test_counts_of_several_evaluations_in_one_file(tmp_path):
    several = {'a': [Drives((f'x{i}', 'y'), np.full((2, 2, 3), i), (0, 2) if i else None) for i in range(11)],
               'b/c.d': [Drives(('z', ), np.ones((1, 2, 3), np.int64))]}
    write_counts(tmp_path / 'counts.npz', several)
    back = read_counts(tmp_path / 'counts.npz')
    assert list(back) == ['a', 'b/c.d'] and len(back['a']) == 11  # 10 comes after 9
    for domain, evaluations in several.items():
        for ours, theirs in zip(back[domain], evaluations):
            assert ours.names == theirs.names and ours.subset == theirs.subset
            assert np.array_equal(ours.matrices, theirs.matrices)
    first = (tmp_path / 'counts.npz').read_bytes()
    write_counts(tmp_path / 'counts.npz', several)
    assert (tmp_path / 'counts.npz').read_bytes() == first, 'the same counts are the same bytes'
    assert read_counts(tmp_path / 'none.npz') == {}


# ---------------------------------------------------------------- suites of the package
SUITES = sorted(path.stem for path in (ROOT / 'configs' / 'suites').glob('*.yml')
                if path.name not in ('ablations.yml', 'metafile.yml'))


_file2dict = Config._file2dict


@functools.cache
def _parse(*args, **kwargs):
    return _file2dict(*args, **kwargs)


@pytest.fixture
def parsed_once(monkeypatch):
    """Arms of all suites share their bases: each file is parsed once."""
    monkeypatch.setattr(Config, '_file2dict',
                        staticmethod(lambda *args, **kwargs: copy.deepcopy(_parse(*args, **kwargs))))


@pytest.mark.parametrize('name', SUITES)
def test_every_suite_that_ships_can_be_read(name, tmp_path, parsed_once):
    """Its arms' configs exist, their budgets are equal, and the runs can be planned."""
    suite = read_suite(ROOT / 'configs' / 'suites' / f'{name}.yml')
    text = Leaderboard(suite, tmp_path, ROOT / 'tools' / 'train.py', gpus=0).plan_text()
    assert f'0 of {len(suite.arms) * len(suite.seeds)} runs are finished' in text and 'CPU-hours' in text
    for arm in suite.arms:
        assert arm.budget > 0 and arm.steps // arm.cfg.train_cfg.val_interval >= 4
        assert 'DriveMetric' in str(arm.cfg.val_evaluator), 'intervals over drives need it'


@pytest.mark.parametrize('name, budget', [('city_uda', 4800), ('city_dg', 8000), ('city_semi', 6000)])
def test_suites_of_the_city_need_nothing_from_outside(name, budget):
    suite = read_suite(ROOT / 'configs' / 'suites' / f'{name}.yml')
    assert {arm.budget for arm in suite.arms} == {budget} and len(suite.seeds) == 3
    for arm in suite.arms:
        assert arm.cfg.val_evaluator.type == 'DriveMetric' and arm.steps // arm.cfg.train_cfg.val_interval == 10
        assert '../shared' not in str(arm.cfg.train_dataloader) + str(arm.cfg.val_dataloader)
        weights = arm.cfg.get('load_from') or arm.cfg.model.network.backbone.init_cfg.checkpoint
        assert weights == 'mmseg_dg://city_day_mobilenetv2'


# ---------------------------------------------------------------- real trainings
@pytest.mark.ci
def test_a_killed_training_continued_gives_the_same_page(tiny_config, tmp_path, monkeypatch):
    """``tools/leaderboard.py`` and all its processes are killed in the middle of a real training, and started again.

    The lower control is a stand-in: it costs no import of the libraries.
    """
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'trainer.py').write_text(
        "import os, sys\nif 'upper.py' in sys.argv[1]:\n"
        f"    os.execv(sys.executable, [sys.executable, {str(ROOT / 'tools' / 'train.py')!r}, *sys.argv[1:]])\n"
        + TRAINER.replace('(10, 20)', '(1, 2)').replace('(30, 40)', '(3, 4)'))
    lower = CONFIG.format(more='', prefix="img_path='a', seg_map_path='b'")
    lower = lower.replace('max_iters=40, val_interval=10', 'max_iters=4, val_interval=1')
    (tmp_path / 'configs' / 'lower.py').write_text(lower)
    cfg = tiny_config('DACS', max_iters=4, val_interval=1)
    cfg.val_evaluator, cfg.default_hooks.checkpoint.interval = dict(type='DriveMetric'), 1
    cfg.pop('work_dir')
    cfg.dump(tmp_path / 'configs' / 'upper.py')
    arms = dict(lower=dict(config='configs/lower.py'),
                upper=dict(config='configs/upper.py', control='lower', cpu_seconds=1e6))
    (tmp_path / 'tiny.yml').write_text(yaml.safe_dump(dict(
        title='Tiny', score='target/mIoU', lower='lower', upper='upper', seeds=[0], ranked=False, arms=arms)))
    suite = read_suite(tmp_path / 'tiny.yml')
    assert board(suite, tmp_path, 'whole').execute() == []

    run = tmp_path / 'killed' / 'runs' / 'upper' / 'seed0'
    command = [sys.executable, ROOT / 'tools' / 'leaderboard.py', tmp_path / 'tiny.yml', '--out', tmp_path / 'killed',
               '--train-script', tmp_path / 'trainer.py']
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 400
    while not (run / 'iter_2.pth').exists():
        assert process.poll() is None and time.monotonic() < until, 'it ended before it could be killed'
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run / 'finished.json').exists() and not (run / 'iter_4.pth').exists()

    assert board(suite, tmp_path, 'killed').execute() == []
    assert len([path for path in run.iterdir() if path.is_dir()]) == 2 and (run / 'iter_4.pth').exists()
    for name in ('leaderboard.md', 'leaderboard.html'):
        assert (tmp_path / 'killed' / name).read_text() == (tmp_path / 'whole' / name).read_text()
    row, whole = (json.loads((tmp_path / name / 'rows' / 'upper_seed0.json').read_text())
                  for name in ('killed', 'whole'))
    assert row['curve'] == whole['curve'] and sorted(row['curve']) == ['1', '2', '3', '4']
    assert row['metrics'] == whole['metrics'] and row['command'] == whole['command']
    assert not row['cpu_seconds_complete'] and whole['cpu_seconds_complete']
    assert row['encoder_note'] == 'the encoder began at random' and row['probe'] == whole['probe'] > 0
    counts = drives_of(run)['target']
    assert len(counts) == 3 and len(counts[0].names) > 1
