"""The report of one or several runs as one HTML file that needs nothing beside it.

Shapes: H x W pixels.
"""
import base64
import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from .run_charts import class_chart, color_of, confusion_chart, loss_chart, score_chart, svg_of
from .run_record import RunRecord, differing_settings, read_confusion
from .tiles import colorize, heat

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1180px;padding:1rem;color:#1a1a1a;
background:#fff}
h1{font-size:1.6rem;margin:.4rem 0}h2{margin-top:2.2rem;border-bottom:1px solid #ddd;
padding-bottom:.2rem}
nav a{margin-right:1rem}table{border-collapse:collapse;margin:.6rem 0}th,td{padding:.25rem .7rem;
text-align:right;
border-bottom:1px solid #e4e4e4}th:first-child,td:first-child{text-align:left}
td.text{text-align:left;
font-family:ui-monospace,monospace;font-size:13px;max-width:26rem;overflow-wrap:anywhere}
.row{display:flex;gap:6px;overflow-x:auto;margin:.3rem 0 1rem}figure{margin:0;flex:0 0 auto}
figcaption{font-size:12px;
color:#444;max-width:300px}
figure img{display:block;width:clamp(150px,calc(1130px/var(--n,4)),300px)}img.wide{max-width:100%}
.legend span{display:inline-block;margin:0 .8rem .2rem 0;font-size:13px}
.legend i{display:inline-block;width:14px;
height:14px;margin-right:4px;vertical-align:-2px;border:1px solid #999}pre{background:#f5f5f5;
padding:.6rem;
overflow-x:auto}svg{max-width:100%;height:auto}b.best{font-weight:700}.bar{display:inline-block;
width:.8em;height:.8em;
margin-right:.4em}
@media (prefers-color-scheme:dark){body{background:#16181c;color:#e6e6e6}
pre{background:#23262c}th,td{border-color:#333}
h2{border-color:#333}figcaption{color:#aaa}a{color:#7ab8ff}svg{background:#fff}}
"""


def page(records: Sequence[RunRecord], title: str, intro: str = '') -> str:
    """The whole HTML file.

    Args:
        records: The runs, in the order of the tables.
        title: Heading.
        intro: A paragraph below it.
    """
    sections = [('scores', 'Scores', _scores(records)),
                ('pictures', 'Pictures', _pictures(records)),
                ('curves', 'Curves',
                 _charts([loss_chart(records), score_chart(records)],
                         'No training curves: these are tests of finished '
                         'weights.')), ('classes', 'Classes', _classes(records)),
                ('confusion', 'Confusion', _confusion(records)),
                ('step', 'One training step', _step(records)),
                ('settings', 'Settings that differ', _settings(records)),
                ('environment', 'Environment', _environment(records)),
                ('continue', 'Going on', _commands(records))]
    body = ''.join(f'<section id="{key}"><h2>{heading}</h2>{text}</section>'
                   for key, heading, text in sections)
    links = ''.join(f'<a href="#{key}">{heading}</a>' for key, heading, _ in sections)
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
            f'<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>'
            f'<p>{html.escape(intro)}</p><nav>{links}</nav>{body}</body></html>\n')


# ---------------------------------------------------------------------- scores
def _domains(records: Sequence[RunRecord]) -> list[str]:
    """The evaluated domains of all runs, each once."""
    return list(
        dict.fromkeys(domain for record in records if record.newest
                      for domain in record.newest.domains))


def _scores(records: Sequence[RunRecord]) -> str:
    """The table of mIoU by run and domain, as HTML; the number in ``data-value`` is the CSV's own,
    unrounded.
    """
    domains = _domains(records)
    if not domains:
        return '<p>No evaluation yet.</p>'
    # the highest mIoU of each domain; -1: a run without it is never the best
    best = {
        domain: max((r.newest.domains.get(domain, {}).get('mIoU', -1.)
                     for r in records if r.newest), default=0.)
        for domain in domains
    }
    head = ''.join(f'<th>{html.escape(domain)}</th>' for domain in domains)
    rows = []
    for number, record in enumerate(records):
        cells = ''.join(_cell(record, domain, best[domain]) for domain in domains)
        name = record.newest.name.replace('_', ' ') if record.newest else 'none'
        rows.append(f'<tr><td><span class="bar" style="background:{color_of(number)}"></span>'
                    f'{html.escape(record.title)}</td>{cells}<td>{html.escape(name)}</td></tr>')
    return ('<table class="scores"><tr><th>mIoU '
            f'(%)</th>{head}<th>evaluation</th></tr>{"".join(rows)}</table><p>Newest evaluation of '
            'each run; the best of a column is bold. A difference between single runs says '
            'little: repeat with other seeds (<code>tools/study.py</code>).</p>')


def _cell(record: RunRecord, domain: str, best: float) -> str:
    """A table cell with a domain's newest mIoU, in bold if it is ``best``, that of all runs."""
    value = record.newest.domains.get(domain, {}).get('mIoU') if record.newest else None
    if value is None or math.isnan(value):
        return '<td>-</td>'
    text = f'{value:.2f}'
    text = f'<b class="best">{text}</b>' if value == best else text
    return (f'<td data-domain="{html.escape(domain)}" data-metric="mIoU" data-value="{value!r}">'
            f'{text}</td>')


# ---------------------------------------------------------------------- pictures
def _pictures(records: Sequence[RunRecord]) -> str:
    """The pictures of each domain as HTML: image, label, and prediction and confidence of every run
    side by side.
    """
    parts = []
    for domain in _domains(records):
        found = [(record, material) for record in records
                 if (material := _pictures_json(record, domain)) is not None]
        if not found:
            continue
        parts.append(f'<h3>{html.escape(domain)}</h3>' + _legend(found[0][1]))
        for kind, words in (('sample', 'spread over the domain'), ('best', 'best of the first run'),
                            ('worst', 'worst of the first run')):
            # the first run decides which images are shown
            chosen = [p for p in found[0][1]['pictures'] if kind in p['kinds']]
            parts.append(f'<h4>{words}</h4>' if chosen else '')
            parts += [_picture_row(found, domain, p) for p in chosen]
    return ''.join(parts) or ('<p>No pictures were kept: the config has no '
                              '<code>ReportMaterialHook</code>, or the run has not been evaluated '
                              'yet.</p>')


def _pictures_json(record: RunRecord, domain: str) -> Optional[dict]:
    """What ``pictures.json``, which ``ReportMaterialHook`` writes, says about a domain in the run's
    newest evaluation; None if there are no pictures.

    Its keys: ``classes`` and ``palette`` (names and RGB), and ``pictures``, one dict per image with
    ``index`` in the dataset, ``stem`` of the files, ``path``, ``kinds`` and ``score`` (mIoU).
    """
    path = record.newest.material / domain / 'pictures.json' if record.newest else None
    return json.loads(path.read_text(encoding='utf-8')) if path and path.is_file() else None


def _legend(material: dict) -> str:
    """Color and name of every class, as HTML; ``material``: a domain's ``pictures.json``."""
    items = ''.join(f'<span><i style="background:rgb({r},{g},{b})"></i>{html.escape(name)}</span>'
                    for name, (r, g, b) in zip(material['classes'], material['palette']))
    return f'<p class="legend">{items}<span><i style="background:#000"></i>not labeled</span></p>'


def _picture_row(found: Sequence[tuple[RunRecord, dict]], domain: str, picture: dict) -> str:
    """A row of pictures of one image, as HTML: picture and label once, then the prediction of each
    run that kept it.

    Args:
        found: Runs that kept pictures of the domain, with their ``pictures.json``.
        domain: The domain.
        picture: Entry of the first run's ``pictures.json``.
    """
    palette, stem = found[0][1]['palette'], picture['stem']
    folder = _material_of(found[0][0]) / domain
    figures = []
    if (folder / f'{stem}_image.jpg').is_file():
        image = _read(folder / f'{stem}_image.jpg')[..., ::-1]  # BGR to RGB
        figures.append(_figure(_jpeg(image), f'image {Path(picture["path"]).name}'))
    if (folder / f'{stem}_label.png').is_file():
        figures.append(
            _figure(_png(colorize(_gray(folder / f'{stem}_label.png'), palette)), 'label'))
    for record, material in found:
        # the same image in this run, if it was kept there
        entry = next((p for p in material['pictures'] if p['index'] == picture['index']), None)
        run_folder = _material_of(record) / domain
        if entry is None or not (run_folder / f'{stem}_prediction.png').is_file():
            continue
        score = '' if entry['score'] is None else f', mIoU {entry["score"]:.1f}'
        figures.append(
            _figure(_png(colorize(_gray(run_folder / f'{stem}_prediction.png'), palette)),
                    f'{record.title}{score}'))
        # of one run alone: of several, the predictions are compared
        if len(found) == 1 and (run_folder / f'{stem}_confidence.png').is_file():
            figures.append(
                _figure(_png(heat(_gray(run_folder / f'{stem}_confidence.png') / 255.)),
                        'confidence: blue 0, yellow 1'))
    return f'<div class="row" style="--n:{len(figures)}">{"".join(figures)}</div>'


def _figure(source: str, caption: str) -> str:
    """A picture with its caption below, as HTML; ``source``: its address."""
    text = html.escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _material_of(record: RunRecord) -> Path:
    """The folder of a run's newest pictures and confusion matrices."""
    assert record.newest is not None  # only then are there pictures to show
    return record.newest.material


def _read(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """A picture as OpenCV reads it: uint8 (H, W, 3) BGR; ValueError where it cannot."""
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise ValueError(f'{path} is no picture that can be read')
    return picture


def _gray(path: Path) -> np.ndarray:
    """A picture of one channel, uint8 (H, W): class ids, or confidence 0..255."""
    return _read(path, cv2.IMREAD_GRAYSCALE)


def _png(picture: np.ndarray) -> str:
    """A picture (RGB) as the address of a PNG, for flat colors."""
    return _data(picture, '.png', 'image/png')


def _jpeg(picture: np.ndarray) -> str:
    """A picture (RGB) as the address of a JPEG, for photographs."""
    return _data(picture, '.jpg', 'image/jpeg')


def _data(picture: np.ndarray, suffix: str, kind: str) -> str:
    """A picture (RGB) as a ``data:`` address, which HTML shows without a file."""
    data = cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]))[1]
    return f'data:{kind};base64,{base64.b64encode(data.tobytes()).decode("ascii")}'


# ---------------------------------------------------------------------- the rest
def _charts(figures: Sequence, otherwise: str) -> str:
    """The figures that are not None as HTML, or the text ``otherwise`` where all are."""
    return ''.join(svg_of(figure)
                   for figure in figures if figure is not None) or f'<p>{otherwise}</p>'


def _classes(records: Sequence[RunRecord]) -> str:
    """A chart and table of the scores by class, per domain, as HTML."""
    parts = []
    for domain in _domains(records):
        figure = class_chart(records, domain)
        if figure is not None:
            parts.append(
                f'<h3>{html.escape(domain)}</h3>{svg_of(figure)}{_class_table(records, domain)}')
    return ''.join(parts) or '<p>No scores by class.</p>'


def _class_table(records: Sequence[RunRecord], domain: str) -> str:
    """The table of the IoU of every class of a domain, one column per run, as HTML."""
    keys = list(
        dict.fromkeys(key for r in records if r.newest for key in r.newest.domains.get(domain, {})
                      if key.startswith('IoU.')))
    head = ''.join(f'<th>{html.escape(record.title)}</th>' for record in records)
    rows = []
    for key in keys:
        values = [r.newest.domains.get(domain, {}).get(key) if r.newest else None for r in records]
        cells = ''.join('<td>-</td>' if v is None or math.isnan(v) else
                        f'<td data-domain="{html.escape(domain)}" data-metric="{html.escape(key)}" '
                        f'data-value="{v!r}">{v:.1f}</td>' for v in values)
        rows.append(f'<tr><td>{html.escape(key[len("IoU."):])}</td>{cells}</tr>')
    return ('<details><summary>numbers</summary><table><tr><th>IoU '
            f'(%)</th>{head}</tr>{"".join(rows)}</table></details>')


def _confusion(records: Sequence[RunRecord]) -> str:
    """Charts of the confusion matrices that each run kept, as HTML."""
    parts = []
    for record in records:
        for path in sorted(record.newest.material.glob('*/confusion.csv')) if record.newest else ():
            names, matrix = read_confusion(path)
            figure = confusion_chart(matrix, names, f'{record.title}: {path.parent.name}')
            parts.append(f'<details{"" if len(records) > 1 else " open"}><summary>'
                         f'{html.escape(record.title)}: {html.escape(path.parent.name)}</summary>'
                         f'{svg_of(figure)}</details>')
    return ''.join(parts) or '<p>No confusion matrix was kept.</p>'


def _step(records: Sequence[RunRecord]) -> str:
    """The newest picture of a training step, as HTML, of the last run that has one (methods come
    after their controls).
    """
    for record in reversed(records):
        if record.step_pictures:
            path = record.step_pictures[-1]
            picture = _read(path)
            return (f'<p>{html.escape(record.title)}, {html.escape(path.stem.replace("_", " "))}. '
                    'First row: what has labels, and what the network is trained on; second row: '
                    'what has none, with the labels the method gave it. Weights and confidence '
                    'run from blue (0) to yellow (1); white in a mask is where it holds.</p><img '
                    f'class="wide" alt="one training step" src="{_jpeg(picture[..., ::-1])}">')
    return ('<p>No picture of a training step: the config has no '
            '<code>TrainingPicturesHook</code>.</p>')


def _settings(records: Sequence[RunRecord]) -> str:
    """The table of settings in which the compared runs differ, as HTML."""
    if len(records) == 1:
        return '<p>One run: nothing to compare. Its whole config lies in its work dir.</p>'
    found = differing_settings([record.config for record in records])
    if not found:
        return '<p>The configs are equal.</p>'
    head = ''.join(f'<th>{html.escape(record.title)}</th>' for record in records)
    rows = ''.join(f'<tr><td class="text">{html.escape(key)}</td>' + ''.join(
        f'<td class="text">{html.escape(text if len(text) < 120 else text[:117] + "...")}</td>'
        for text in texts) + '</tr>' for key, texts in found.items())
    return (f'<details{" open" if len(found) < 25 else ""}><summary>{len(found)} '
            f'settings</summary><table><tr><th>setting</th>{head}</tr>{rows}</table></details>')


def _environment(records: Sequence[RunRecord]) -> str:
    """What the newest log says about machine and libraries, as HTML."""
    lines = next((record.environment for record in reversed(records) if record.environment), [])
    return f'<pre>{html.escape(chr(10).join(lines)) or "not in the logs"}</pre>'


def _commands(records: Sequence[RunRecord]) -> str:
    """The commands by which each training goes on from its newest checkpoint, as HTML."""
    lines = []
    for record in records:
        config = next(iter(sorted(record.folder.glob('*.py'))), None)
        if config is not None and any(record.folder.glob('*.pth')):
            lines.append(f'python tools/train.py {config} --work-dir {record.folder} --resume')
    if not lines:
        return '<p>Nothing to go on with: tests only.</p>'
    return f'<pre>{html.escape(chr(10).join(lines))}</pre>'
