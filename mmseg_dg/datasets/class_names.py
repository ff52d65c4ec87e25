"""Class names from a text file, and colors for them."""
import colorsys
import re
from pathlib import Path
from typing import NamedTuple, Optional, Union

from .image_lists import read_lines

#: Colors that stay apart for readers who do not tell red from green (Okabe and Ito, "Color
#: Universal Design"), with gray first: black is what has no label.
_FIRST = ((150, 150, 150), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
          (0, 114, 178), (213, 94, 0), (204, 121, 167))


def distinct_colors(count: int) -> list[list[int]]:
    """Red, green, blue (0..255) for ``count`` classes, the same each time: eight that everyone can
    tell apart, then hues that turn by the golden angle."""
    colors = [list(color) for color in _FIRST[:count]]
    for i in range(len(_FIRST), count):
        # 137.508 degrees, the golden angle: any number of hues is spread evenly; neighbors in the
        # list also differ in brightness
        hue, value = (i * 137.508) % 360 / 360, (0.95, 0.7, 0.45)[i % 3]
        colors.append([round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, value)])
    return colors


class ClassList(NamedTuple):
    """What a file of classes says.

    Attributes:
        classes: Names in the order of the ids.
        palette: Red, green, blue (0..255) per class; None where no line has a color.
    """
    classes: list[str]
    palette: Optional[list[list[int]]]


def read_classes(path: Union[str, Path]) -> ClassList:
    """Read one class per line, ``leaf`` or ``leaf 0 160 0``; the first line is id 0.

    Blank lines and lines that begin with ``#`` are passed over. A config may write ``classes,
    palette = read_classes('classes.txt')``, which also tells it their number;
    ``FolderDataset(classes='classes.txt')`` reads the file itself.

    Args:
        path: Text file in UTF-8 or UTF-16; a relative path counts from the current folder.

    Returns:
        Names, and colors [red, green, blue] (None where the file has none).

    Raises:
        FileNotFoundError: No such file.
        ValueError: No name, a name twice, colors for some classes only, a color outside 0..255 or
            written in another way, or a number before each name.
    """
    path = str(path)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'classes={path!r} is no file of class names (in {Path.cwd()}): write one name per '
            "line into it, or give a list of names such as ['background', 'crack']")
    names, colors = [], []
    for number, line in enumerate(read_lines(path, 'classes', what='class name'), 1):
        if not line or line.startswith('#'):
            continue
        if re.search(r'\s#', line):  # would become part of a name
            raise ValueError(f'{path}, line {number}: {line!r} has a # behind the name: a color is '
                             'three numbers (255 0 0 for #ff0000), a comment has a line of its own')
        # a name, then three numbers; without them the whole line is the name
        match = re.fullmatch(r'(.*?\S)[\s,;]+(\d+)[\s,;]+(\d+)[\s,;]+(\d+)', line)
        color = [int(part) for part in match.groups()[1:]] if match else None
        if color and max(color) > 255:
            raise ValueError(f'{path}, line {number}: the color {color} is not red, green, blue of '
                             '0..255')
        names.append(match.group(1) if match else line)
        colors.append(color)
    if len(names) > 1 and all(re.match(r'\d+\s*[\s,;:.]', name) for name in names):
        raise ValueError(
            f'{path}: each name begins with a number ({names[0]!r}): leave the numbers '
            'out, the first name is id 0, the next one 1, and so on')
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise ValueError(f'{path}: ' + (f'names classes twice: {twice}' if twice else 'names no '
                                        'class'))
    palette = [color for color in colors if color]
    if palette and len(palette) < len(names):
        bare = names[colors.index(None)]
        raise ValueError(f'{path}: {bare!r} has no color, others have one: give each class three '
                         'numbers (red, green, blue), or none')
    return ClassList(names, palette or None)
