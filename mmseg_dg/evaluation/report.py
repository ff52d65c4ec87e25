"""What a person reads of an evaluation over several domains: a table, a CSV file and a Markdown
file.
"""
import csv
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Union

SUMMARY = ('mIoU', 'mAcc', 'aAcc')


@dataclass
class DomainReport:
    """Scores of one domain.

    Attributes:
        name: Domain name.
        images: Number of images.
        metrics: Key (without the domain) to number in percent.
        notes: Sentences about the protocol.
        selects: True when validation scores of this domain choose the best checkpoint.
        role: ``'source'`` (validation data of a training domain, not in the mean), ``'target'`` or
            ``''``.
    """
    name: str
    images: int
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    selects: bool = False
    role: str = ''


@dataclass
class EvaluationReport:
    """One evaluation of one model.

    Attributes:
        title: First line, e.g. ``Evaluation after iteration 4000``.
        domains: Scores per domain, in the order of the dataloaders.
        means: Means over domains, ``{'mean/mIoU': ...}``.
        save_best: Keys by which the run chooses its best checkpoint; empty when it does not.
        source: What was evaluated (a checkpoint's file name), if known.
        choice: A sentence on how the checkpoint was chosen; empty: made of ``save_best``.
        certain: False where the checkpoint's name does not tell how it was chosen, only the run's
            config.
    """
    title: str
    domains: list[DomainReport]
    means: dict[str, float] = field(default_factory=dict)
    save_best: tuple[str, ...] = ()
    source: str = ''
    choice: str = ''
    certain: bool = True


class Choice(NamedTuple):
    """How a checkpoint is (or was) chosen.

    Attributes:
        keys: The metrics that choose it; empty when none does.
        text: The same as a sentence.
        certain: False for a tested file whose name does not tell.
    """
    keys: tuple[str, ...]
    text: str
    certain: bool = True


def selecting_keys(save_best: Union[str, Sequence[str], None], first_key: str) -> tuple[str, ...]:
    """The metrics that choose the best checkpoint.

    Args:
        save_best: ``save_best`` of mmengine's CheckpointHook: None, a key, a list of keys, or
            ``'auto'``.
        first_key: First metric of the evaluation, which is what ``'auto'`` means to mmengine.
    """
    keys = [save_best] if isinstance(save_best, str) else list(save_best or [])
    return tuple(first_key if key == 'auto' else key for key in keys)


def chosen_by(checkpoint: str, save_best: Sequence[str], domains: Sequence[str]) -> Choice:
    """The metrics that choose the checkpoint this report is about.

    Args:
        checkpoint: File name of the tested checkpoint, which mmengine calls
            ``best_<domain>_<metric>_iter_<N>.pth`` or ``iter_<N>.pth``; empty during training.
        save_best: The run's own keys.
        domains: Names of the domains.

    Returns:
        The metrics, a sentence about them, and whether it is certain.
    """
    if re.fullmatch(r'(iter|epoch)_\d+\.pth', checkpoint):
        return Choice((), 'No score chose this checkpoint: by its name it is a regular one.')
    if checkpoint.startswith('best_'):
        keys = tuple(key for key in save_best
                     if checkpoint.startswith(f'best_{key.replace("/", "_")}_'))
        # not a key of the config's ``save_best``: the domain in the file's name, with mIoU
        keys = keys or tuple(
            f'{name}/mIoU' for name in (*domains, 'mean') if checkpoint.startswith(f'best_{name}_'))
        listed = ', '.join(f'`{key}`'
                           for key in keys) or 'a score that is not among those of this evaluation'
        return Choice(keys, f'This checkpoint was, by its name, chosen by: {listed}.')
    unknown = ''
    if checkpoint:
        unknown = 'Its name does not tell how this checkpoint was chosen. By the config: '
    if not save_best:
        return Choice((), f'{unknown}No score chooses a checkpoint (`save_best` is not '
                      'set).', not unknown)
    return Choice(
        tuple(save_best), f'{unknown}Best checkpoint (`save_best`) chosen by: '
        + ', '.join(f'`{key}`' for key in save_best) + '.', not unknown)


def selects_checkpoint(domain: str, keys: Sequence[str], sources: Collection[str] = ()) -> bool:
    """Whether a domain's validation scores enter one of the keys (``mean/...`` is made of all but
    the sources).
    """
    return any(
        key.split('/')[0] == domain or key.startswith('mean/') and domain not in sources
        for key in keys)


def target_choice(report: EvaluationReport) -> str:
    """A sentence in bold: whether target domains, which must not be used for training, have chosen
    the checkpoint, and which; empty where the protocol names no target.
    """
    targets = [domain for domain in report.domains if domain.role == 'target']
    if not targets:
        return ''
    selecting = [domain.name for domain in targets if domain.selects]
    if not report.certain:
        return ("**By the config, target domains' validation data chooses the checkpoint: "
                + ', '.join(selecting) + '.**'
                if selecting else "**By the config, no target domain's validation data chooses the "
                "checkpoint.**")
    if selecting:
        return f"**Target domains' validation data chose the checkpoint: {', '.join(selecting)}.**"
    return "**No target domain's validation data chose the checkpoint.**"


