"""Rounding of whole numbers."""
import pytest

from mmseg_dg.utils.rounding import ceil_div


@pytest.mark.parametrize('number,divisor,rounded', [(0, 4, 0), (1, 4, 1), (4, 4, 1), (5, 4, 2), (-1, 4, 0),
                                                    (-4, 4, -1)])
def test_ceil_div_rounds_up(number, divisor, rounded):
    assert ceil_div(number, divisor) == rounded
