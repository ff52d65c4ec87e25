"""A report of runs for a person: one HTML file, from work dirs alone."""
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

from mmseg_dg.visualization.run_pages import page
from mmseg_dg.visualization.run_record import read_run


def write_report_page(work_dirs: Sequence[Union[str, Path]], out: Union[str, Path],
                      titles: Optional[Sequence[str]] = None, heading: Optional[str] = None,
                      intro: str = '') -> Path:
    """Write a self-contained page about one run, or comparing several.

    Args:
        work_dirs: Work dirs of trainings or tests.
        out: The HTML file; its folder is made.
        titles: Names of the runs; by default those of their folders.
        heading: Title of the page.
        intro: A paragraph below it.

    Returns:
        ``out``.

    Raises:
        ValueError: No work dir, or not as many titles as work dirs.
        FileNotFoundError: A folder without a run.
    """
    if not work_dirs:
        raise ValueError('a report needs at least one work dir')
    if titles is not None and len(titles) != len(work_dirs):
        raise ValueError(f'{len(work_dirs)} work dirs need as many titles, got {len(titles)}')
    names = list(titles) if titles is not None else _names([Path(d) for d in work_dirs])
    records = [read_run(Path(folder), name) for folder, name in zip(work_dirs, names)]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        page(records, heading or (names[0] if len(names) == 1 else 'Comparison of '
                                  'runs'), intro), encoding='utf-8')
    return out


def _names(folders: Sequence[Path]) -> list[str]:
    """Folder names, with the parent's where two are equal."""
    names = [folder.name for folder in folders]
    return [
        f'{folder.resolve().parent.name}/{folder.name}'
        if names.count(folder.name) > 1 else folder.name for folder in folders
    ]
