"""Regret and rank correlation of label-free choices, by hand numbers and on evaluation files."""
import math
from pathlib import Path

import pytest

from mmseg_dg.apis.choice import (
    Curve,
    Judged,
    by_run,
    choice_table,
    judge,
    may_choose,
    names_of_runs,
    ranks,
    read_curves,
    spearman,
    with_means,
)
from mmseg_dg.apis.leaderboard.rows import score_fields, write_row

ROOT = Path(__file__).resolve().parents[2]


def write_start(folder, stamp, points, steps, overwrite=False):
    """The logs of one start of a training: the scores ``points`` of domain ``a`` by iteration, and its config."""
    (folder / stamp / 'vis_data').mkdir(parents=True)
    (folder / stamp / 'vis_data' / 'config.py').write_text(
        f'train_cfg = dict(max_iters={steps})\n' + 'overwrite = True\n' * overwrite)
    for n, score in points.items():
        (folder / stamp / f'evaluation_iter_{n}.csv').write_text(
            f'domain,images,mIoU,label_free\na,3,{score},{score}\n')


def test_rank_correlation_by_hand():
    assert ranks([10, 30, 20, 20]).tolist() == [1, 4, 2.5, 2.5]
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert spearman([1, 2, 3], [9, 4, 1]) == pytest.approx(-1)
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 0, 1, 1, 0
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / 60)
    assert math.isnan(spearman([1], [1])) and math.isnan(spearman([1, 1], [1, 2]))
    with pytest.raises(ValueError, match='one length'):
        spearman([1], [1, 2])


RUNS = [Curve('a', [10, 20, 30], [40., 50., 44.], dict(label_free=[1., 3., 2.], entropy=[9., 8., 7.])),
        Curve('b', [10, 20, 30], [30., 31., 36.], dict(label_free=[5., 4., 2.], entropy=[6., 5., 4.]))]


def test_regret_by_hand():
    judged = {one.score: one for one in judge(RUNS)}
    assert judged['last'].regrets == [6, 0] and judged['label_free'].regrets == [0, 6]
    assert judged['entropy'].regrets == [6, 0]  # less is better: it takes the last one of both
    assert judged['label_free'].median_regret == 3
    assert judged['label_free'].across == 50 - 30  # the highest of all is run b's first evaluation
    assert judged['label_free'].within == pytest.approx((1 + -1) / 2)
    assert judged['entropy'].across == 50 - 36
    assert by_run(RUNS, list(judged.values()))[1] == dict(run='b', best=36, last=0, entropy=0, label_free=6)
    with pytest.raises(ValueError, match='no run'):
        judge([])


def test_what_could_not_be_computed_is_not_chosen():
    nan = math.nan
    run = Curve('a', [10, 20, 30, 40], [30., 50., 44., nan], dict(label_free=[1., 3., nan, 9.], entropy=[nan] * 4))
    assert run.iterations == [10, 20, 30] and run.miou == [30, 50, 44] and len(run.scores['entropy']) == 3
    judged = {one.score: one for one in judge([run])}
    assert judged['last'].regrets == [6], 'the last one with a mIoU'
    assert judged['label_free'].regrets == [0] and judged['label_free'].across == 0
    assert judged['label_free'].spearman == pytest.approx(1) and judged['label_free'].within == pytest.approx(1)
    assert judged['entropy'].regrets == [6] and judged['entropy'].across == 6, 'nothing to choose by: the last'
    assert math.isnan(judged['entropy'].spearman) and by_run([run], [judged['last']])[0]['best'] == 50
    with pytest.raises(ValueError, match='b: the mIoU of every evaluation is nan'):
        Curve('b', [10], [nan], {})


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    runs = [tmp_path / arm / 'seed0' for arm in ('dacs', 'source_only')]
    assert names_of_runs(runs) == ['dacs/seed0', 'source_only/seed0']
    assert names_of_runs([tmp_path / 'x' / 'a_seed0.json', tmp_path / 'y' / 'a_seed0.json']) == [
        'x/a_seed0', 'y/a_seed0']
    assert names_of_runs(runs[:1]) == ['seed0'] and names_of_runs([tmp_path / 'a', tmp_path / 'b']) == ['a', 'b']


