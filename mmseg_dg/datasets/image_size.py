"""The size an image will have when it is loaded, from its first bytes."""
from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 mean turned by 90 degrees
_TAG_COMES_FIRST = ('JPEG', 'MPO')


def image_size(path: str) -> tuple[int, int]:
    """Height and width of an image file as OpenCV and mmcv load it: turned as its EXIF tag says.

    The tag is read from JPEG files only; in a PNG it may follow the picture, so that all of it
    would have to be read.

    Args:
        path: Local file.

    Raises:
        OSError: Not there, or no image.
    """
    with Image.open(path) as image:  # reads the header only
        width, height = image.size
        turned = image.format in _TAG_COMES_FIRST and image.getexif().get(_ORIENTATION, 1) > 4
    return (width, height) if turned else (height, width)
