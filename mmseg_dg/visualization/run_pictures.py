"""The pictures of a report: image, label, and prediction and confidence of each run, as HTML.

Shapes: H x W pixels.
"""
import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from .run_record import RunRecord, domains_of
from .tiles import colorize, heat

_KINDS = (('best', 'best of'), ('worst', 'worst of'))


class _Kept(NamedTuple):
    """What a run kept of a domain.

    Attributes:
        record: The run.
        folder: Where the pictures lie.
        material: Content of ``pictures.json``, which ``ReportMaterialHook`` writes: ``classes`` and
            ``palette`` (names and RGB), and ``pictures``, one dict per image with ``index`` in the
            dataset, ``stem`` of the files, ``path``, ``kinds`` and ``score`` (mIoU).
    """
    record: RunRecord
    folder: Path
    material: dict[str, Any]

    def find(self, image: '_Image') -> Optional[dict]:
        """The entry of an image; None where this run did not keep it."""
        return next((p for p in self.material['pictures'] if _image_of(p) == image), None)


#: Number of an image in its dataset, and its file with the folder it lies in: what is above may
#: have moved between two runs.
_Image = tuple[int, str]


def _image_of(picture: dict) -> _Image:
    """Which image an entry of ``pictures.json`` is of."""
    return int(picture['index']), '/'.join(Path(picture['path']).parts[-2:])


def pictures(records: Sequence[RunRecord]) -> str:
    """The pictures of each domain as HTML: some spread over it, then the best and the worst of each
    run.

    Runs are shown side by side where their images and classes are the same, else apart. A picture
    that cannot be read is left out and named.
    """
    parts: list[str] = []
    damaged: list[Path] = []
    for domain in domains_of(records):
        groups = _comparable([kept for r in records if (kept := _kept(r, domain)) is not None])
        for group in groups:
            titles = ', '.join(kept.record.title for kept in group)
            heading = f'{domain}: {titles}' if len(groups) > 1 else domain
            parts.append(f'<h3>{html.escape(heading)}</h3>')
            if len(groups) > 1 and group is groups[0]:
                parts.append('<p>Runs with other images, classes or colors under this name are '
                             'shown apart.</p>')
            parts.append(_legend(group[0].material))
            for words, images in _chosen(group):
                parts.append(f'<h4>{html.escape(words)}</h4>')
                parts += [_row(group, domain, image, damaged) for image in images]
    if damaged:
        names = ', '.join(dict.fromkeys(map(str, damaged)))
        parts.append(f'<p class="damaged">Left out, because they cannot be read: '
                     f'{html.escape(names)}</p>')
    return ''.join(parts) or ('<p>No pictures were kept: the config has no '
                              '<code>ReportMaterialHook</code>, or the run has not been evaluated '
                              'yet.</p>')


def _kept(record: RunRecord, domain: str) -> Optional[_Kept]:
    """What the newest evaluation of a run kept of a domain; None if there are no pictures."""
    if record.newest is None:
        return None
    folder = record.newest.material / domain
    path = folder / 'pictures.json'
    if not path.is_file():
        return None
    return _Kept(record, folder, json.loads(path.read_text(encoding='utf-8')))


def _comparable(found: Sequence[_Kept]) -> list[list[_Kept]]:
    """Runs in groups of equal classes and colors that share images: the name of a domain alone does
    not make them comparable.
    """
    groups: list[list[_Kept]] = []
    for kept in found:
        for group in groups:
            first = group[0].material
            images = {_image_of(p) for other in group for p in other.material['pictures']}
            if (all(first[key] == kept.material[key] for key in ('classes', 'palette'))
                    and any(_image_of(p) in images for p in kept.material['pictures'])):
                group.append(kept)
                break
        else:
            groups.append([kept])
    return groups


def _chosen(group: Sequence[_Kept]) -> list[tuple[str, list[_Image]]]:
    """What a group shows: ``(heading, images)``; an image that is the best (or the worst)
    of several runs is shown once, below all their names.
    """
    samples = dict.fromkeys(
        _image_of(p) for kept in group for p in kept.material['pictures'] if 'sample' in p['kinds'])
    chosen = [('spread over the domain', list(samples))]
    for kind, words in _KINDS:
        titles: dict[_Image, list[str]] = {}
        for kept in group:
            for picture in kept.material['pictures']:
                if kind in picture['kinds']:
                    titles.setdefault(_image_of(picture), []).append(kept.record.title)
        by_runs: dict[str, list[_Image]] = {}
        for image, names in titles.items():
            by_runs.setdefault(f'{words} {", ".join(names)}', []).append(image)
        chosen += by_runs.items()
    return [(words, images) for words, images in chosen if images]