def test_means_over_domains_of_earlier_evaluations():
    """Only mIoU and label_free had one; the rest follows from the domains, unless one is a source."""
    metrics = {'a/label_free': 60., 'a/entropy': 10., 'b/label_free': 70., 'b/entropy': 30., 'mean/label_free': 65.}
    assert with_means(metrics) == {**metrics, 'mean/entropy': 20.}
    of_target = {**metrics, 'mean/label_free': 60.}
    assert with_means(of_target) == of_target
    assert with_means({'a/mIoU': 1.}) == {'a/mIoU': 1.}


def test_every_score_can_choose_on_the_mean_of_the_committed_rows():
    rows = sorted((ROOT / 'docs' / 'benchmarks' / 'rows' / 'foundation_uda_camvid').glob('*.json'))
    judged = judge(read_curves(rows, 'mean', 'mean'))
    found = {one.score: round(one.median_regret, 2) for one in judged}
    assert found == dict(entropy=.68, density=.84, label_free=.85, class_balance=.88, flip_agreement=.88, last=.90,
                         confident=1.31, info_max=1.33)
    last = next(one for one in judged if one.score == 'last')
    assert [one.score for one in judged if may_choose(one, last)] == ['entropy', 'label_free', 'flip_agreement']


def test_what_an_overwritten_training_left_is_no_part_of_the_run(tmp_path):
    for stamp, points in (('20260101_1', {500: 70, 1000: 70, 2000: 70}), ('20260102_1', {500: 10, 1000: 30})):
        write_start(tmp_path, stamp, points, steps=max(points))
    curve, = read_curves([tmp_path], 'a', 'a')
    assert curve.iterations == [500, 1000] and curve.miou == [10, 30]


def test_what_may_choose():
    last = Judged('last', math.nan, math.nan, [2., 2.], math.nan)
    good = Judged('info_max', .7, .5, [1., 1.], 0.)
    assert may_choose(good, last) and not may_choose(last, last)
    assert not may_choose(Judged('info_max', .5, .5, [1., 1.], 0.), last)  # too little correlation
    assert not may_choose(Judged('info_max', .7, .5, [1.6, 1.6], 0.), last)  # too much regret
    assert not may_choose(good, Judged('last', math.nan, math.nan, [.5, .5], math.nan))  # the last one is better
    assert 'May choose: info_max.' in choice_table([good, last], 2)
    assert 'None may choose' in choice_table(judge(RUNS), 2)


def test_runs_are_read_from_their_evaluations(tmp_path):
    for n, (miou, free) in {10: (40, 60), 20: (50, 70)}.items():
        (tmp_path / 'run' / 'stamp').mkdir(parents=True, exist_ok=True)
        (tmp_path / 'run' / 'stamp' / f'evaluation_iter_{n}.csv').write_text(
            f'domain,images,mIoU,label_free,entropy\na,3,{miou},,\nb,3,,{free},{100 - free}\n')
    curve, = read_curves([tmp_path / 'run'], choose_on='b', report_on='a')
    assert curve.iterations == [10, 20] and curve.miou == [40, 50]
    assert curve.scores == dict(label_free=[60, 70], entropy=[40, 30])
    with pytest.raises(ValueError, match='no evaluation has b/mIoU'):
        read_curves([tmp_path / 'run'], 'b', 'b')
    fields = score_fields(tmp_path / 'run', 'a/mIoU', 20)
    write_row(tmp_path / 'dacs_seed0.json', fields)  # a row needs no work dir
    of_row, = read_curves([tmp_path / 'dacs_seed0.json'], choose_on='b', report_on='a')
    assert of_row.name == 'dacs_seed0'
    assert (of_row.iterations, of_row.miou, of_row.scores) == (curve.iterations, curve.miou, curve.scores)
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        read_curves([tmp_path / 'nowhere.json'], 'b', 'a')
    (tmp_path / 'broken.json').write_text('{')
    with pytest.raises(ValueError, match='broken.json is no row'):
        read_curves([tmp_path / 'broken.json'], 'b', 'a')
    write_row(tmp_path / 'dacs_seed0.json', {key: fields[key] for key in fields if key != 'evaluations'})
    with pytest.raises(ValueError, match='dacs_seed0.json has no "evaluations"'):
        read_curves([tmp_path / 'dacs_seed0.json'], 'b', 'a')
