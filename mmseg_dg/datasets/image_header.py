"""What an image file says about itself before it is decoded: size, channels, bit depth.

A few kilobytes of a file are read, whatever its size, so that thousands of files can be examined
before a training and a picture that would fill the memory is refused before it does.
"""
import io
import os
import struct
import threading
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional, Union

from PIL import Image, ImageFile

#: Images of more pixels are refused unless an argument says otherwise: 10 000 x 10 000, 300 MB once
#: decoded.
MAX_PIXELS = 100_000_000

_lock = threading.Lock()  # see open_unlimited
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 mean turned by 90 degrees
_PNG = b'\x89PNG\r\n\x1a\n'
# color type of a PNG: channels, alpha; 3 is a palette, which is loaded as color
_PNG_CHANNELS = {0: (1, False), 2: (3, False), 3: (3, False), 4: (1, True), 6: (3, True)}
_MODES = {  # Pillow's mode: color channels, alpha, bits
    '1': (1, False, 1), 'L': (1, False, 8), 'LA': (1, True, 8), 'La': (1, True, 8),
    'P': (3, False, 8), 'PA': (3, True, 8), 'RGB': (3, False, 8), 'RGBX': (3, False, 8),
    'RGBA': (3, True, 8), 'RGBa': (3, True, 8), 'CMYK': (4, False, 8), 'YCbCr': (3, False, 8),
    'LAB': (3, False, 8), 'HSV': (3, False, 8), 'I': (1, False, 32), 'F': (1, False, 32), 'I;16':
        (1, False, 16), 'I;16B': (1, False, 16), 'I;16L': (1, False, 16)
}


class ImageHeader(NamedTuple):
    """What the first bytes of an image say.

    Attributes:
        format: ``'PNG'``, ``'JPEG'``, ``'TIFF'`` and other names of Pillow.
        height: In pixels, as loaded: turned as the EXIF tag says.
        width: Likewise.
        channels: Color channels as loaded, without alpha: 1 for gray, 3 for color (also palette
            and CMYK, which loaders turn into color), more where a file has more than color.
        alpha: Whether a transparency channel comes besides.
        bits: Bits per channel.
        floating: Whether the values are floating-point numbers.
        orientation: EXIF orientation 1..8; 1 where there is none.
    """
    format: str
    height: int
    width: int
    channels: int
    alpha: bool
    bits: int
    floating: bool = False
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def text(self) -> str:
        """For people: ``PNG of 1920x1080 (width x height), 3 channels of 16 bits``."""
        kind = 'floating-point numbers' if self.floating else f'{self.bits} bits'
        alpha = ' and alpha' if self.alpha else ''
        plural = 's' if self.channels != 1 else ''
        return (f'{self.format} of {self.width}x{self.height} (width x height), {self.channels} '
                f'channel{plural}{alpha} of {kind}')


