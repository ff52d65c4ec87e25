"""Captioned tiles and the pictures made of them."""
import cv2
import numpy as np
import pytest
import torch

from mmseg_dg.visualization import (
    Tile,
    colorize,
    compose,
    heat,
    image_to_rgb,
    mask_picture,
    prediction_grid,
    save_picture,
)
from mmseg_dg.visualization.tiles import scaled_size

PALETTE = [[10, 20, 30], [200, 100, 0]]


def test_image_to_rgb_undoes_the_normalization():
    rgb = np.random.RandomState(0).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    normalized = (torch.from_numpy(rgb).float() - torch.tensor(mean)) / torch.tensor(std)
    np.testing.assert_array_equal(image_to_rgb(normalized.permute(2, 0, 1), mean, std), rgb)
    assert image_to_rgb(torch.full((3, 2, 2), 99.0), mean, std).max() == 255  # clipped, not wrapped
    with pytest.raises(ValueError, match=r'\(4, 2, 2\)'):
        image_to_rgb(torch.zeros(4, 2, 2), mean, std)


def test_colors():
    ids = torch.tensor([[[0, 1], [255, 2]]])
    np.testing.assert_array_equal(colorize(ids, PALETTE), [[[10, 20, 30], [200, 100, 0]], [[0, 0, 0], [0, 0, 0]]])
    np.testing.assert_array_equal(colorize(ids[0].numpy().astype(np.uint8), PALETTE), colorize(ids, PALETTE))
    np.testing.assert_array_equal(mask_picture(torch.tensor([[True, False]]))[0], [[255] * 3, [0] * 3])
    low, high, beyond = heat(torch.tensor([[0.0, 1.0, 7.0]]))[0]
    assert low[2] > low[0] and high[0] > high[2]  # blue, yellow: the order of channels is RGB
    np.testing.assert_array_equal(high, beyond)
    with pytest.raises(ValueError, match=r'\(2, 3, 3\)'):
        colorize(np.zeros((2, 3, 3)), PALETTE)


def test_compose_places_tiles_and_leaves_gaps():
    red, green = (np.full((8, 12, 3), color, np.uint8) for color in ([255, 0, 0], [0, 255, 0]))
    small = np.zeros((2, 3, 3), np.uint8)
    picture = compose([[Tile('red', red), None], [Tile('small', small, True), Tile('green', green)]])
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * (8 + 18 + 4) + 4, 2 * (12 + 4) + 4, 3)
    assert (picture[4 + 18:4 + 18 + 8, 4:16] == [255, 0, 0]).all()
    assert (picture[4 + 18:4 + 18 + 8, 20:32] == 255).all()
    assert (picture[34 + 18:34 + 18 + 8, 20:32] == [0, 255, 0]).all()
    assert (picture[34 + 18:34 + 18 + 8, 4:16] == 0).all()  # enlarged to the tile size
    assert (picture[4 + 18 - 1, 3:17] == 140).all() and (picture[4 + 18 + 8, 3:17] == 140).all(), 'a frame'
    with pytest.raises(ValueError, match='no tile'):
        compose([[None]])


def test_scaled_size():
    assert scaled_size(np.zeros((100, 200, 3)), 50) == (25, 50)
    assert scaled_size(np.zeros((10, 20, 3)), 50) == (10, 20)


def test_save_picture(tmp_path):
    picture = np.random.RandomState(0).randint(0, 256, (6, 7, 3)).astype(np.uint8)
    save_picture(picture, str(tmp_path / 'new' / 'a.png'))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'new' / 'a.png'))[..., ::-1], picture)
    save_picture(picture, str(tmp_path / 'a.JPG'))
    assert cv2.imread(str(tmp_path / 'a.JPG')).shape == (6, 7, 3)
    with pytest.raises(ValueError, match=r'a\.gif'):
        save_picture(picture, str(tmp_path / 'a.gif'))


def test_prediction_grid():
    images = [np.full((8, 16, 3), value, np.uint8) for value in (50, 90)]
    labels = [np.zeros((8, 16), int), None]
    models = dict(before=[np.ones((8, 16), int)] * 2, after=[np.zeros((8, 16), int)] * 2)
    grid = prediction_grid(images, labels, models, PALETTE)
    assert grid.shape == (2 * 30 + 4, 4 * 20 + 4, 3)
    row, columns = slice(22, 30), [slice(4 + 20 * i, 20 + 20 * i) for i in range(4)]
    for column, color in zip(columns, ([50] * 3, PALETTE[0], PALETTE[1], PALETTE[0])):
        assert (grid[row, column] == color).all()
    assert (grid[52:60, columns[1]] == 255).all()  # no ground truth
    assert prediction_grid(images, None, models, PALETTE, tile=8).shape == (2 * 26 + 4, 3 * 12 + 4, 3)
    with pytest.raises(ValueError, match="2 images, but 1 entries of 'before'"):
        prediction_grid(images, None, dict(before=labels[:1]), PALETTE)
    with pytest.raises(ValueError, match='at least one image'):
        prediction_grid([], None, {}, PALETTE)
