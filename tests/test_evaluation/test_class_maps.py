"""Named subsets of classes and label maps."""
import pytest
from mmseg.utils import get_classes

from mmseg_dg.evaluation import resolve_label_map, resolve_subset

CITYSCAPES = get_classes('cityscapes')


def test_synthia_subsets():
    sixteen = resolve_subset('synthia16', CITYSCAPES)
    assert sixteen == (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
    assert resolve_subset('synthia13', CITYSCAPES) == (0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
    assert resolve_subset(None, CITYSCAPES) is None


def test_subset_by_name_and_id():
    assert resolve_subset(['car', 0, 'person', 13], CITYSCAPES) == (0, 11, 13)


@pytest.mark.parametrize('subset, classes, text', [
    ('synthia17', CITYSCAPES, 'synthia13.*synthia16'),
    ('synthia16', ['road', 'sky'], r"leaves out \['terrain', 'truck', 'train'\].*does not have"),
    (['lorry'], CITYSCAPES, "'lorry'"),
    ([19], CITYSCAPES, r'class id 19, outside 0\.\.18'),
    ([], CITYSCAPES, 'empty'),
])
def test_bad_subsets(subset, classes, text):
    with pytest.raises(ValueError, match=text):
        resolve_subset(subset, classes)


def test_label_maps():
    classes = ['road', 'car', 'truck']
    assert resolve_label_map([0, 1, 1], classes, 2, 255) == [0, 1, 1]
    assert resolve_label_map({'car': 0, 'truck': 0}, classes, 1, 255) == [255, 0, 0]
    assert resolve_label_map({2: 1}, classes, 2, 255) == [255, 255, 1]
    with pytest.raises(ValueError, match='2 entries for 3 classes'):
        resolve_label_map([0, 1], classes, 2, 255)
    with pytest.raises(ValueError, match=r'maps to \[2\].*0\.\.1'):
        resolve_label_map([0, 1, 2], classes, 2, 255)
    with pytest.raises(ValueError, match="'bus'"):
        resolve_label_map({'bus': 0}, classes, 2, 255)
