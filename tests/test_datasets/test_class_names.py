"""Class names from a text file."""
import pytest

from mmseg_dg.datasets.class_names import distinct_colors, read_classes
from mmseg_dg.registry import DATASETS


def write(folder, text):
    path = folder / 'classes.txt'
    path.write_text(text, encoding='utf-8')
    return path


def test_names_and_colors(tmp_path):
    path = write(tmp_path, '# mine\nbackground\n\ntraffic light 2\nleaf\n')
    assert read_classes(path) == (['background', 'traffic light 2', 'leaf'], None)
    path = write(tmp_path, 'background 0 0 0\ntraffic light, 250,170,30\n')
    assert read_classes(path) == (['background', 'traffic light'], [[0, 0, 0], [250, 170, 30]])


@pytest.mark.parametrize('text, message', [
    ('', 'names no class'), ('a\nb\na\n', r"twice: \['a'\]"), ('a 0 0 0\nb\n', "'b' has no color"),
    ('a 0 0 256\n', 'line 1: the color'), ('0 soil\n1 leaf\n', "begins with a number .'0 soil'.: leave"),
    ('1: road\n2: car\n', 'begins with a number'), ('7,a 1 2 3\n8,b 4 5 6\n', 'begins with a number'),
    ('a #ff0000\nb #00ff00\n', 'line 1: .* three numbers'), ('a\nb 4 5 6 # mine\n', 'line 2')])
def test_mistakes(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_classes(write(tmp_path, text))
    with pytest.raises(FileNotFoundError, match='is no file of class names'):
        read_classes(tmp_path / 'none.txt')


def test_another_coding_is_named_for_what_it_is(tmp_path):
    (tmp_path / 'c.txt').write_bytes('Grün\n'.encode('latin-1'))
    with pytest.raises(ValueError, match='one class name per line'):
        read_classes(tmp_path / 'c.txt')
    assert read_classes(write(tmp_path, '2 wheeler\ncar\n')).classes == ['2 wheeler', 'car']


def test_a_dataset_reads_the_file(tmp_path):
    path = write(tmp_path, 'background 1 2 3\nleaf 4 5 6\n')
    config = dict(type='FolderDataset', classes=str(path), lazy_init=True)
    meta = DATASETS.build(config).metainfo
    assert meta['classes'] == ('background', 'leaf') and meta['palette'] == [[1, 2, 3], [4, 5, 6]]
    assert DATASETS.build(dict(config, palette=[[9, 9, 9], [8, 8, 8]])).metainfo['palette'][0] == [9, 9, 9]


def test_colors_are_distinct():
    colors = distinct_colors(40)
    assert len({tuple(color) for color in colors}) == 40 and colors[:5] == distinct_colors(5)
    near = min(max(abs(a - b) for a, b in zip(x, y)) for i, x in enumerate(colors) for y in colors[:i])
    assert near >= 8 and all(0 <= part <= 255 for color in colors for part in color)
    meta = DATASETS.build(dict(type='FolderDataset', classes=['a', 'b'], lazy_init=True)).metainfo
    assert meta['palette'] == distinct_colors(2)