def _legend(material: dict) -> str:
    """Color and name of every class, as HTML; ``material``: a domain's ``pictures.json``."""
    items = ''.join(f'<span><i style="background:rgb({r},{g},{b})"></i>{html.escape(name)}</span>'
                    for name, (r, g, b) in zip(material['classes'], material['palette']))
    return f'<p class="legend">{items}<span><i style="background:#000"></i>not labeled</span></p>'


def _row(group: Sequence[_Kept], domain: str, wanted: _Image, damaged: list[Path]) -> str:
    """A row of pictures of one image, as HTML: picture and label once, then prediction and
    confidence of each run that kept it.

    Args:
        group: Runs that can be compared.
        domain: The domain.
        wanted: The image.
        damaged: Gets the files that cannot be read.
    """
    palette = group[0].material['palette']
    shown = [(kept, entry) for kept in group if (entry := kept.find(wanted)) is not None]

    def read(kept: _Kept, entry: dict, what: str, flags: int) -> Optional[np.ndarray]:
        """A kept picture as :func:`read_picture`; None where it was not kept."""
        file = kept.folder / f'{entry["stem"]}_{what}'
        return read_picture(file, damaged, flags) if file.is_file() else None

    def first(what: str, flags: int) -> Optional[np.ndarray]:
        """What all runs have in common, of the first one that kept it."""
        found = (read(kept, entry, what, flags) for kept, entry in shown)
        return next((picture for picture in found if picture is not None), None)

    figures = []
    image, label = first('image.jpg', cv2.IMREAD_COLOR), first('label.png', cv2.IMREAD_GRAYSCALE)
    if image is not None:
        figures.append(_figure(jpeg(image[..., ::-1]),
                               f'image {wanted[1].split("/")[-1]}'))  # BGR to RGB
    if label is not None:
        figures.append(_figure(_png(colorize(label, palette)), 'label'))
    for kept, entry in shown:
        title = kept.record.title
        ids = read(kept, entry, 'prediction.png', cv2.IMREAD_GRAYSCALE)
        if ids is not None:
            # the number is the file's own in ``data-value``, unrounded
            score = '' if entry['score'] is None else (
                f', mIoU <span data-domain="{html.escape(domain)}" data-metric="image.mIoU" '
                f'data-run="{html.escape(title)}" data-image="{html.escape(entry["path"])}" '
                f'data-value="{entry["score"]!r}">{entry["score"]:.1f}</span>')
            figures.append(_figure(_png(colorize(ids, palette)), title, score))
        confidence = read(kept, entry, 'confidence.png', cv2.IMREAD_GRAYSCALE)
        if confidence is not None:
            figures.append(
                _figure(_png(heat(confidence / 255.)), f'{title}, confidence: blue 0, yellow 1'))
    return f'<div class="row" style="--n:{len(figures)}">{"".join(figures)}</div>'


def _figure(source: str, caption: str, more: str = '') -> str:
    """A picture with its caption below, as HTML.

    Args:
        source: Its address.
        caption: Text.
        more: HTML that follows it.
    """
    text = html.escape(caption)
    return (f'<figure><img src="{source}" alt="{text}"><figcaption>{text}{more}</figcaption>'
            '</figure>')


def read_picture(path: Path, damaged: list[Path],
                 flags: int = cv2.IMREAD_COLOR) -> Optional[np.ndarray]:
    """A picture as OpenCV reads it: uint8 (H, W, 3) BGR, or (H, W) with ``cv2.IMREAD_GRAYSCALE``:
    class ids, or confidence 0..255. None where it cannot be read; ``damaged`` then gets its path.
    """
    content = np.frombuffer(path.read_bytes(), np.uint8)
    picture = cv2.imdecode(content, flags) if content.size else None
    if picture is None:
        damaged.append(path)
    return picture


def _png(picture: np.ndarray) -> str:
    """A picture (RGB) as the address of a PNG, for flat colors."""
    return _data(picture, '.png', 'image/png')


def jpeg(picture: np.ndarray) -> str:
    """A picture (RGB) as the address of a JPEG, for photographs."""
    return _data(picture, '.jpg', 'image/jpeg')


def _data(picture: np.ndarray, suffix: str, kind: str) -> str:
    """A picture (RGB) as a ``data:`` address, which HTML shows without a file."""
    data = cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]))[1]
    return f'data:{kind};base64,{base64.b64encode(data.tobytes()).decode("ascii")}'
