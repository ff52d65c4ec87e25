"""Predictions written to a folder: names, overlays, shares, and the same classes as tools/test.py gives."""
import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_dg.apis import load_model
from mmseg_dg.apis.inputs import Input
from mmseg_dg.apis.overlay import painted, picture_of
from mmseg_dg.apis.predict_files import listed, output_stems, predict_files
from mmseg_dg.datasets.transforms import LoadImageFromFile, LoadImageStack

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


@pytest.fixture
def said(monkeypatch):
    """What a prediction logs."""
    lines = []
    for module in ('inputs', 'predict_files', 'result_files'):
        monkeypatch.setattr(f'mmseg_dg.apis.{module}.print_log', lambda text, **kwargs: lines.append(text))
    return lines


def _rows(written):
    return [row['image'] for row in csv.DictReader(open(written.shares, newline=''))]


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


def test_a_legend_grows_with_the_image_and_is_as_wide_as_its_names():
    def legend(height, width, names):
        picture = painted(np.full((height, width, 3), 100, np.uint8), np.zeros((height, width), int), names,
                          ((200, 0, 0), ))
        square = (picture[height:] == (200, 0, 0)).all(-1)
        return picture.shape, square.any(axis=1).sum()  # height of the square without its border

    assert legend(40, 800, ['road'])[0] == (40 + 22, 800, 3) and legend(40, 800, ['road'])[1] == 11
    assert legend(40, 4000, ['road'])[0] == (40 + 88, 4000, 3) and legend(40, 4000, ['road'])[1] >= 40
    (height, width, _), _ = legend(48, 48, ['vegetation'])
    assert height == 48 + 22 and 90 < width < 140


