"""Image files before and while they are decoded: headers, bit depth, channels, size, and what a folder holds."""
import io
import os

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile as Stock
from PIL import Image

from mmseg_dg.datasets import FolderDataset, UnlabeledImageDataset
from mmseg_dg.datasets.bit_depth import to_uint8
from mmseg_dg.datasets.checks import check_leaf
from mmseg_dg.datasets.folder_scan import scan_folder
from mmseg_dg.datasets.image_header import read_header, size_problem
from mmseg_dg.datasets.image_lists import read_list
from mmseg_dg.datasets.transforms import LoadImageFromFile
from mmseg_dg.datasets.usage import usage_of
from mmseg_dg.registry import DATASETS

RNG = np.random.default_rng(0)


def encoded(array, ending, *params):
    return cv2.imencode(ending, array, *params)[1].tobytes()


def pixels(channels=3, dtype=np.uint8, high=256):
    return RNG.integers(0, high, (20, 30, channels)).astype(dtype)


def saved(array_or_image, form, **kwargs):
    content = io.BytesIO()
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(content, form, **kwargs)
    return content.getvalue()


@pytest.mark.parametrize('content, channels, alpha, bits', [
    (encoded(pixels(), '.png'), 3, False, 8), (encoded(pixels(4), '.png'), 3, True, 8),
    (encoded(pixels(1), '.png'), 1, False, 8), (encoded(pixels(3, np.uint16), '.png'), 3, False, 16),
    (saved(Image.new('LA', (30, 20)), 'PNG'), 1, True, 8),
    (saved(Image.new('P', (30, 20)), 'PNG', bits=2), 3, False, 8),
    (encoded(pixels(), '.jpg'), 3, False, 8), (saved(Image.new('CMYK', (30, 20)), 'JPEG'), 3, False, 8),
    (encoded(pixels(3, np.uint16), '.tif'), 3, False, 16), (encoded(pixels(1, np.uint16), '.tif'), 1, False, 16),
    (encoded(pixels(4), '.tif'), 4, False, 8), (saved(Image.new('RGBA', (30, 20)), 'TIFF'), 3, True, 8),
    (encoded(pixels(), '.bmp'), 3, False, 8), (encoded(pixels(3, np.uint16, 999), '.ppm'), 3, False, 16),
    (saved(Image.new('RGBA', (30, 20)), 'WEBP'), 3, True, 8),
], ids=lambda x: str(x)[:12] if isinstance(x, bytes) else str(x))
def test_headers_say_what_decoding_gives(content, channels, alpha, bits):
    header = read_header(content)
    assert (header.channels, header.alpha, header.bits) == (channels, alpha, bits)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert (header.height, header.width) == decoded.shape[:2] == (20, 30)
    assert read_header(content[:4096]) == header or content[:2] in (b'II', b'MM'), 'the start is enough'


@pytest.mark.parametrize('form', ['JPEG', 'WEBP', 'TIFF'])
def test_turned_images_have_the_size_they_are_loaded_with(form):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(pixels(), form, exif=exif)
    assert read_header(content)[1:3] == cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape[:2]


def test_float_tiffs_huge_images_and_no_images(tmp_path):
    header = read_header(encoded(RNG.random((20, 30, 3)).astype(np.float32), '.tif'))
    assert header.floating and header.bits == 32
    huge = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + (20000).to_bytes(4, 'big') * 2 + b'\x08\x02\0\0\0'
    (tmp_path / 'huge.png').write_bytes(huge)
    assert '20000x20000' in size_problem(read_header(tmp_path / 'huge.png')) and not size_problem(header)
    assert not size_problem(read_header(huge), None)
    with pytest.raises(ValueError, match=r'huge.png: 20000x20000.*400000000 pixels, more than max_pixels=100000000'):
        LoadImageFromFile()(dict(img_path=str(tmp_path / 'huge.png')))
    for content in (b'', b'no image', b'II*\0\xff\xff\xff\xff', encoded(pixels(), '.png')[:20]):
        with pytest.raises(OSError):
            read_header(content)