def markdown_table(report: EvaluationReport) -> str:
    """Scores as a Markdown table that also reads well in a terminal: one row per class, one column
    per domain.

    Numbers are rounded to two decimals here and nowhere else; ``-`` is a class the domain does not
    score, ``nan`` one that appears in neither its labels nor the predictions.
    """
    with_mean = len(report.domains) > 1 and bool(report.means)
    counted = [domain for domain in report.domains if domain.role != 'source']
    # after the mean, which they are not in
    apart = [domain for domain in report.domains if domain.role == 'source']
    mean = ['mean'] if with_mean else []
    header = [
        '%', *(domain.name for domain in counted), *mean,
        *(f'{domain.name} (source)' for domain in apart)
    ]

    def row(name: str, values: dict, average: str) -> list[str]:
        """Cells of one line: its name, the domains that count, their mean, the sources."""
        cells = [values[domain.name] for domain in counted]
        return [
            name, *cells, *([average] if with_mean else []),
            *(values[domain.name] for domain in apart)
        ]

    rows = [
        row(re.sub(r'(^|/)IoU\.', r'\1', key),
            {d.name: _number(d.metrics.get(key))
             for d in report.domains}, _number(report.means.get(f'mean/{key}')))
        for key in _row_keys(report)
    ]
    rows.append(row('images', {domain.name: str(domain.images) for domain in report.domains}, ''))
    widths = [max(len(cells[i]) for cells in [header, *rows]) for i in range(len(header))]
    lines = [
        _line(header, widths),
        '|' + '|'.join('-' * (w + 1) + (':' if i else '-') for i, w in enumerate(widths)) + '|'
    ]
    return '\n'.join(lines + [_line(cells, widths) for cells in rows])


def markdown_text(report: EvaluationReport) -> str:
    """The whole Markdown file: title, table, and what each domain's scores were used for."""
    parts = [f'# {report.title}', '']
    if report.source:
        parts += [f'Checkpoint: `{report.source}`', '']
    parts += [markdown_table(report), '', '## Protocol', '']
    choice = report.choice or chosen_by('', report.save_best, []).text
    parts += [' '.join(filter(None, [choice, target_choice(report)])), '']
    for domain in report.domains:
        use = ('its validation data chooses the best checkpoint, so the score of that checkpoint '
               'on it is optimistic'
               if domain.selects else 'its data does not choose the checkpoint')
        role = f', {domain.role}' if domain.role else ''
        parts.append(f'- **{domain.name}** ({domain.images} images{role}): '
                     + '; '.join([use, *domain.notes]))
    return '\n'.join(parts) + '\n'


def csv_rows(report: EvaluationReport) -> list[list]:
    """Header and one row per domain (and the mean); numbers unrounded, empty where a domain does
    not score a class.
    """
    keys = _row_keys(report, everything=True)
    rows: list[list] = [['domain', 'images', 'role', 'selects_checkpoint', 'note', *keys]]
    for domain in report.domains:
        values = [domain.metrics.get(key, '') for key in keys]
        rows.append([
            domain.name, domain.images, domain.role, 'yes' if domain.selects else 'no',
            '; '.join(domain.notes), *values
        ])
    if report.means:
        # the mean is over what was not trained on
        counted = [d for d in report.domains if d.role != 'source'] or report.domains
        rows.append([
            'mean',
            sum(d.images for d in counted), '', '', '',
            *[report.means.get(f'mean/{key}', '') for key in keys]
        ])
    return rows


def write_report(report: EvaluationReport, folder: str, stem: str) -> tuple[str, str]:
    """Write ``<stem>.csv`` and ``<stem>.md``; call it on the main process only.

    Args:
        report: The scores.
        folder: Created when missing.
        stem: File name without suffix.

    Returns:
        Paths of the two files.
    """
    os.makedirs(folder, exist_ok=True)
    csv_path, md_path = (os.path.join(folder, stem + suffix) for suffix in ('.csv', '.md'))
    with open(csv_path, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(csv_rows(report))
    with open(md_path, 'w', encoding='utf-8') as file:
        file.write(markdown_text(report))
    return csv_path, md_path


def _row_keys(report: EvaluationReport, everything: bool = False) -> list[str]:
    """Metric keys of all domains, summary first, then in order of appearance; the accuracies and
    shares of single classes only with ``everything``.
    """
    seen: dict[str, Optional[None]] = {}
    for domain in report.domains:
        seen.update(dict.fromkeys(domain.metrics))
    keys = [key for key in SUMMARY if key in seen] + [key for key in seen if key not in SUMMARY]
    return [
        key for key in keys if everything or not key.split('/')[-1].startswith(('Acc.', 'Share.'))
    ]


def _number(value: Optional[float]) -> str:
    """Text of a cell: two decimals, ``-`` for None."""
    if value is None:
        return '-'
    return f'{value:.2f}' if isinstance(value, (int, float)) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of the table: the first cell, a name, on the left of its column, others on the right.
    """
    padded = [
        cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(cells, widths))
    ]
    return '| ' + ' | '.join(padded) + ' |'
