"""Loss curves of every method and family, against those recorded in ``tests/assets/curves``."""
import pytest
from curves import CURVES, FIRST, FOLDER, ITERATIONS, LAST, curve, deviation, from_text, to_text


def recorded(name):
    return from_text((FOLDER / f'{name}.txt').read_text(encoding='utf-8'))


def test_every_curve_is_recorded_and_no_other():
    assert {p.stem for p in FOLDER.glob('*.txt')} == set(CURVES)
    for name in CURVES:
        assert len(recorded(name)) == ITERATIONS
        assert (FOLDER / f'{name}.txt').read_text(encoding='utf-8').startswith(f'# {CURVES[name]},')


@pytest.mark.claim('methods')
@pytest.mark.parametrize('name', CURVES)
def test_first_iteration(name, tmp_path):
    """All losses of the first step (DeFT: of the warm-up), before rounding can grow."""
    ours, = curve(name, tmp_path, 1)
    assert deviation(ours, recorded(name)[0]) <= FIRST


@pytest.mark.ci
@pytest.mark.parametrize('name', CURVES)
def test_curve(name, tmp_path):
    ours, theirs = curve(name, tmp_path), recorded(name)
    assert deviation(ours[0], theirs[0]) <= FIRST
    assert deviation(ours[-1], theirs[-1]) <= LAST
    assert [set(row) for row in ours] == [set(row) for row in theirs], 'other losses are logged'


def test_text_and_deviation():
    rows = [{'loss': 1.25, 'a.loss': 1.25}, {'loss': 2., 'b.loss': 1e-9}]
    assert from_text(to_text('daformer_mit', rows)) == rows
    assert deviation(rows[0], dict(rows[0], loss=1.)) == 0.25
    assert deviation(rows[0], rows[1]) == float('inf'), 'other names'
    assert deviation(dict(rows[0], loss=float('nan')), rows[0]) == float('inf')
    tiny = dict(rows[1], **{'b.loss': 2e-9})
    assert deviation(tiny, rows[1]) == pytest.approx(5e-4), 'losses near zero count by the total'
