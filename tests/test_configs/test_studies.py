"""Paper configs carry the paper's run counts (``tools/study.py`` reads them)."""
import re

import pytest

from .catalog import ROWS, docstring, folder_of, parts_of, read, settings


def text_of(setting: str) -> str:
    """What says the seeds: the row, or the docstring of its config."""
    resources = ROWS[setting].resources if setting in ROWS else ''
    return resources or docstring(parts_of(setting)[0])


def seeds_are_those_of_the_docstring(name, cfg):
    if folder_of(name) not in ('daformer', 'hrda', 'pixl', 'deft'):
        return
    named = [int(x) for x in re.findall(r'\d+', re.search(r'seeds? ([\d,\s]+)', text_of(name)).group(1))]
    assert list(cfg.study.seeds) == named


@pytest.mark.parametrize('folder', ['daformer', 'hrda', 'pixl', 'deft'])
def test_seeds_of_rows(folder):
    wrong = []
    for name in settings(folder):
        try:
            seeds_are_those_of_the_docstring(name, read(name))
        except AssertionError:
            wrong.append(name)
    assert not wrong
