"""Options from a config against the function that takes them."""
import pytest

from mmseg_dg.utils.options import check_options


def draw(rng, area=1, ratio=2):
    return rng, area, ratio


def test_options_of_the_function_pass():
    check_options(draw, dict(area=3), 'box', skip=('rng', ))
    check_options(draw, ('rng', 'ratio'), 'box')


@pytest.mark.parametrize('options,skip,message', [
    (dict(aera=3, ration=1), ('rng', ), '^box has no option aera, ration; it takes: area, ratio$'),
    (dict(rng=0), ('rng', ), '^box has no option rng; it takes: area, ratio$'),
    (dict(area=3), ('rng', 'area', 'ratio'), '^box has no option area; it takes: none$'),
])
def test_others_are_refused(options, skip, message):
    with pytest.raises(ValueError, match=message):
        check_options(draw, options, 'box', skip=skip)