def read_header(source: Union[str, 'os.PathLike[str]', bytes]) -> ImageHeader:
    """The header of an image.

    Args:
        source: Path of a local file, or the file's content.

    Raises:
        OSError: Not there, empty, or no image (:class:`PIL.UnidentifiedImageError` is one).
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), 'image')
    with Path(source).open('rb') as file:
        return _read(file, os.fspath(source))


def _read(file: BinaryIO, name: str) -> ImageHeader:
    """The header, read by the format that the first bytes show; whatever goes wrong is an OSError
    with ``name`` in its message.
    """
    start = file.read(32)
    if not start:
        raise OSError(f'{name}: the file is empty')
    try:
        # by the first bytes: PNG, TIFF and BigTIFF in both byte orders, and portable maps
        if start[:8] == _PNG and start[12:16] == b'IHDR':
            header = _png(file, start)
        elif start[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'):
            header = _tiff(file, start)
        elif start[:2] in (b'P5', b'P6', b'P2', b'P3'):
            header = _pnm(file)
        else:
            header = _pillow(file)
    except (struct.error, KeyError, IndexError, SyntaxError, ValueError, OverflowError) as error:
        raise OSError(
            f'{name}: no image format is recognized ({type(error).__name__}: {error})') from error
    except OSError as error:
        raise OSError(f'{name}: no image format is recognized ({type(error).__name__})') from error
    if header.height < 1 or header.width < 1 or header.channels < 1:
        raise OSError(f'{name}: the header says {header.text}')
    return header


def _png(file: BinaryIO, start: bytes) -> ImageHeader:
    """The header of a PNG, of which ``start`` are the first bytes: signature (8), length and name
    of the chunk IHDR (8), then width, height, bits and color type.
    """
    width, height, bits, kind = struct.unpack('>IIBB', start[16:26])
    channels, alpha = _PNG_CHANNELS[kind]
    return ImageHeader(format='PNG', height=height, width=width, channels=channels, alpha=alpha,
                       bits=8 if kind == 3 else bits)  # the colors of a palette have 8 bits


def open_unlimited(file: BinaryIO) -> ImageFile.ImageFile:
    """``Image.open`` without Pillow's own limit of pixels, for callers that check
    :func:`size_problem` themselves. Nothing is decoded yet.
    """
    with _lock:  # the limit is a global variable of Pillow: one thread at a time changes it
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _pillow(file: BinaryIO) -> ImageHeader:
    """Formats without a reader of our own: Pillow opens the file and decodes nothing."""
    file.seek(0)
    image = open_unlimited(file)
    channels, alpha, bits = _MODES[image.mode]  # KeyError: a mode that is not known
    orientation = 1
    if image.format in ('JPEG', 'MPO', 'WEBP'):  # others may have the tag behind the picture
        orientation = image.getexif().get(_ORIENTATION, 1)
    if image.format in ('JPEG', 'MPO'):
        bits = vars(image).get('bits', bits)  # bits per channel, as the file states them
    header = ImageHeader(format=image.format or '', height=image.size[1], width=image.size[0],
                         channels=3 if image.mode == 'CMYK' else channels, alpha=alpha, bits=bits,
                         floating=image.mode == 'F')
    return _turned(header, orientation)


def _turned(header: ImageHeader, orientation: int) -> ImageHeader:
    """The header with the size after the turn that the EXIF orientation 1..8 asks for."""
    if orientation not in range(1, 9):  # 0 and what is no orientation: readers ignore it
        orientation = 1
    height, width = (header.width, header.height) if orientation > 4 else (header.height,
                                                                           header.width)
    return header._replace(height=height, width=width, orientation=orientation)


def _pnm(file: BinaryIO) -> ImageHeader:
    """Portable gray and color maps, whose bits follow from their largest value; read here, because
    Pillow scales those of 16 bits down without a word.
    """
    file.seek(0)
    words: list[bytes] = []  # of the header: kind, width, height, largest value; # begins a comment
    for line in file.read(1024).splitlines():
        words += line.split(b'#')[0].split()
        if len(words) >= 4:
            break
    width, height, largest = (int(word) for word in words[1:4])
    return ImageHeader(format='PPM', height=height, width=width,
                       channels=3 if words[0] in (b'P3', b'P6') else 1, alpha=False,
                       bits=largest.bit_length())


# ---------------------------------------------------------------- TIFF: Pillow knows few of its
# kinds
_SIZES = {1: ('B', 1), 3: ('H', 2), 4: ('I', 4), 16: ('Q', 8)}  # field type: struct code, bytes
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 256, 257, 258, 262
_SAMPLES, _EXTRA, _SAMPLE_FORMAT = 277, 338, 339


def _tiff(file: BinaryIO, start: bytes) -> ImageHeader:
    """Header of a TIFF file: size, channels and bits from the tags of its first image; ``start``
    has the first bytes.
    """
    tags = _tiff_tags(file, start)
    samples = tags.get(_SAMPLES, [1])[0]
    extra = tags.get(_EXTRA, [])
    photometric = tags.get(_PHOTOMETRIC, [1])[0]
    alpha = any(kind in (1, 2) for kind in extra)  # associated, unassociated; 0 says nothing
    # palette colors (3) and CMYK (5, four inks) are loaded as three channels
    is_cmyk = photometric == 5 and samples - len(extra) == 4
    channels = 3 if photometric == 3 or is_cmyk else samples - int(alpha)
    # tags and their defaults (1 sample of 1 bit) as TIFF defines them; sample format 3: floating
    bits, floating = max(tags.get(_BITS, [1])), 3 in tags.get(_SAMPLE_FORMAT, [])
    header = ImageHeader(format='TIFF', height=tags[_HEIGHT][0], width=tags[_WIDTH][0],
                         channels=channels, alpha=alpha, bits=bits, floating=floating)
    return _turned(header, tags.get(_ORIENTATION, [1])[0])


def _tiff_tags(file: BinaryIO, start: bytes) -> dict[int, list[int]]:
    """Whole-number tags of the first image of a TIFF: number of the tag -> values.

    An image begins with a count and a table of entries (tag, field type, number of values, the
    values or, where they are too long, their place in the file). BigTIFF has the same with wider
    numbers.

    Args:
        file: The file; read where its tables lie.
        start: Its first 16 bytes or more.
    """
    order = '<' if start[:2] == b'II' else '>'
    big = start[2:4] in (b'+\0', b'\0+')  # BigTIFF counts with 8 bytes
    word, count_code, entry_code = ('Q', 'Q', 'HHQ') if big else ('I', 'H', 'HHI')
    # word: a place in the file; count_code: the number of entries; entry_code: one of them without
    # its values
    offset, = struct.unpack_from(order + word, start, 8 if big else 4)
    file.seek(offset)
    count, = struct.unpack(order + count_code, file.read(struct.calcsize(order + count_code)))
    if not 0 < count < 4096:  # damaged: no image has that many
        raise ValueError(f'{count} tags')
    step, room = (20, 8) if big else (12, 4)  # bytes of an entry, and of the values at its end
    table = file.read(count * step)
    tags = {}
    for begin in range(0, count * step, step):
        tag, kind, length = struct.unpack_from(order + entry_code, table, begin)
        # tags that are asked for, of a sane length: others may be of any kind
        if kind not in _SIZES or not 0 < length <= 4096 or tag not in (_WIDTH, _HEIGHT, _BITS,
                                                                       _PHOTOMETRIC, _SAMPLES,
                                                                       _EXTRA, _SAMPLE_FORMAT,
                                                                       _ORIENTATION):
            continue
        code, size = _SIZES[kind]
        content = table[begin + step - room:begin + step]
        if size * length > room:  # too long for the entry, which has their place in the file then
            file.seek(struct.unpack(order + word, content)[0])
            content = file.read(size * length)
        tags[tag] = list(struct.unpack_from(f'{order}{length}{code}', content))
    return tags


# ---------------------------------------------------------------- what can be said before an image
# is decoded
def size_problem(header: ImageHeader, max_pixels: Optional[int] = MAX_PIXELS) -> str:
    """Why an image is too large, '' if it is not.

    Args:
        header: Of the image.
        max_pixels: Largest number of pixels; None: no limit.
    """
    if max_pixels is None or header.pixels <= max_pixels:
        return ''
    return (f'{header.width}x{header.height} (width x height) are {header.pixels} pixels, more '
            f'than max_pixels={max_pixels}; cut it into tiles, or raise max_pixels of '
            'LoadImageFromFile')