def test_overlays_show_what_the_network_is_shown(tmp_path):
    """Photos as their EXIF entry turns them, deep images scaled, three channels of a stack; frames are BGR."""
    from PIL import Image
    quarters = np.zeros((40, 64, 3), np.uint8)
    quarters[:20], quarters[20:], quarters[:, :16] = (200, 30, 30), (30, 200, 30), (30, 30, 220)
    turned = Image.fromarray(quarters)
    exif = turned.getexif()
    exif[0x0112] = 3  # upside down
    turned.save(tmp_path / 'turned.png', exif=exif)

    def shown(name, loader):
        return picture_of(Input(name, str(tmp_path / name), name), loader)

    assert np.array_equal(shown('turned.png', LoadImageFromFile()), quarters[::-1, ::-1])
    ramp = np.tile(np.array([0, 1024, 4095], np.uint16), (4, 1))
    cv2.imwrite(str(tmp_path / 'deep.png'), ramp)
    assert shown('deep.png', LoadImageFromFile(bit_depth=12))[0].tolist() == [[0] * 3, [64] * 3, [255] * 3]
    cv2.imwrite(str(tmp_path / 'stack.png'), np.dstack([ramp // 4095, ramp, ramp * 0, ramp]))  # blue, green, red, more
    stack = LoadImageStack(channels=4, bit_depth=12, to_float32=True)
    assert shown('stack.png', stack)[0].tolist() == [[0, 0, 0], [0, 64, 0], [0, 255, 0]]
    one = LoadImageStack(channels=1, bit_depth=12)
    assert shown('deep.png', one)[0].tolist() == [[0] * 3, [64] * 3, [255] * 3]
    assert np.array_equal(picture_of(Input('frame', quarters[..., ::-1]), stack), quarters)


def test_the_tool_writes_overlays_of_turned_photos(model, photos, tmp_path):
    from PIL import Image
    image = Image.open(photos / 'a' / '0.png')
    exif = image.getexif()
    exif[0x0112] = 3
    image.save(tmp_path / 'turned.png', exif=exif)
    image.rotate(180).save(tmp_path / 'upright.png')
    for name in ('turned', 'upright'):
        predict_files(model, tmp_path / f'{name}.png', tmp_path / 'out', overlay=True)
    first, second = ((tmp_path / 'out' / 'overlays' / f'{name}.jpg').read_bytes() for name in ('turned', 'upright'))
    assert first == second


def test_masks_of_a_dataset_are_not_overwritten(model, photos, tmp_path):
    mask = tmp_path / 'scene' / 'labels' / '0.png'
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b'ground truth')
    for image in ('0', '1'):  # not beside them either: a later prediction would take the folder for its own
        with pytest.raises(FileExistsError, match='labels has files that are no results of a prediction'):
            predict_files(model, photos / 'a' / f'{image}.png', tmp_path / 'scene')
    assert mask.read_bytes() == b'ground truth' and not (tmp_path / 'scene' / 'class_shares.csv').exists()
    for _ in range(2):  # own results are replaced
        assert predict_files(model, photos / 'a' / '0.png', tmp_path / 'out').files == ['0']


@pytest.mark.parametrize('out', ['out', '.'])
def test_results_are_not_predicted(model, photos, said, out):
    folder = photos / out
    for source in (photos, str(photos / '**' / '*.[pj][np]g'), photos):
        written = predict_files(model, source, folder, overlay=True, confidence=True)
        assert written.files == ['a/0', 'a/1', 'b/0', 'b/1']
    assert f'12 images in {folder} are results and not predicted' in said
    with pytest.raises(FileNotFoundError, match='no images in .* but the results'):
        predict_files(model, folder / 'overlays', folder)


def test_a_damaged_image_is_skipped_and_named(model, photos, tmp_path, said):
    (photos / 'a' / '05.png').write_bytes(b'\x89PNG bad')
    written = predict_files(model, photos, tmp_path / 'out', batch_size=3, label_free=True)
    assert written.files == ['a/0', 'a/1', 'b/0', 'b/1'] and written.images == 4
    assert _rows(written) == [str(photos / f'{stem}.png') for stem in written.files]
    assert len(list(csv.reader(open(written.label_free)))) == 4 + 2  # header, all of them together
    assert len(written.skipped) == 1 and str(photos / 'a' / '05.png') in written.skipped[0]
    assert f'skipped: {written.skipped[0]}' in said
    with pytest.raises(ValueError, match=r'05\.png'):
        predict_files(model, photos / 'a' / '05.png', tmp_path / 'none')
    assert not (tmp_path / 'none').exists()


def test_tables_have_the_images_before_an_error(model, photos, tmp_path):
    cv2.imwrite(str(photos / 'c.png'), np.zeros((1, 1, 3), np.uint8))  # read, and too small for the network

    def fail(batch):
        if batch['inputs'][0].shape[-1] == 1:
            raise RuntimeError('too small')
        return type(model).test_step(model, batch)

    model.test_step = fail
    try:
        with pytest.raises(ValueError, match='c.png: the network cannot read'):
            predict_files(model, photos, tmp_path / 'out')
    finally:
        del model.test_step
    with open(tmp_path / 'out' / 'class_shares.csv', newline='') as file:
        assert len(list(csv.reader(file))) == 1 + 4


def test_a_missing_input_leaves_no_folder(model, tmp_path):
    for source in ('nowhere', 'nowhere.txt'):
        with pytest.raises(FileNotFoundError):
            predict_files(model, tmp_path / source, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_what_else_a_folder_holds_is_named_and_odd_endings_are_taken(model, photos, tmp_path, said):
    for name in ('pic.HEIC', 'clip.mp4'):
        (photos / name).write_bytes(b'x')
    (photos / 'odd.Png').write_bytes((photos / 'a' / '0.png').read_bytes())
    assert predict_files(model, photos, tmp_path / 'out').files == ['a/0', 'a/1', 'b/0', 'b/1', 'odd']
    assert said == [f'{photos}: not predicted: 2 with another ending (1 *.mp4, 1 *.HEIC)']
    assert predict_files(model, str(photos / 'o*'), tmp_path / 'out').files == ['odd']


def test_lists_of_windows_and_of_one_image_twice(photos, said):
    path = photos / 'some.txt'
    path.write_bytes('b\\1.png\r\na/0.png\r\n./b/1.png\r\n'.encode('utf-16'))
    items = listed(path)
    assert output_stems(items) == ['b/1', 'a/0'] and Path(items[0].value) == photos / 'b' / '1.png'
    assert said == [f'{path}: repeated lines: 1; each image is predicted once']
    path.write_bytes('grün.png'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'some\.txt.* is no text in UTF-8'):
        listed(path)


def test_a_config_alone_asks_for_its_checkpoint():
    from mmseg_dg.apis.loading import load
    with pytest.raises(ValueError, match='demo.py is a config: give its CHECKPOINT as the second argument'):
        load(ROOT / 'configs/demo/daformer_synthcity_demo.py')


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
    def stems(*names):
        return output_stems([Input(f'x/{name}', f'x/{name}', name) for name in names])

    assert stems('1.png', '1.jpg', '2.jpg') == ['1.png', '1.jpg', '2']
    assert stems('x.png', 'x.jpg', 'x.png.png', 'y.png.png') == ['x.png', 'x.jpg', 'x.png.png', 'y.png']
    assert stems('1.png', '1.png') == ['1.png', '1.png'], 'the same file twice: no endless search'


def test_a_video_is_predicted_frame_by_frame(model, photos, tmp_path, said):
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
    assert not said
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:len(content) * 2 // 3])
    frames = predict_files(model, path, tmp_path / 'out').images
    assert frames < 3 and f'{path}: {frames} of 3 frames could be read' in said[0]
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match='broken.mp4'):
        predict_files(model, tmp_path / 'broken.mp4', tmp_path / 'out')


def test_progress_of_a_video_without_a_length(model, tmp_path, said, monkeypatch):
    from mmseg_dg.apis.result_files import ResultWriter
    monkeypatch.setattr('mmseg_dg.apis.result_files._SPEAK', -1.0)
    for total, text in ((None, '1 frames done'), (4, '1 of 4 images, 0 s left')):
        writer = ResultWriter(model, tmp_path, False, False)
        writer.begin(total)
        writer.write(Input('frame', np.zeros((8, 8, 3), np.uint8)), np.zeros((8, 8), int), '0')
        assert said.pop() == text


def test_the_tool_segments_a_folder_with_the_shipped_network(photos, tmp_path):
    config = str(ROOT / 'configs/demo/daformer_synthcity_demo.py')
    command = [sys.executable, str(ROOT / 'tools' / 'predict.py'), config, 'mmseg_dg://city_day_mobilenetv2',
               str(photos), '--out', str(tmp_path / 'out'), '--overlay', '--device', 'cpu']
    (photos / 'bad.png').write_bytes(b'no image')
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert '1 of 5 files cannot be read:\n  ' in done.stderr and done.stderr.rstrip().splitlines()[-1].count('bad.png')
    assert len(list((tmp_path / 'out' / 'overlays').rglob('*.jpg'))) == 4
    command[4] = str(tmp_path / 'nowhere')
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and 'nowhere' in done.stderr and 'Traceback' not in done.stderr