def test_eight_bits_load_as_in_mmcv(tmp_path):
    for name, content in (('a.png', encoded(pixels(), '.png')), ('b.jpg', encoded(pixels(), '.jpg')),
                          ('c.png', encoded(pixels(4), '.png')), ('d.png', encoded(pixels(1), '.png'))):
        (tmp_path / name).write_bytes(content)
        ours, stock = (cls()(dict(img_path=str(tmp_path / name))) for cls in (LoadImageFromFile, Stock))
        assert np.array_equal(ours.pop('img'), stock.pop('img')) and ours == stock
    assert ours['ori_shape'] == (20, 30)


def test_deep_images_are_scaled_by_bit_depth_and_never_cut_off(tmp_path):
    path = tmp_path / 'deep.png'
    image = pixels(3, np.uint16, 4096)
    image[0, 0] = 0, 2048, 4095
    path.write_bytes(encoded(image, '.png'))
    with pytest.raises(ValueError, match='deep.png.*3 channels of 16 bits.*bit_depth=16'):
        LoadImageFromFile()(dict(img_path=str(path)))
    found = LoadImageFromFile(bit_depth=12)(dict(img_path=str(path)))['img']
    assert found.dtype == np.uint8 and found[0, 0].tolist() == [0, 128, 255]
    assert np.abs(found - image / 4095 * 255).max() <= 0.5 + 1e-9
    assert len(np.unique(to_uint8(np.arange(4096, dtype=np.uint16), 12, 'x'))) == 256
    assert to_uint8(np.array([0, 257, 65535], np.uint16), 16, 'x').tolist() == [0, 1, 255]
    with pytest.raises(ValueError, match='deep.png: the value 4095 needs 12 bits, but bit_depth=10'):
        LoadImageFromFile(bit_depth=10)(dict(img_path=str(path)))
    for wrong in (7, 17, 12.5, True, '12'):
        with pytest.raises(ValueError, match='bit_depth is the number of bits'):
            LoadImageFromFile(bit_depth=wrong)
    path.write_bytes(encoded(image[..., :1], '.png'))  # gray
    assert LoadImageFromFile(bit_depth=12)(dict(img_path=str(path)))['img'].shape == (20, 30, 3)
    path.write_bytes(encoded(pixels(4), '.tif'))
    with pytest.raises(ValueError, match='4 channels.*save the three'):
        LoadImageFromFile()(dict(img_path=str(path)))


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / 'cut.png').write_bytes(encoded(pixels(), '.png')[:200])
    (tmp_path / 'text.png').write_text('no image')
    for name in ('cut.png', 'text.png'):
        with pytest.raises(ValueError, match=f'{name}: cannot be read as an image'):
            LoadImageFromFile()(dict(img_path=str(tmp_path / name)))
    with pytest.raises(FileNotFoundError):
        LoadImageFromFile()(dict(img_path=str(tmp_path / 'nothing.png')))
    assert LoadImageFromFile(ignore_empty=True)(dict(img_path=str(tmp_path / 'nothing.png'))) is None


# ---------------------------------------------------------------- folders
@pytest.fixture
def folder(tmp_path):
    """One good image, and one of each kind that is left out."""
    root = tmp_path / 'img'
    (root / 'a').mkdir(parents=True)
    (root / '.ipynb_checkpoints').mkdir()
    (root / 'b.png').mkdir()
    for name in ('a/0.png', '.ipynb_checkpoints/0-checkpoint.png', 'b.png/0.png', 'a/1.tif', '._0.png', 'notes.txt'):
        (root / name).write_bytes(encoded(pixels(), '.png'))
    os.symlink(tmp_path / 'nowhere.png', root / 'gone.png')
    os.symlink(root, root / 'a' / 'loop')
    return root


def test_what_a_folder_holds(folder):
    found = scan_folder(str(folder), ('.png', '.jpg'))
    assert found.files == ['a/0.png']
    assert found.left_out == {
        'other ending': ['a/1.tif', 'notes.txt'], 'broken link': ['gone.png'],
        'folder named like an image': ['b.png'], 'hidden': ['._0.png', '.ipynb_checkpoints/0-checkpoint.png']}


