"""Farthest point sampling."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops import farthest_points


def test_order_on_a_line():
    points = torch.tensor([[0.], [1.], [5.], [10.], [4.]])
    assert farthest_points(points, 4, start=1).tolist() == [1, 3, 2, 0]  # 4 and 5 away: 9, then 4, then 1


def test_coinciding_points_come_last_and_none_twice():
    points = torch.tensor([[0., 0.], [0., 0.], [3., 4.], [0., 0.]])
    assert farthest_points(points, 4).tolist() == [0, 2, 1, 3]


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 20), st.integers(0, 1000))
def test_each_choice_is_the_farthest(number, seed):
    points = torch.randn(number, 3, generator=torch.Generator().manual_seed(seed))
    chosen = farthest_points(points, number, start=seed % number).tolist()
    assert sorted(chosen) == list(range(number))
    distances = torch.cdist(points.double(), points.double())
    for i in range(1, number):
        nearest = distances[:, chosen[:i]].min(dim=1).values
        assert nearest[chosen[i]] == pytest.approx(float(nearest.max()), rel=1e-6)


@pytest.mark.parametrize('points, arguments, message', [
    (torch.zeros(3, 2), dict(count=4), 'count=4 must lie in 1..3'),
    (torch.zeros(3, 2), dict(count=0), 'count=0'),
    (torch.zeros(3, 2), dict(count=1, start=3), 'start=3'),
    (torch.tensor([[float('nan')]]), dict(count=1), 'finite'),
    (torch.zeros(3), dict(count=1), r'\(N, D\)')])
def test_bad_arguments(points, arguments, message):
    with pytest.raises(ValueError, match=message):
        farthest_points(points, **arguments)
