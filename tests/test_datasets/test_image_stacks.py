"""Images of more than three channels: reading, statistics, jitter, and what is said of those that do not fit."""
import importlib.util

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData  # noqa: F401  loads the library stack

from mmseg_dg.datasets.statistics.channel_statistics import channel_statistics
from mmseg_dg.datasets.transforms import ColorJitter, LoadImageStack
from mmseg_dg.datasets.transforms.photometric import JitterParameters, jitter
from mmseg_dg.models.data_preprocessor import MultiStreamDataPreprocessor
from mmseg_dg.ops import StrongView, apply_strong_view, color_jitter, denormalize, normalize
from mmseg_dg.ops.color import JitterParams
from mmseg_dg.ops.strong_view import StrongJitter

needs_tifffile = pytest.mark.skipif(importlib.util.find_spec('tifffile') is None, reason='an optional dependency')


def stack(channels=6, dtype=np.uint8, top=255):
    return np.random.RandomState(0).randint(0, top + 1, (5, 7, channels)).astype(dtype)


def load(path, channels, **kwargs):
    return LoadImageStack(channels=channels, **kwargs)(dict(img_path=str(path)))


@needs_tifffile
def test_every_arrangement_of_a_tiff(tmp_path):
    import tifffile
    image = stack()
    tifffile.imwrite(tmp_path / 'beside.tif', image, photometric='minisblack', planarconfig='contig')
    tifffile.imwrite(tmp_path / 'planes.tif', image.transpose(2, 0, 1), photometric='minisblack',
                     planarconfig='separate')
    tifffile.imwrite(tmp_path / 'pages.tif', image.transpose(2, 0, 1), photometric='minisblack', compression='zlib')
    for name in ('beside', 'planes', 'pages'):
        results = load(tmp_path / f'{name}.tif', 6)
        assert np.array_equal(results['img'], image), name
        assert results['img_shape'] == results['ori_shape'] == (5, 7)
    with pytest.raises(ValueError, match=r'pages.tif: 6 channels, but LoadImageStack has channels=4'):
        load(tmp_path / 'pages.tif', 4)
    (tmp_path / 'cut.tif').write_bytes((tmp_path / 'beside.tif').read_bytes()[:60])
    with pytest.raises(ValueError, match='cut.tif: cannot be read as a TIFF stack'):
        load(tmp_path / 'cut.tif', 6)
    tifffile.imwrite(tmp_path / 'cube.tif', np.zeros((2, 3, 5, 7), np.uint8), photometric='minisblack')
    with pytest.raises(ValueError, match='cube.tif: a TIFF of axes .* expected height, width and at most one'):
        load(tmp_path / 'cube.tif', 6)


@needs_tifffile
def test_values_beyond_eight_bits(tmp_path):
    import tifffile
    deep = stack(dtype=np.uint16, top=4095)
    tifffile.imwrite(tmp_path / 'deep.tif', deep, photometric='minisblack', planarconfig='contig')
    expected = deep * (255 / 4095)
    assert np.abs(load(tmp_path / 'deep.tif', 6, bit_depth=12)['img'] - expected).max() <= 0.5
    kept = load(tmp_path / 'deep.tif', 6, bit_depth=12, to_float32=True)['img']
    assert kept.dtype == np.float32 and np.abs(kept - expected).max() < 1e-4
    with pytest.raises(ValueError, match='deep.tif: it is a TIFF .*bit_depth=16'):
        load(tmp_path / 'deep.tif', 6)
    with pytest.raises(ValueError, match='needs 12 bits, but bit_depth=10'):
        load(tmp_path / 'deep.tif', 6, bit_depth=10)
    reflectance = deep.astype(np.float32) / 4095
    tifffile.imwrite(tmp_path / 'float.tif', reflectance, photometric='minisblack', planarconfig='contig')
    found = load(tmp_path / 'float.tif', 6, value_range=(0., 0.5))['img']
    assert found.dtype == np.uint8 and np.abs(found - reflectance.clip(0, 0.5) * 510).max() <= 0.51
    with pytest.raises(ValueError, match=r'float.tif: it is a .*value_range=\(lowest, highest\)'):
        load(tmp_path / 'float.tif', 6)
    reflectance[0, 0, 0] = np.nan
    tifffile.imwrite(tmp_path / 'nan.tif', reflectance, photometric='minisblack', planarconfig='contig')
    with pytest.raises(ValueError, match='nan.tif: missing values'):
        load(tmp_path / 'nan.tif', 6, value_range=(0., 1.))


