"""Leaderboards: what is refused, and what is not called a gain; by hand numbers, without a training."""
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from mmengine.config import Config

from mmseg_dg.apis.leaderboard import Leaderboard, read_suite
from mmseg_dg.apis.leaderboard.judgment import best, paired_gain
from mmseg_dg.apis.leaderboard.page import page_blocks
from mmseg_dg.apis.leaderboard.rows import (
    NoScore,
    counts_file,
    drives_of,
    evaluations_of,
    make_row,
    read_row,
    row_file,
    score_fields,
    write_row,
    wrong_in,
)
from mmseg_dg.apis.leaderboard.scores import check_score, scored_domains
from mmseg_dg.evaluation.drives import Drives, bootstrap_difference, not_comparable, write_counts

ROOT = Path(__file__).resolve().parents[2]
CONFIG = '''
train_cfg = dict(max_iters=40, val_interval=10)
train_dataloader = dict(source=dict(batch_size=4, dataset=dict(type='A')))
val_dataloader = dict(
    target=dict(dataset=dict(type='FolderDataset', data_prefix=dict(img_path='a', seg_map_path='b'))),
    night=dict(dataset=dict(type='FolderDataset', data_prefix=dict(img_path='a'))))
val_evaluator = dict(target=[dict(type='DriveMetric'), dict(type='LabelFreeMetric', flip=False)],
                     night=dict(type='LabelFreeMetric'))
model = dict(beta=0.)
'''
ARMS = dict(lower=dict(config='one.py'), upper=dict(config='one.py', control='lower', options=['model.beta=20']),
            ours=dict(config='one.py', control='lower', options=['model.beta=8']))
SUITE = dict(title='Tiny', score='target/mIoU', lower='lower', upper='upper', seeds=[0, 1], arms=ARMS)


@pytest.fixture
def make(tmp_path):
    """``make(**changes)`` writes the suite with other values (of arms: ``arm__key=value``), and reads it."""
    (tmp_path / 'one.py').write_text(CONFIG)

    def build(**changes):
        data = json.loads(json.dumps(SUITE))
        for name, value in changes.items():
            arm, _, key = name.rpartition('__')
            (data['arms'].setdefault(arm, {}) if arm else data)[key] = value
        (tmp_path / 'tiny.yml').write_text(yaml.safe_dump(data, sort_keys=False))
        return read_suite(tmp_path / 'tiny.yml')

    return build


def filled(suite, folder, scores, drives=None, key='target/mIoU'):
    """A leaderboard whose rows have these scores, ``{arm: (of seed 0, of seed 1)}``, and counts by drive where
    ``drives`` has the arm: the right ones of 100 pixels of each drive."""
    board = Leaderboard(suite, folder, Path('train.py'), gpus=0)
    for arm in suite.arms:
        for run, score in zip(board.studies[arm.name].runs(), scores.get(arm.name, ())):
            curve = {str(n): score for n in (10, 20, 30, 40)}
            path = row_file(board.rows, arm.name, run.seed)
            write_row(path, dict(
                arm=arm.name, seed=run.seed, control=arm.control, options=arm.options, score=key, last_three=score,
                curve=curve, evaluations={n: {key: score} for n in curve}, metrics={key: score}, commit='abc',
                best_on_validation=score, rise_in_last_quarter=0., cpu_seconds=1., cpu_seconds_complete=True,
                fingerprint=board.studies[arm.name].fingerprint_of(run), versions=dict(torch='1')))
            if drives and arm.name in drives:
                hits = drives[arm.name]
                counts = Drives(tuple(f'd{i}' for i in range(len(hits))),
                                np.array([[[h, 100 - h, 0], [100 - h, h, 0]] for h in hits]))
                write_counts(counts_file(path), {'target': [counts] * 3})
    return board


def page(board):
    board.write()
    return (board.folder / 'leaderboard.md').read_text()


def cells(text, arm):
    return next(line for line in text.splitlines() if line.startswith(f'| {arm} |')).strip('| ').split(' | ')


