"""Every shell and Python snippet of README and docs runs here, is run by a named test, or says above it what it needs.

A snippet without a word above it is run, in a folder with drawn pictures and one small network. Where that cannot be,
the line above the fence says why, and what is checked instead:

* ``<!-- snippet: needs WHAT -->`` (data, weights, a network, machines): arguments are parsed, nothing runs;
* ``<!-- snippet: long WHY -->``: it would train or score for long; arguments are parsed as well;
* ``<!-- snippet: tested tests/FILE.py::TEST -->``: that test runs it.

Python that is a config goes through ``Config.fromfile`` in test_doc_snippets.py.
"""
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import Registry
from test_apis.test_own_data import plant
from test_doc_snippets import PAGES, assignments

import mmseg_dg
from mmseg_dg import cli
from mmseg_dg.apis import own_data

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {path.stem: path for path in (ROOT / 'tools').rglob('*.py') if path.parent.name != 'dev'}
FENCE = re.compile(r'^(?:<!-- snippet: (?P<mark>\w+) ?(?P<why>.*?) -->\n)?(?P<pad> *)```(?P<lang>[\w{}]*)[^\n]*\n'
                   r'(?P<text>.*?)^(?P=pad)```', flags=re.M | re.S)
COMMAND = re.compile(r'(?:[A-Z_]+=\S+ )*(?:python|mim|mmseg-dg|bash|make|pip|mkdir|cp|srun|GPUS=\d+)\b')
MARKS = ('needs', 'long', 'tested')


class Snippet(NamedTuple):
    """One fenced block: its page and line, language, text, and the mark above it."""
    page: Path
    line: int
    lang: str
    text: str
    mark: str
    why: str

    @property
    def is_python(self):
        return self.lang == 'python'

    @property
    def commands(self):
        """Words of each command line; none for what is no shell."""
        if self.lang not in ('bash', ''):
            return []
        joined = self.text.replace('\\\n', ' ')
        lines = [part for line in joined.splitlines() for part in line.split(' && ')]
        if self.lang == '' and not any(COMMAND.match(line) for line in lines):
            return []  # a tree of folders
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def snippets(pages=None):
    pages = [*PAGES, ROOT / 'CONTRIBUTING.md'] if pages is None else pages
    for page in pages:
        text = page.read_text(encoding='utf-8')
        for match in FENCE.finditer(text):
            yield Snippet(page, text[:match.start('lang')].count('\n') + 1, match['lang'], match['text'],
                          match['mark'] or '', match['why'] or '')


ALL = [one for one in snippets() if one.is_python and not assignments(one.text) or one.commands]
RUN = [one for one in ALL if not one.mark]


def name(one):
    return f'{one.page.relative_to(ROOT).as_posix()}:{one.line}'


def test_marks_are_known_and_say_why():
    assert len(ALL) > 40 and len(RUN) >= 8, 'snippets are no longer recognized'
    marked = sum(page.read_text(encoding='utf-8').count('<!-- snippet:') for page in PAGES)
    assert marked == sum(bool(one.mark) for one in ALL), 'a mark that belongs to no shell or Python snippet'
    for one in ALL:
        assert one.mark in ('', *MARKS) and (not one.mark or one.why), f'{name(one)}: {one.mark} {one.why}'
        if one.mark == 'tested':
            file, _, test = one.why.partition('::')
            assert f'def {test}(' in (ROOT / file).read_text(encoding='utf-8'), f'{name(one)}: no test {one.why}'


def test_a_snippet_without_a_mark_is_found(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('<!-- snippet: needs data -->\n```bash\nmim a  # why\n```\n```python\nf(1)\n```\n'
                    '```\na tree/\n```\n'
                    '```\npython tools/x.py \\\n    b && make c\n```\n')
    found = list(snippets([page]))
    assert [(one.mark, one.line, one.is_python, one.commands) for one in found] == [
        ('needs', 2, False, [['mim', 'a']]), ('', 5, True, []), ('', 8, False, []),
        ('', 11, False, [['python', 'tools/x.py', 'b'], ['make', 'c']])]


def tool_and_words(words):
    """``(file of tools/, its arguments)`` of a command; None where it runs none."""
    words = [word for word in words if word != '...']
    while words and (re.match(r'[A-Z_]+=', words[0]) or words[0] in ('srun', '-u') or words[0].startswith('--signal')):
        words = words[1:]
    if words[:1] == ['python'] and words[1] == '-u':
        words = [words[0], *words[2:]]
    if words[:1] == ['python'] and words[1].startswith('tools/'):
        return ROOT / words[1], words[2:]
    if words[:1] == ['mmseg-dg']:
        return ROOT / 'tools' / cli.VERBS[words[1]].tool, words[2:]
    if words[:2] in (['mim', 'train'], ['mim', 'test']):
        rest = words[3:]
        if words[1] == 'test':  # mim hands its --checkpoint over as the second word
            at = rest.index('--checkpoint')
            rest = [rest[0], rest[at + 1], *rest[1:at], *rest[at + 2:]]
        return TOOLS[words[1]], rest
    if words[:2] == ['mim', 'run']:
        return TOOLS[words[3]], words[4:]
    return None


def parse(file, words, monkeypatch):
    """Run a tool up to the end of its own parser."""
    import argparse

    class Parsed(Exception):
        pass

    original = argparse.ArgumentParser.parse_known_args

    def parse_and_leave(self, *args, **kwargs):
        original(self, *args, **kwargs)
        raise Parsed

    register = Registry._register_module
    monkeypatch.setattr(Registry, '_register_module',  # a tool's own classes, when it is read a second time
                        lambda self, module, module_name=None, force=False: register(self, module, module_name, True))
    monkeypatch.setattr(argparse.ArgumentParser, 'parse_known_args', parse_and_leave)
    monkeypatch.setattr(sys, 'argv', [str(file), *words])
    monkeypatch.setattr(sys, 'path', [str(file.parent), *sys.path])
    monkeypatch.setattr('mmseg_dg.utils.stop_signals.listen', lambda: None)
    with pytest.raises(Parsed):
        runpy.run_path(str(file), run_name='__main__')


@pytest.mark.ci
@pytest.mark.parametrize('one', [one for one in ALL if one.mark in ('needs', 'long')], ids=name)
def test_arguments_of_what_is_not_run_are_parsed(one, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    if one.is_python:
        compile(one.text, name(one), 'exec')
    targets = set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(encoding='utf-8'), flags=re.M))
    for words in one.commands:
        found = tool_and_words(words)
        if words[0] == 'make':
            assert set(word for word in words[1:] if '=' not in word) <= targets, words
        if found is None or any(word.startswith('[') for word in words):  # options as a word in brackets
            continue
        with monkeypatch.context() as patch:
            try:
                parse(found[0], found[1], patch)
            except SystemExit as left:
                pytest.fail(f'{name(one)}: {" ".join(words)}: the tool leaves with {left.code}')


