"""What a person reads of an evaluation over several domains: a table, a CSV file and a Markdown file."""
import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

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
    """
    name: str
    images: int
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    selects: bool = False


@dataclass
class EvaluationReport:
    """One evaluation of one model.

    Attributes:
        title: First line, e.g. ``Evaluation after iteration 4000``.
        domains: Scores per domain, in the order of the dataloaders.
        means: Means over domains, ``{'mean/mIoU': ...}``.
        save_best: Keys by which the run chooses its best checkpoint; empty when it does not.
        source: What was evaluated (a checkpoint's file name), if known.
    """
    title: str
    domains: list[DomainReport]
    means: dict[str, float] = field(default_factory=dict)
    save_best: tuple[str, ...] = ()
    source: str = ''


def selecting_keys(save_best, first_key: str) -> tuple[str, ...]:
    """The metrics that choose the best checkpoint.

    Args:
        save_best: ``save_best`` of mmengine's CheckpointHook: None, a key, a list of keys, or ``'auto'``.
        first_key: First metric of the evaluation, which is what ``'auto'`` means to mmengine.
    """
    keys = [save_best] if isinstance(save_best, str) else list(save_best or [])
    return tuple(first_key if key == 'auto' else key for key in keys)


def selects_checkpoint(domain: str, keys: Sequence[str]) -> bool:
    """Whether a domain's validation scores enter one of the keys (``mean/...`` is made of all domains)."""
    return any(key.split('/')[0] in (domain, 'mean') for key in keys)


def markdown_table(report: EvaluationReport) -> str:
    """Scores as a Markdown table that also reads well in a terminal: one row per class, one column per domain.

    Numbers are rounded to two decimals here and nowhere else; ``-`` is a class the domain does not score, ``nan`` one
    that appears in neither its labels nor the predictions.
    """
    header = ['%'] + [domain.name for domain in report.domains]
    with_mean = len(report.domains) > 1 and bool(report.means)
    if with_mean:
        header.append('mean')
    rows = []
    for key in _row_keys(report):
        row = [key.replace('IoU.', '')] + [_number(domain.metrics.get(key)) for domain in report.domains]
        rows.append(row + ([_number(report.means.get(f'mean/{key}'))] if with_mean else []))
    rows.append(['images'] + [str(domain.images) for domain in report.domains] + ([''] if with_mean else []))
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [_line(header, widths), '|' + '|'.join('-' * (w + 1) + (':' if i else '-') for i, w in enumerate(widths)) +
             '|']
    return '\n'.join(lines + [_line(row, widths) for row in rows])


def markdown_text(report: EvaluationReport) -> str:
    """The whole Markdown file: title, table, and what each domain's scores were used for."""
    parts = [f'# {report.title}', '']
    if report.source:
        parts += [f'Checkpoint: `{report.source}`', '']
    parts += [markdown_table(report), '', '## Protocol', '']
    if report.save_best:
        parts += ['Best checkpoint (`save_best`) chosen by: ' + ', '.join(f'`{key}`' for key in report.save_best), '']
    else:
        parts += ['No score chooses a checkpoint (`save_best` is not set).', '']
    for domain in report.domains:
        use = ('its validation data chooses the best checkpoint, so the score of that checkpoint on it is optimistic'
               if domain.selects else 'its data does not choose the checkpoint')
        parts.append(f'- **{domain.name}** ({domain.images} images): ' + '; '.join([use, *domain.notes]))
    return '\n'.join(parts) + '\n'


def csv_rows(report: EvaluationReport) -> list[list]:
    """Header and one row per domain (and the mean); numbers unrounded, empty where a domain does not score a class."""
    keys = _row_keys(report, everything=True)
    rows: list[list] = [['domain', 'images', 'selects_checkpoint', 'note', *keys]]
    for domain in report.domains:
        values = [domain.metrics.get(key, '') for key in keys]
        rows.append([domain.name, domain.images, 'yes' if domain.selects else 'no', '; '.join(domain.notes), *values])
    if report.means:
        rows.append(['mean', sum(d.images for d in report.domains), '', '',
                     *[report.means.get(f'mean/{key}', '') for key in keys]])
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
    """Metric keys of all domains, summary first, then in order of appearance; accuracies of classes only on demand."""
    seen: dict[str, Optional[None]] = {}
    for domain in report.domains:
        seen.update(dict.fromkeys(domain.metrics))
    keys = [key for key in SUMMARY if key in seen] + [key for key in seen if key not in SUMMARY]
    return [key for key in keys if everything or not key.split('/')[-1].startswith('Acc.')]


def _number(value: Optional[float]) -> str:
    return '-' if value is None else f'{value:.2f}' if isinstance(value, (int, float)) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(cells, widths))]
    return '| ' + ' | '.join(padded) + ' |'