# ---------------------------------------------------------------- what is refused
@pytest.mark.parametrize('changes, words', [
    (dict(encoders=dict(small={}, large=dict(option=['a.b=9']))), r"encoder 'large': unknown keys \['option'\]"),
    (dict(encoders=['small', 'large']), 'encoders must be a mapping'),
    (dict(encoders=dict(small={}, large={}), ours__encoders=['smal']), r"arm 'ours': encoders \['smal'\] are none"),
    (dict(encoders=dict(small={}, large={}), upper__encoders=['small']), "encoder 'large' has no control upper"),
    (dict(ours__control='b', b__config='one.py', b__control='ours'), 'controls in a circle: ours -> b -> ours'),
    (dict(lower__control='ours'), 'controls in a circle: lower -> ours -> lower'),
    (dict(upper='lower'), "lower and upper are both 'lower'"),
    (dict(seeds=[0.2, 1.7]), r'seeds=\[0.2, 1.7\] must be a list of integers'),
    (dict(seeds=3), 'seeds=3 must be a list'), (dict(seeds=None), 'seeds=None must be a list'),
    (dict(arms=['ours']), 'arms must be a mapping'),
    (dict(arms=dict(ARMS, ours=None)), "arm 'ours' is None; it needs config: FILE"),
    (dict(options='a=1'), "options are a list of KEY=VALUE, got 'a=1'"),
    (dict(ours__images_before=-160, ours__why_images_before='x'), 'images_before=-160 must be'),
    (dict(least_spread=-100), 'least_spread=-100 must be above 0.*ranked: false'),
    (dict(ranked='no'), "ranked='no'"),
    (dict(options=['train_cfg.val_begin=40']), r'evaluates 1 times in 40 iterations from 40 on \(val_begin\)'),
    (dict(options=['train_cfg.val_begin=32', 'train_cfg.val_interval=2']), 'first evaluated after 32 of 40'),
    (dict(score='target/mIuO'), r"evaluator of the domain 'target' \(DriveMetric, LabelFreeMetric\) gives no 'mIuO'"),
    (dict(score='target/flip_agreement'), "gives no 'flip_agreement'"),
    (dict(score='target/AURC'), "gives no 'AURC'"),
    (dict(score='mean/mAcc'), "no mean of 'mAcc' over domains"),
    (dict(score='label_free_night/mIoU'), 'of no validation domain')])
