"""The report of one or several runs as one HTML file that needs nothing beside it."""
import html
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmseg_dg.utils.work_dir import lying_in

from .run_charts import class_chart, color_of, confusion_chart, loss_chart, score_chart, svg_of
from .run_pictures import jpeg, pictures, read_picture
from .run_record import RunRecord, differing_settings, domains_of, read_confusion

#: What trains: a clone's tool, or where there is no clone the command of the installed package.
_TRAIN = ('python tools/train.py' if
          (Path(__file__).resolve().parents[2] / 'tools/train.py').is_file() else 'mmseg-dg train')

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
    sections = [('scores', 'Scores', _scores(records)), ('pictures', 'Pictures', pictures(records)),
                ('curves', 'Curves',
                 _charts([loss_chart(records), score_chart(records)],
                         'No training curves: ' + _why_none(records))),
                ('classes', 'Classes', _classes(records)),
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
def _scores(records: Sequence[RunRecord]) -> str:
    """The table of mIoU by run and domain, as HTML; the number in ``data-value`` is the CSV's own,
    unrounded.
    """
    domains = domains_of(records)
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
        name = record.newest.label if record.newest else 'none'
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


# ---------------------------------------------------------------------- the rest
def _charts(figures: Sequence, otherwise: str) -> str:
    """The figures that are not None as HTML, or the text ``otherwise`` where all are."""
    return ''.join(svg_of(figure)
                   for figure in figures if figure is not None) or f'<p>{otherwise}</p>'


def _classes(records: Sequence[RunRecord]) -> str:
    """A chart and table of the scores by class, per domain, as HTML."""
    parts = []
    for domain in domains_of(records):
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
        for path in reversed(record.step_pictures):
            picture = read_picture(path, [])
            if picture is None:  # an earlier one will do
                continue
            return (f'<p>{html.escape(record.title)}, {html.escape(path.stem.replace("_", " "))}. '
                    'First row: what has labels, and what the network is trained on; second row: '
                    'what has none, with the labels the method gave it. Weights and confidence '
                    'run from blue (0) to yellow (1); white in a mask is where it holds.</p><img '
                    f'class="wide" alt="one training step" src="{jpeg(picture[..., ::-1])}">')
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


def _why_none(records: Sequence[RunRecord]) -> str:
    """Why runs have no curves and no checkpoints, as a sentence."""
    if all(record.newest and record.trained is None for record in records):
        return 'these are tests of finished weights.'
    early = [record.title for record in records if not record.evaluations and not record.trained]
    return html.escape(f'{", ".join(early)} ended before its first log, or has not reached it yet.'
                       if early else 'the logs have no losses.')


def _commands(records: Sequence[RunRecord]) -> str:
    """The commands by which each training goes on from its newest checkpoint, as HTML; of one that
    is at its end, with twice its length.
    """
    lines = [line for record in records for line in _command(record)]
    if not lines:
        trained = [record.title for record in records if record.trained is not None]
        why = (f'{html.escape(", ".join(trained))} has no checkpoint in its work dir.'
               if trained else _why_none(records))
        return f'<p>Nothing to go on with: {why}</p>'
    return f'<pre>{html.escape(chr(10).join(lines))}</pre>'


def _command(record: RunRecord) -> list[str]:
    """The lines of a shell by which a run goes on; none where it has no config or checkpoint."""
    config, checkpoints = _training_config(record), lying_in(record.folder)
    if config is None or not checkpoints:
        return []
    words = [str(config), '--work-dir', str(record.folder), '--resume']
    settings = (record.config.get('train_cfg') or {}) if record.config is not None else {}
    done = checkpoints[0].step
    unit = 'epochs' if checkpoints[0].path.name.startswith('epoch') else 'iters'
    length = settings.get(f'max_{unit}')
    lines = []
    if length and done >= length:
        lines.append(f'# {record.title} has reached its end ({done} {unit}); twice as long:')
        words += ['--cfg-options', f'train_cfg.max_{unit}={2 * done}']
    return [*lines, f'{_TRAIN} {shlex.join(words)}']


def _training_config(record: RunRecord) -> Optional[Path]:
    """The config of the newest start that trained: the file of the work dir that equals what it
    dumped into its log folder (several configs may lie there, of tests for example), else that.
    """
    files = sorted(record.folder.glob('*.py'))
    dumped = record.trained / 'vis_data' / 'config.py' if record.trained is not None else None
    if dumped is None or not dumped.is_file():
        return files[0] if files else None
    text = dumped.read_bytes()
    return next((path for path in files if path.read_bytes() == text), dumped)
