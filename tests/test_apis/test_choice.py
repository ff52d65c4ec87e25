"""Regret and rank correlation of label-free choices, by hand numbers and on evaluation files."""
import math

import pytest

from mmseg_dg.apis.choice import Curve, Judged, by_run, choice_table, judge, may_choose, ranks, read_curves, spearman
from mmseg_dg.apis.leaderboard.rows import score_fields, write_row


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