def test_what_could_not_be_judged_is_refused(make, changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        make(**changes)
    assert 'tiny.yml' in str(caught.value)


def test_an_arm_is_there_once(make, tmp_path):
    make()
    path = tmp_path / 'tiny.yml'
    path.write_text(path.read_text() + '  ours: {config: one.py, control: lower}\n')
    with pytest.raises(ValueError, match="tiny.yml: line .*: the key 'ours' is there twice"):
        read_suite(path)


@pytest.mark.parametrize('score', ['target/mIoU.tail', 'target/IoU.road', 'night/entropy', 'night/flip_agreement',
                                   'night/teacher_agreement', 'mean/mIoU', 'mean/label_free', 'target/label_free'])
def test_scores_that_an_evaluation_gives(make, score):
    assert make(score=score).score == score


def test_labels_are_asked_of_the_domain_and_not_of_its_name(make):
    cfg = Config(dict(val_dataloader=dict(label_free_night=dict(dataset=dict(type='UnlabeledImageDataset')))))
    with pytest.raises(ValueError, match="needs labels, but the domain 'label_free_night' has none"):
        check_score(cfg, 'label_free_night/mIoU', 'here')
    check_score(cfg, 'label_free_night/entropy', 'here')
    cfg.val_evaluator = dict(type='ConfusionMatrixMetric')
    with pytest.raises(ValueError, match="gives no 'label_free'; add dict.type='LabelFreeMetric'."):
        check_score(cfg, 'label_free_night/label_free', 'here')
    cfg.val_evaluator = dict(type='LabelFreeMetric', prefix='ema')
    check_score(cfg, 'label_free_night/ema/label_free', 'here')
    cfg.val_evaluator = dict(type='SomebodysMetric')  # what it scores is not known
    cfg.val_dataloader.label_free_night.dataset.type = 'A'
    check_score(cfg, 'label_free_night/anything', 'here')


def test_domains_of_a_score(make):
    cfg = make().arms[0].cfg
    assert scored_domains(cfg, 'mean/mIoU') == ['target']  # night has no masks
    assert scored_domains(cfg, 'mean/label_free') == ['target', 'night']
    cfg.val_cfg = dict(protocols=dict(target=dict(role='source')))
    assert scored_domains(cfg, 'mean/label_free') == ['night'] and scored_domains(cfg, 'mean/mIoU') == ['target']
    single = Config(dict(val_dataloader=dict(batch_size=1, num_workers=0, dataset=dict(type='A'))))
    assert scored_domains(single, 'mean/mIoU') == ['val']


# ---------------------------------------------------------------- gains
@pytest.mark.parametrize('drives, cell, verdict', [
    (dict(ours=[90, 90], lower=[60, 60]), ' to ', 'gain'), (dict(ours=[90, 50], lower=[60, 60]), ' to ', 'level'),
    (dict(ours=[90, 90]), 'missing', 'gain (seeds alone)'), (None, 'missing', 'gain (seeds alone)'),
    (dict(ours=[90], lower=[60]), 'missing', 'gain (seeds alone)'),
    (dict(ours=[90, 90, 90], lower=[60, 60]), 'missing', 'gain (seeds alone)')])
def test_without_drives_there_is_no_gain(make, tmp_path, drives, cell, verdict):
    """An absent or foreign file of counts made the verdict more lenient."""
    scores = dict(lower=(40., 41.), upper=(60., 61.), ours=(50., 51.1))
    text = page(filled(make(), tmp_path / 'out', scores, drives))
    line = cells(text, 'ours')
    assert cell in line[6] and line[7] == verdict
    if cell == 'missing':
        why = ('no counts by drive of' if not drives or len(drives) == 1 else 'target has a single drive'
               if len(drives['ours']) == 1 else 'runs differ in the drives of target: d2')
        assert 'It is missing for: upper (no counts by drive of upper_seed0, upper_seed1' in text
        assert f'; ours ({why}' in text


def test_a_suite_that_counts_no_drives_is_judged_by_seeds(make, tmp_path):
    suite = make(options=['val_evaluator.target.0.type=ClassBiasMetric'])
    text = page(filled(suite, tmp_path / 'out', dict(lower=(40., 41.), upper=(60., 61.), ours=(50., 51.1))))
    assert cells(text, 'ours')[6:8] == ['-', 'gain'] and 'missing' not in text


def test_verdicts_by_hand():
    ours, theirs = {0: 50, 1: 52, 2: 54}, {0: 48, 1: 49, 2: 50}
    lacking = paired_gain(ours, theirs, None, 'no counts')
    assert (lacking.verdict, lacking.lacking) == ('gain (seeds alone)', 'no counts')
    assert paired_gain(theirs, ours, None, 'no counts').verdict == 'loss (seeds alone)'
    assert paired_gain({0: 50, 1: 40}, {0: 48, 1: 41}, None, 'no counts').verdict == 'level'
    assert paired_gain({0: 50}, {0: 48}, None, 'no counts').verdict == 'one seed'
    assert paired_gain(ours, theirs, (1., 2.), 'no counts').verdict == 'gain'
    assert paired_gain(ours, theirs, less=True).verdict == 'loss'
    assert paired_gain(theirs, ours, (-3., -1.), less=True).verdict == 'gain'
    curve = {10: {'t/entropy': 3.}, 20: {'t/entropy': 1.}, 30: {'t/entropy': 1.}}
    assert best(curve, 't/entropy', less=True) == (1, 20) and best(curve, 't/entropy') == (3, 10)


def test_less_is_better_of_some_scores(make, tmp_path):
    suite = make(score='target/entropy', options=['val_evaluator.target.0.type=ClassBiasMetric'])
    scores = dict(lower=(40., 41.), upper=(20., 21.), ours=(30., 31.1))
    text = page(filled(suite, tmp_path / 'out', scores, key='target/entropy'))
    assert [line.split(' | ')[0] for line in text.splitlines() if line.startswith('| ')][2:5] == [
        '| upper', '| ours', '| lower']
    line = cells(text, 'ours')
    assert line[5].startswith('-9.95') and line[7] == 'gain' and 'less is better' in text
    text = page(filled(suite, tmp_path / 'close', dict(scores, upper=(44., 45.)), key='target/entropy'))
    assert 'Not published: the upper control upper is -4.00 points better' in text


def test_a_suite_may_rank_nothing(make, tmp_path):
    scores = dict(lower=(40., 41.), upper=(39., 40.), ours=(50., 51.1))
    assert 'Not published' in page(filled(make(), tmp_path / 'ranked', scores))
    text = page(filled(make(ranked=False), tmp_path / 'out', scores))
    assert 'Ranked' not in text and 'Nothing is ranked' in text and 'Judged by target/mIoU' in text
    assert [line.split(' | ')[0] for line in text.splitlines() if line.startswith('| ')][2:5] == [
        '| lower', '| upper', '| ours']  # as in the file
    data = yaml.safe_load((tmp_path / 'tiny.yml').read_text())
    (tmp_path / 'tiny.yml').write_text(yaml.safe_dump({k: v for k, v in data.items() if k != 'upper'}))
    assert read_suite(tmp_path / 'tiny.yml').upper is None


def test_budgets_on_the_page_are_those_of_each_encoder(make, tmp_path):
    suite = make(encoders=dict(small={}, large=dict(options=['train_cfg.max_iters=400'])))
    text = '\n'.join(block.markdown() for block in page_blocks(suite, tmp_path, {}))
    assert 'An arm reads 160 images with small, 1600 images with large (optimizer' in text
    assert 'an arm reads 160 images with small, 1600' in Leaderboard(suite, tmp_path, Path('t.py'), 0).plan_text()
    text = '\n'.join(block.markdown() for block in page_blocks(make(), tmp_path, {}))
    assert 'Every arm reads 160 images (optimizer' in text


def test_processes_count_into_the_budget_and_are_not_mixed(make, tmp_path):
    board = filled(make(), tmp_path / 'out', dict(lower=(40., 41.)))
    assert '2 of 6 runs are finished; every arm reads 160 images' in board.plan_text()
    four = Leaderboard(make(), tmp_path / 'out', Path('train.py'), gpus=4)
    assert {arm.budget for arm in four.suite.arms} == {640}
    with pytest.raises(ValueError, match='lower_seed0.json.*processes was 1, is 4'):
        four.plan()
    other = Leaderboard(make(), tmp_path / 'other', Path('train.py'), 4, board.rows)
    text = other.plan_text()
    assert '0 of 6 runs' in text and 'every arm reads 640 images (4 processes)' in text
    assert 'lower_seed0.json (processes was 1, is 4)' in text
    run = other.plan()[0]
    assert run.run.folder.relative_to(other.folder).parts[0] == 'runs_4_processes'
    assert other._command(run.study, run.run).startswith(
        'python -m torch.distributed.run --nproc_per_node=4 tools/train.py')
    before = dict(ours__images_before=80, ours__why_images_before='x', ours__options=['train_cfg.max_iters=20',
                                                                                     'train_cfg.val_interval=5'])
    with pytest.raises(ValueError, match='unequal budgets'):  # 4 x 80 + 80 is not 4 x 160
        Leaderboard(make(**before), tmp_path / 'third', Path('train.py'), gpus=4)


# ---------------------------------------------------------------- rows
def test_every_committed_row_can_be_read():
    files = sorted((ROOT / 'docs' / 'benchmarks' / 'rows').rglob('*.json'))
    wrong = {path.name: why for path in files if (why := wrong_in(json.loads(path.read_text())))}
    assert files and not wrong


@pytest.mark.parametrize('changes, words', [
    (dict(schema=7), 'schema 7, this version reads 1'),
    (dict(last_three=99.), 'last_three is 99.0, its curve says 50.0'),
    (dict(last_three=None), 'no last_three'), (dict(arm=None), 'no arm'), (dict(versions=None), 'no versions'),
    (dict(last_three=60., curve={n: 60. for n in ('10', '20', '30', '40')}), 'curve and evaluations differ'),
    (dict(seed=1), 'a row of ours, seed 1 is called ours_seed1.json'), (dict(curve=dict(a=1.)), 'cannot be read')])
def test_rows_are_not_taken_on_trust(make, tmp_path, changes, words):
    board = filled(make(), tmp_path / 'out', dict(lower=(40., 41.), upper=(60., 61.), ours=(50., 51.)))
    path = row_file(board.rows, 'ours', 0)
    page(board)
    row = json.loads(path.read_text())
    path.write_text(json.dumps(dict(row, **changes)))
    assert words in read_row(path)[1]
    with pytest.raises(ValueError, match=f'ours_seed0.json cannot be used .*{words}.*delete it'):
        board.write()
    taken = Leaderboard(make(), tmp_path / 'second', Path('train.py'), 0, board.rows)
    assert '5 of 6 runs' in taken.plan_text() and words in taken.plan_text()


def test_a_copy_of_a_row_does_not_replace_it(make, tmp_path):
    board = filled(make(), tmp_path / 'out', dict(lower=(40., 41.), upper=(60., 61.), ours=(50., 51.)))
    text = page(board)
    row = json.loads(row_file(board.rows, 'lower', 0).read_text())
    (board.rows / 'zz_copy.json').write_text(json.dumps(dict(row, arm='ours', control='lower')))
    assert page(board) == text


def evaluate(folder, stamp, scores, record=None, **columns):
    """Evaluations as a training leaves them in ``folder/stamp``, ``{iteration: mIoU}``."""
    (folder / stamp).mkdir(parents=True, exist_ok=True)
    for n, score in scores.items():
        (folder / stamp / f'evaluation_iter_{n}.csv').write_text(
            ','.join(['domain', 'mIoU', *columns]) + '\n' + ','.join(['target', str(score), *columns.values()]) + '\n')
        np.savez(folder / stamp / f'drives_target_iter_{n}.npz', names=np.array([stamp]), subset=np.array([-1]),
                 matrices=np.full((1, 2, 3), n))
    if record:
        (folder / stamp / 'run.json').write_text(json.dumps(dict(dict(command=['train.py', 'a.py']), **record)))


def test_commit_and_versions_are_those_of_the_training(make, tmp_path):
    arm, folder = make().arm('ours'), tmp_path / 'run'
    evaluate(folder, 'a', {10: 1, 20: 2}, dict(commit='aaaaaaaaaaaa', versions=dict(torch='1.0')))
    evaluate(folder, 'b', {30: 3, 40: 4}, dict(commit='bbbbbbbbbbbb', versions=dict(torch='1.1')))
    row = make_row(arm, 0, folder, 'train', 'print', 'target/mIoU')
    assert row['commit'] == 'aaaaaaaaaaaa, bbbbbbbbbbbb' and row['versions'] == dict(torch='1.1')
    assert row['processes'] == 1 and wrong_in(row) == ''


def test_an_overwritten_training_does_not_count(tmp_path):
    folder = tmp_path / 'run'
    evaluate(folder, '1', {500: 70, 1000: 70, 1500: 70, 2000: 70}, dict(commit='', versions={}))
    evaluate(folder, '2', {250: 30, 500: 30, 750: 30, 1000: 30})
    with pytest.raises(NoScore, match='after 1000 iterations, and the run has 900'):
        score_fields(folder, 'target/mIoU', 900)
    fields = score_fields(folder, 'target/mIoU', 1000)
    assert (fields['last_three'], fields['last'], fields['rise_in_last_quarter']) == (30, 30, 0)
    assert {drives.names for drives in drives_of(folder)['target']} == {('2', )}
    evaluate(folder, '2', {600: 30}, dict(commit='b', versions={}))
    (folder / '2' / 'evaluation_iter_250.csv').unlink()
    (folder / '2' / 'evaluation_iter_500.csv').unlink()  # it might have gone on after 500 now
    assert sorted(evaluations_of(folder)) == [500, 600, 750, 1000]
    (folder / '2' / 'vis_data').mkdir()
    (folder / '2' / 'vis_data' / 'config.py').write_text('overwrite = True\nresume = False\n')
    assert sorted(evaluations_of(folder)) == [600, 750, 1000]


def test_the_newest_is_told_by_the_folder_and_not_by_its_files(tmp_path):
    evaluate(tmp_path, '20260102_000000', {10: 2})
    evaluate(tmp_path, '20260101_000000', {10: 1})  # written last, as by a copy
    assert evaluations_of(tmp_path)[10]['target/mIoU'] == 2
    assert drives_of(tmp_path)['target'][0].names == ('20260102_000000', )


def test_a_score_of_fewer_than_its_evaluations_is_refused(tmp_path):
    evaluate(tmp_path, 'a', {10: 1, 20: 2, 30: math.nan, 40: 4})
    with pytest.raises(NoScore, match="after 30 iterations has no number for 'target/mIoU'"):
        score_fields(tmp_path, 'target/mIoU', 40)


def test_thirds_of_a_mean_are_means_over_its_domains(tmp_path):
    for n in (10, 20, 30):
        (tmp_path / 'a').mkdir(exist_ok=True)
        (tmp_path / 'a' / f'evaluation_iter_{n}.csv').write_text(
            'domain,mIoU,mIoU.head,mIoU.tail\nday,50,60,20\ndusk,40,50,\nmean,45,,\n')
    groups = score_fields(tmp_path, 'mean/mIoU', 30, ['day', 'dusk'])['groups']
    assert groups == dict(head=55, middle=None, tail=None)
    assert score_fields(tmp_path, 'day/mIoU', 30)['groups'] == dict(head=60, middle=None, tail=20)


def test_drives_that_cannot_be_compared():
    one, two = (Drives(tuple(names), np.ones((len(names), 2, 3), np.int64)) for names in ('ab', 'ac'))
    assert not_comparable([dict(t=[one])], [dict(t=[one])]) == ''
    assert not_comparable([dict(t=[one])], [dict(t=[two])]) == 'runs differ in the drives of t: b, c'
    assert bootstrap_difference([dict(t=[one])], [dict(t=[two])]) is None