def test_four_channels_of_a_png_in_the_order_of_the_file(tmp_path):
    image = stack(4)
    cv2.imwrite(str(tmp_path / 'rgba.png'), image[..., [2, 1, 0, 3]])  # OpenCV writes blue first
    assert np.array_equal(load(tmp_path / 'rgba.png', 4)['img'], image)
    with pytest.raises(ValueError, match='rgba.png: it is a PNG .* but LoadImageStack has channels=5'):
        load(tmp_path / 'rgba.png', 5)
    with pytest.raises(ValueError, match='channels=0 must be positive'):
        LoadImageStack(channels=0)
    with pytest.raises(ValueError, match='value_range'):
        LoadImageStack(channels=4, value_range=(1, 0))


def test_statistics_are_those_of_all_pixels():
    images = [np.random.RandomState(i).randint(0, 256, (4 + i, 5, 6)).astype(np.uint8) for i in range(4)]
    pixels = np.concatenate([image.reshape(-1, 6) for image in images]).astype(float)
    found = channel_statistics(iter(images))
    assert np.allclose(found.mean, pixels.mean(0)) and np.allclose(found.std, pixels.std(0))
    assert (found.images, found.pixels) == (4, len(pixels)) and 'bgr_to_rgb=False' in found.text
    with pytest.raises(ValueError, match='image 1 has 3 channels, those before it 6'):
        channel_statistics([images[0], images[1][..., :3]])
    with pytest.raises(ValueError, match='no images'):
        channel_statistics([])


def test_jitter_leaves_further_channels_alone():
    image = stack(6)
    parameters = JitterParameters(1.3, 0.8, 1.2, 0.1)
    found = jitter(image, parameters)
    assert np.array_equal(found[..., 3:], image[..., 3:])
    assert np.array_equal(found[..., :3], jitter(image[..., 2::-1], parameters)[..., ::-1])
    assert ColorJitter(0.4, 0.4, 0.4, 0.1)(dict(img=image))['img'].shape == image.shape
    tensor = torch.rand(2, 6, 5, 7)
    params = JitterParams(1.1, 0.9, 1.2, 0.1, (2, 0, 3, 1))
    out = color_jitter(tensor, params)
    assert torch.equal(out[:, :3], color_jitter(tensor[:, :3], params)) and torch.equal(out[:, 3:], tensor[:, 3:])
    mean, std = [float(i) for i in range(6)], [i + 1. for i in range(6)]
    assert torch.allclose(normalize(denormalize(tensor, mean, std), mean, std), tensor, atol=1e-5)
    view = StrongView(StrongJitter(1.2, 0.9, 1.1, 0.1, (0, 1, 2, 3)), grayscale=True)
    out = apply_strong_view(tensor[0], view)
    assert torch.equal(out[3:], tensor[0, 3:]) and torch.equal(out[:3], apply_strong_view(tensor[0, :3], view))
    blurred = apply_strong_view(tensor[0], StrongView(sigma=1.))
    assert not torch.equal(blurred[3:], tensor[0, 3:])


def test_preprocessor_wants_one_mean_per_channel():
    images = dict(source=dict(inputs=[torch.zeros(4, 8, 8, dtype=torch.uint8)], data_samples=[]))
    three = dict(mean=[1., 2., 3.], std=[1., 1., 1.])
    with pytest.raises(ValueError, match='stream "source" have 4 channels, but data_preprocessor.mean has 3 values'):
        MultiStreamDataPreprocessor(**three)(images)
    four = dict(mean=[1., 2., 3., 4.], std=[1., 1., 1., 2.])
    with pytest.raises(ValueError, match='bgr_to_rgb .*swaps three and would do nothing'):
        MultiStreamDataPreprocessor(**four, bgr_to_rgb=True)(images)
    out = MultiStreamDataPreprocessor(**four)(images)['source']['inputs']
    assert out[0, :, 0, 0].tolist() == [-1., -2., -3., -2.]


@pytest.mark.parametrize('single', [False, True])
def test_one_mean_for_all_channels(single):
    """A jitter, which undoes the normalization channel by channel, takes it, too; the buffers stay as they are: they
    are broadcast between processes and part of fingerprints."""
    preprocessor = MultiStreamDataPreprocessor(mean=[4.], std=[2.])
    batch = dict(inputs=[torch.full((5, 8, 8), 6, dtype=torch.uint8)], data_samples=[])
    out = preprocessor(batch) if single else preprocessor(dict(source=batch))['source']
    assert out['inputs'].unique().tolist() == [1.]
    assert preprocessor.mean.shape == preprocessor.std.shape == (1, 1, 1)
    back = denormalize(out['inputs'], preprocessor.mean, preprocessor.std)
    assert torch.allclose(back * 255, torch.full((1, 5, 8, 8), 6.))
    with pytest.raises(ValueError, match='images have 5 channels, but data_preprocessor.std has 2 values'):
        MultiStreamDataPreprocessor(mean=[1.] * 5, std=[1.] * 2)(batch)