@pytest.mark.ci
@pytest.mark.parametrize('verb', cli.VERBS)
def test_the_example_in_the_help_of_a_verb_is_one(verb, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    parse(*tool_and_words(['mmseg-dg', verb, *shlex.split(cli.VERBS[verb].example)]), monkeypatch)


# ------------------------------------------------------------------ what is run
@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A folder with drawn pictures, a config of one's own and a checkpoint of it, under every name that pages use."""
    from mmengine.config import Config

    from mmseg_dg.registry import MODELS
    from mmseg_dg.weights.files import without_pretrained
    folder = tmp_path_factory.mktemp('made')
    for part in ('configs', 'tools', 'examples'):
        (folder / part).symlink_to(ROOT / part)
    source = plant(folder / 'day', 4)
    target = plant(folder / 'night', 4, seed=1)
    for place in ('photos', 'field'):
        (folder / place).mkdir()
    picture = cv2.imread(str(folder / 'day/images/0.png'))
    for path in ('photo.jpg', 'street.png', 'photos/a.jpg', 'photos/b.png', 'field/c.png', 'night/images/1.jpg'):
        cv2.imwrite(str(folder / path), picture)
    (folder / 'night/images/1.png').unlink()
    (folder / 'data/orchard').mkdir(parents=True)
    (folder / 'data/orchard/classes.txt').write_text('background 0 0 0\nleaf 0 160 0\n', encoding='utf-8')
    classes = ['road', 'car', 'tree']
    workers = {f'train_dataloader.{stream}.{key}': value for stream in ('source', 'target')
               for key, value in (('num_workers', 0), ('persistent_workers', False))}
    mmseg_dg.adapt(source, dict(images=target['images']), classes, folder / 'run', crop_size=64, start=False,
                   options=workers)
    cfg = Config.fromfile(folder / 'run/config.py')
    torch.manual_seed(0)
    state = MODELS.build(without_pretrained(cfg.model)).state_dict()
    (folder / 'work_dirs/plants').mkdir(parents=True)
    for config, checkpoint in (('my.py', 'my.pth'), ('plants.py', 'work_dirs/plants/iter_40000.pth')):
        shutil.copy(folder / 'run/config.py', folder / config)
        torch.save(dict(state_dict=state, meta={}), folder / checkpoint)
    return folder


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    """A copy of it, which is the current folder; trainings are as short as they can be."""
    shutil.copytree(made, tmp_path / 'world', symlinks=True)
    for config in ('my.py', 'plants.py'):
        text = (tmp_path / 'world' / config).read_text(encoding='utf-8')
        (tmp_path / 'world' / config).write_text(text.replace(str(made), str(tmp_path / 'world')), encoding='utf-8')
    monkeypatch.chdir(tmp_path / 'world')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    monkeypatch.setenv('MPLBACKEND', 'agg')
    monkeypatch.setattr(sys, 'path', list(sys.path))
    original = own_data.run
    monkeypatch.setattr(own_data, 'run', lambda task, out, **settings: original(
        task, out, **{**settings, 'iterations': 2, 'batch_size': 2, 'crop_size': 64}))
    return tmp_path / 'world'


PLACEHOLDERS = {'CONFIG': 'my.py', 'CHECKPOINT': 'my.pth'}


def run_command(words, monkeypatch):
    """One command line, tools in this process."""
    words = [PLACEHOLDERS.get(word, word) for word in words]
    found = tool_and_words(words)
    if found is None:
        subprocess.run(words, check=True)
        return
    monkeypatch.setattr(sys, 'argv', [str(found[0]), *found[1]])
    monkeypatch.setattr('mmseg_dg.utils.stop_signals.listen', lambda: None)
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(found[0]), run_name='__main__')
    assert left.value.code in (0, None), ' '.join(words)


@pytest.mark.ci
@pytest.mark.parametrize('one', RUN, ids=name)
def test_snippet_runs(one, world, monkeypatch):
    if one.is_python and one.text.startswith('_base_'):  # a config with an import, which only a file may have
        from mmengine.config import Config
        (world / 'page.py').write_text(one.text, encoding='utf-8')
        assert Config.fromfile('page.py').model.type == 'DACS'
    elif one.is_python:
        exec(compile(one.text, name(one), 'exec'), dict(array=np.zeros((48, 64, 3), np.uint8)))  # noqa: S102
    for words in one.commands:
        if '...' not in words:  # the page leaves out what the line above it says
            run_command(words, monkeypatch)
    assert os.getcwd() == str(world)