def test_datasets_use_none_of_it_and_can_say_why(folder):
    dataset = UnlabeledImageDataset(like='cityscapes', data_root=str(folder.parent), data_prefix=dict(img_path='img'))
    usage = usage_of(dataset)
    assert usage.used == ['a/0.png'] and usage.is_doubtful
    for part in ('uses 1 image (1 *.png)', '2 with another ending (1 *.tif, 1 *.txt)', '1 broken link (gone.png)',
                 '1 folder named like an image (b.png)', '2 hidden (._0.png, .ipynb_checkpoints'):
        assert part in usage.text
    (folder / 'a' / 'loop').unlink()  # mmengine would follow it without end
    stock = DATASETS.build(dict(type='mmseg.BaseSegDataset', data_root=str(folder.parent), img_suffix='.png',
                                data_prefix=dict(img_path='img'), metainfo=dict(classes=('a', )), pipeline=[]))
    with pytest.raises(ValueError, match=r'hidden folders.*ipynb_checkpoints.*Delete'):
        check_leaf(stock)


def listed(folder, content, **kwargs):
    (folder.parent / 'list.txt').write_bytes(content)
    return FolderDataset(['a'], data_root=str(folder.parent), data_prefix=dict(img_path='img'), ann_file='list.txt',
                         pipeline=[], **kwargs)


@pytest.mark.parametrize('content', [b'\xef\xbb\xbfa/0.png\n', 'a/0\r\n'.encode('utf-16'), b'a\\0.png\r\n\r\n',
                                     b'  a/0.png  '])
def test_lists_as_editors_write_them(folder, content):
    assert [info['img_path'][-7:] for info in listed(folder, content).load_data_list()] == ['a/0.png']


def test_lists_that_cannot_be_read_say_why(folder):
    with pytest.raises(ValueError, match=r"list.txt' has 2 columns \('a/0.png m/0.png'\).*keep the first column"):
        listed(folder, b'a/0.png m/0.png\na/1.png m/1.png\n')
    with pytest.raises(FileNotFoundError, match="'my photo.png'"):
        listed(folder, b'a/0.png\nmy photo.png\n')
    with pytest.raises(ValueError, match='no text in UTF-8.*save it as UTF-8'):
        listed(folder, 'a/0.png\nstraße.png'.encode('latin-1'))
    (folder / 'my photo.png').write_bytes(encoded(pixels(), '.png'))
    assert len(listed(folder, b'a/0.png\nmy photo.png\n')) == 2, 'names may contain blanks'
    assert read_list(str(folder.parent / 'list.txt'), 'x') == ['a/0.png', 'my photo.png']


def test_lists_of_stock_datasets(folder):
    def stock(content):
        (folder.parent / 'list.txt').write_bytes(content)
        return DATASETS.build(dict(
            type='mmseg.BaseSegDataset', data_root=str(folder.parent), img_suffix='.png', ann_file='list.txt',
            data_prefix=dict(img_path='img'), metainfo=dict(classes=('a', )), pipeline=[]))

    check_leaf(stock(b'a/0\n'))
    with pytest.raises(ValueError, match='byte order mark'):
        check_leaf(stock(b'\xef\xbb\xbfa/0\n'))
    with pytest.raises(ValueError, match='2 columns'):
        check_leaf(stock(b'a/0 m/0\n'))


def test_a_loop_is_not_followed_from_a_relative_folder_either(tmp_path, monkeypatch):
    (tmp_path / 'data' / 'a').mkdir(parents=True)
    (tmp_path / 'data' / 'a' / '0.png').write_bytes(encoded(pixels(), '.png'))
    os.symlink('../a', tmp_path / 'data' / 'a' / 'link')
    monkeypatch.chdir(tmp_path)
    assert scan_folder('data', '.png').files == ['a/0.png'] == scan_folder(str(tmp_path / 'data'), '.png').files
