"""Rare class probabilities: recorded ones, those of docs/behavior/daformer_hrda.md#check-values, and their order."""
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops import rare_class_probabilities

SPEC_TOTALS = [0] * 19
for _id, _pixels in {0: 1_600_000, 1: 140_000, 11: 12_000, 18: 3_500, 16: 400}.items():
    SPEC_TOTALS[_id] = _pixels


@pytest.mark.claim('DAFormer')
def test_recorded_probabilities(recorded):
    record = recorded('rcs')
    totals = np.zeros(19, dtype=np.int64)
    for image in json.loads(record['stats']):
        for name, pixels in image.items():
            if name != 'file':
                totals[int(name)] += pixels
    for temperature, expected in record['probs'].items():
        classes, probabilities = rare_class_probabilities(totals, temperature)
        assert classes.tolist() == expected['classes']
        assert probabilities.dtype == np.float32
        np.testing.assert_array_equal(probabilities, np.asarray(expected['p']))


@pytest.mark.parametrize('temperature, expected', [
    (0.01, [.42462, .35590, .21933, 1.497e-4, 1.16e-40]),
    (0.1, [.29671, .29152, .27775, .13399, 3.28e-5]),
])
def test_spec_probabilities(temperature, expected):
    for totals in (SPEC_TOTALS, np.array(SPEC_TOTALS, np.int32), torch.tensor(SPEC_TOTALS)):
        classes, probabilities = rare_class_probabilities(totals, temperature)
        assert classes.tolist() == [16, 18, 11, 1, 0]
        np.testing.assert_allclose(probabilities, expected, rtol=4e-3, atol=5e-6)


@settings(max_examples=50, deadline=None)
@given(totals=st.lists(st.integers(0, 10**11), min_size=1, max_size=25).filter(any), temperature=st.floats(.01, 10))
def test_rare_classes_come_first_and_are_more_likely(totals, temperature):
    classes, probabilities = rare_class_probabilities(totals, temperature)
    assert sorted(classes.tolist()) == [c for c, pixels in enumerate(totals) if pixels]
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert (np.diff(np.array(totals)[classes]) >= 0).all()
    assert (np.diff(probabilities) <= 0).all()


def test_ties_follow_the_class_id():
    classes, probabilities = rare_class_probabilities([5, 0, 5, 1], 1.)
    assert classes.tolist() == [3, 0, 2]
    assert probabilities[1] == probabilities[2]


@pytest.mark.parametrize('totals, temperature, message', [
    ([[1, 2]], 1., r'shape \(1, 2\)'),
    ([0.5, 0.5], 1., 'float64'),
    ([3, -1], 1., r'negative, got \[3, -1\]'),
    ([0, 0], 1., 'no labeled pixel'),
    ([1, 2], 0., 'temperature must be positive, got 0.0'),
    ([1, 2], float('nan'), 'nan'),
])
def test_wrong_arguments(totals, temperature, message):
    with pytest.raises(ValueError, match=message):
        rare_class_probabilities(totals, temperature)
