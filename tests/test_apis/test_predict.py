"""``predict``: what may be given, by which rule it becomes an image, and that it is what tools/test.py predicts."""
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_dg.apis import list_inputs, load_model, predict


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Two folders with equal names, two sizes, and what does not belong there."""
    root = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(3)
    for folder, size in (('a', (80, 96)), ('b', (64, 72))):
        (root / folder).mkdir()
        for i in range(2):
            cv2.imwrite(str(root / folder / f'{i}.png'), rng.integers(0, 256, (*size, 3), np.uint8))
    (root / '.ipynb_checkpoints').mkdir()
    cv2.imwrite(str(root / '.ipynb_checkpoints' / '0.png'), np.zeros((80, 96, 3), np.uint8))
    (root / 'notes.txt').write_text('no image')
    return root


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return load_model(tiny_config(), device='cpu')


def test_files_folders_patterns_and_batches(model, photos):
    expected = [predict(model, photos / folder / f'{i}.png') for folder in 'ab' for i in range(2)]
    assert [ids.shape for ids in expected] == [(80, 96)] * 2 + [(64, 72)] * 2 and expected[0].dtype == np.int64
    for inputs in (photos, str(photos / '*' / '*.png'), [photos / 'a', str(photos / 'b' / '?.png')]):
        found = predict(model, inputs, batch_size=3)
        assert len(found) == 4, 'hidden folders and other files are no images'
        assert all(np.array_equal(a, b) for a, b in zip(found, expected))
    assert [item.below for item in list_inputs(photos)[0]] == ['a/0.png', 'a/1.png', 'b/0.png', 'b/1.png']
    assert len(predict(model, [photos / 'a' / '0.png'])) == 1, 'a list gives a list'
    assert predict(model, []) == []


def test_arrays_and_pillow_images_by_stated_rules(model, photos):
    path = photos / 'a' / '0.png'
    image, expected = cv2.imread(str(path)), predict(model, path)
    gray = image[..., 0]
    for same in (image, Image.open(path), (image / 255).astype(np.float32), image.astype(np.uint16) * 257,
                 Image.fromarray(np.dstack([image[..., ::-1], np.full((80, 96), 9, np.uint8)]), 'RGBA')):
        assert np.array_equal(predict(model, same), expected)
    expected = predict(model, np.repeat(gray[..., None], 3, 2))
    for same in (gray, gray[..., None], Image.fromarray(gray)):
        assert np.array_equal(predict(model, same), expected)


@pytest.mark.parametrize('array, word', [
    (np.zeros((80, 96, 4), np.uint8), r'uint8 \(80, 96, 4\)'), (np.zeros((3, 80, 96), np.uint8), 'channels come last'),
    (np.zeros((2, 80, 96, 3), np.uint8), 'list of arrays'), (np.zeros((0, 96, 3), np.uint8), 'empty'),
    (np.full((80, 96, 3), 200.0), r'0\.\.1, these are 200'), (np.full((80, 96, 3), np.nan), 'float64'),
    (np.full((80, 96, 3), 4095, np.uint16), 'bit_depth=12'), (np.zeros((80, 96, 3), np.int64), 'int64 is not taken'),
    (np.zeros((8, 8, 3), np.uint8), r'array uint8 \(8, 8, 3\).*8x8'), (np.zeros(5, np.uint8), 'shape of an image'),
])
def test_other_arrays_are_refused_by_type_and_shape(model, array, word):
    if array.shape[:2] == (8, 8):  # this network reads 8x8; one that cannot says so
        model.evaluated_network.backbone.forward = _too_small
    with pytest.raises(ValueError, match=word):
        predict(model, array)


def _too_small(images):
    raise RuntimeError('kernel larger than image')


def test_bit_depth_of_the_config_scales_files_and_arrays(tiny_config, photos, tmp_path):
    cfg = tiny_config()
    image = cv2.imread(str(photos / 'a' / '0.png'))
    deep = ((image.astype(int) * 4095 + 127) // 255).astype(np.uint16)  # 12 bits
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match='deep.png: .*3 channels of 16 bits.*bit_depth'):
        predict(load_model(cfg, device='cpu'), tmp_path / 'deep.png')
    cfg.test_dataloader.target.dataset.pipeline[0].bit_depth = 12
    torch.manual_seed(0)
    model = load_model(cfg, device='cpu')
    expected = predict(model, image)
    assert np.array_equal(predict(model, tmp_path / 'deep.png'), expected)
    assert np.array_equal(predict(model, deep), expected)
    with pytest.raises(ValueError, match='needs 13 bits, but bit_depth=12'):
        predict(model, deep + 4096)


def test_confidence_and_training_mode(model, photos):
    model.train()
    ids, confidence = predict(model, photos / 'a' / '0.png', confidence=True)
    assert model.training, 'the mode it was in'
    assert confidence.shape == ids.shape == (80, 96) and confidence.dtype == np.float32
    assert 0.25 <= confidence.min() and confidence.max() <= 1, 'at least one part in four classes'
    one, two = predict(model, [photos / 'a' / '0.png', photos / 'a' / '1.png'], 2, confidence=True)
    assert np.array_equal(one.ids, ids) and np.allclose(one.confidence, confidence, atol=1e-5)


def test_missing_files_and_wrong_kinds(model, photos, tmp_path):
    for inputs, word in ((photos / 'c.png', 'no image or folder at'), (tmp_path, 'it is empty'),
                         (str(photos / '*.txt'), r'fits 1 \*\.txt')):
        with pytest.raises(FileNotFoundError, match=word):
            predict(model, inputs)
    for inputs in (torch.zeros(3, 8, 8), dict(img=1), 3, [3]):
        with pytest.raises(TypeError, match='cannot predict'):
            predict(model, inputs)
    with pytest.raises(ValueError, match='batch_size'):
        predict(model, photos, batch_size=0)
    with pytest.raises(TypeError, match='load_model'):
        predict(model.student, photos)


def test_equals_the_test_loop_and_has_the_classes(tiny_config, run_config, tiny_data, tmp_path):
    cfg = tiny_config()
    cfg.test_evaluator = dict(type='ConfusionMatrixMetric', output_dir=str(tmp_path / 'out'))
    runner = run_config(cfg, train=False)
    runner.test()
    meta = dict(classes=('a', 'b', 'c', 'd'), palette=[[1, 2, 3]] * 4)
    torch.save(dict(state_dict=runner.model.state_dict(), meta=dict(dataset_meta=meta)), tmp_path / 'weights.pth')
    model = load_model(cfg, tmp_path / 'weights.pth', device='cpu')
    assert model.dataset_meta == meta, 'those of the checkpoint'
    found = predict(model, tiny_data / 'target' / 'img', batch_size=5)
    for i, ids in enumerate(found):
        assert np.array_equal(ids, cv2.imread(str(tmp_path / 'out' / f'{i:02d}.png'), cv2.IMREAD_UNCHANGED))


def test_without_a_test_domain_it_loads_as_training_does(tiny_config, photos):
    cfg = tiny_config()
    for key in ('val_dataloader', 'test_dataloader'):
        cfg[key] = None
    cfg.train_dataloader.source.dataset.pipeline.insert(2, dict(type='Resize', scale=(48, 40), keep_ratio=False))
    cfg.train_dataloader.target.dataset.pipeline.insert(1, dict(type='Resize', scale=(192, 160), keep_ratio=False))
    seen = []
    model = load_model(cfg, device='cpu')
    model.evaluated_network.backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    assert predict(model, photos / 'a' / '0.png').shape == (80, 96)
    assert seen[0].shape[-2:] == (160, 192), 'the fixed size of the target stream, no crop'
    assert seen[0].abs().max() < 3, 'normalized as in training'
    assert model.dataset_meta['classes'][0] == 'road', 'without a checkpoint from the datasets'
    cfg.train_dataloader = None
    with pytest.raises(ValueError, match='give it a test_dataloader'):
        predict(load_model(cfg, device='cpu'), photos)


def test_a_frame_for_scoring_is_not_predicted(tiny_config, photos):
    cfg = tiny_config()
    cfg.test_dataloader.target.dataset.pipeline[1:1] = [dict(type='ResizeToHeight', height=64),
                                                        dict(type='CenterCropPad', size=(64, 64))]
    assert predict(load_model(cfg, device='cpu'), photos / 'a' / '0.png').shape == (80, 96)
