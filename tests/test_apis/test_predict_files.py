"""Predictions written to a folder: names, overlays, shares, and the same classes as tools/test.py gives."""
import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_dg.apis import load_model
from mmseg_dg.apis.predict_files import listed, output_stems, painted, predict_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def model(tiny_config_in, tmp_path_factory):
    return load_model(tiny_config_in(tmp_path_factory.mktemp('model')), device='cpu')


@pytest.fixture
def photos(tiny_data, tmp_path):
    """Two folders with images of equal names."""
    folder = tmp_path / 'photos'
    for number, place in enumerate(('a', 'b')):
        (folder / place).mkdir(parents=True)
        for i in range(2):
            data = (tiny_data / 'target' / 'img' / f'{2 * number + i:02d}.png').read_bytes()
            (folder / place / f'{i}.png').write_bytes(data)
    return folder


def test_label_maps_lie_under_the_names_of_the_inputs_and_equal_the_test_loop(model, photos, tmp_path, tiny_config):
    from mmengine.runner import Runner
    written = predict_files(model, photos, tmp_path / 'out', batch_size=3)
    assert written.files == ['a/0', 'a/1', 'b/0', 'b/1'] and written.images == 4
    cfg = tiny_config()
    cfg.test_evaluator['output_dir'] = str(tmp_path / 'tested')
    runner = Runner.from_cfg(cfg)
    runner.model.load_state_dict(model.state_dict())
    runner.test()
    for name, stem in zip(('00', '01', '02', '03'), written.files):
        ours = cv2.imread(str(tmp_path / 'out' / 'labels' / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
        theirs = next(iter((tmp_path / 'tested').rglob(f'{name}.png')))
        assert ours.shape == (80, 96) and np.array_equal(ours, cv2.imread(str(theirs), cv2.IMREAD_UNCHANGED))


def test_shares_add_up_and_count_the_label_map(model, photos, tmp_path):
    written = predict_files(model, photos / 'a' / '0.png', tmp_path / 'out')
    rows = list(csv.DictReader(open(written.shares, newline='')))
    ids = cv2.imread(str(tmp_path / 'out' / 'labels' / '0.png'), cv2.IMREAD_UNCHANGED)
    for number, name in enumerate(('road', 'building', 'sky', 'car')):
        assert float(rows[0][name]) == pytest.approx((ids == number).mean(), abs=1e-6)


def test_overlay_and_confidence(model, photos, tmp_path):
    predict_files(model, photos, tmp_path / 'out', overlay=True, confidence=True)
    overlay = cv2.imread(str(tmp_path / 'out' / 'overlays' / 'b' / '1.jpg'))
    assert overlay.shape[1] == 2 * 96 and overlay.shape[0] > 80  # image and confidence, legend below
    confidence = cv2.imread(str(tmp_path / 'out' / 'confidence' / 'b' / '1.png'), cv2.IMREAD_UNCHANGED)
    assert confidence.dtype == np.uint8 and confidence.min() >= 255 // 4 - 1  # at least 1 of 4 classes


def test_painted_shows_image_color_and_legend():
    image, ids = np.full((40, 120, 3), 100, np.uint8), np.zeros((40, 120), int)
    ids[:, 60:] = 1
    picture = painted(image, ids, ('left', 'right'), ((200, 0, 0), (0, 200, 0)), opacity=0.5)
    assert picture[10, 10].tolist() == [150, 50, 50] and picture[10, 100].tolist() == [50, 150, 50]
    assert (picture[40:] == (200, 0, 0)).all(-1).any() and (picture[40:] == (0, 200, 0)).all(-1).any()


def test_lists_count_from_their_folder(photos, tmp_path):
    path = photos / 'some.txt'
    path.write_text('\ufeff# two of them\na/0.png\n\nb/1.png\n', encoding='utf-8')
    assert output_stems(listed(path)) == ['a/0', 'b/1']
    path.write_text('a/0.png\na/9.png\n')
    with pytest.raises(FileNotFoundError, match='1 of 2 images are missing.*9.png'):
        listed(path)
    path.write_text('# none\n')
    with pytest.raises(ValueError, match='names no image'):
        listed(path)


def test_equal_names_with_other_endings_keep_them(photos):
    from mmseg_dg.apis.inputs import Input
    items = [Input('x/1.png', 'x/1.png', '1.png'), Input('x/1.jpg', 'x/1.jpg', '1.jpg'), Input('x/2.jpg', '', '2.jpg')]
    assert output_stems(items) == ['1.png', '1.jpg', '2']


def test_a_video_is_predicted_frame_by_frame(model, photos, tmp_path):
    path = str(tmp_path / 'drive.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 5, (96, 80))
    if not writer.isOpened():
        pytest.skip('this OpenCV writes no videos')
    for i in range(3):
        writer.write(cv2.imread(str(photos / 'a' / f'{i % 2}.png')))
    writer.release()
    written = predict_files(model, path, tmp_path / 'out', overlay=True, batch_size=2)
    assert written.files == ['drive/000000', 'drive/000001', 'drive/000002']
    assert (tmp_path / 'out' / 'overlays' / 'drive' / '000002.jpg').is_file()
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match='broken.mp4'):
        predict_files(model, tmp_path / 'broken.mp4', tmp_path / 'out')


def test_the_tool_segments_a_folder_with_the_shipped_network(photos, tmp_path):
    config = str(ROOT / 'configs/demo/daformer_synthcity_demo.py')
    command = [sys.executable, str(ROOT / 'tools' / 'predict.py'), config, 'mmseg_dg://city_day_mobilenetv2',
               str(photos), '--out', str(tmp_path / 'out'), '--overlay', '--device', 'cpu']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 'out' / 'overlays').rglob('*.jpg'))) == 4
    command[4] = str(tmp_path / 'nowhere')
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and 'nowhere' in done.stderr and 'Traceback' not in done.stderr
