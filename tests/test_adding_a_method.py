"""docs/adding_a_method.md followed to the letter: in a folder of one's own, then in a copy of the repository."""
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'adding_a_method.md'
EXAMPLE = ROOT / 'examples' / 'own_method'
#: So small that a run takes seconds; what the page says is otherwise run as it stands.
SHORT = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2',
         'default_hooks.logger.interval=1', "param_scheduler=[{'type':'WarmupPolyLR','warmup_iters':1}]",
         *(f'{stream}.dataset.num_images=4' for stream in ('train_dataloader.labeled', 'train_dataloader.unlabeled')),
         *(f'{kind}_dataloader.{domain}.{key}' for kind in ('val', 'test') for domain in ('camera', 'night')
           for key in ('dataset.num_images=2', 'num_workers=0', 'persistent_workers=False'))]
#: Tests that look at the package as a whole: those that a new method can turn red.
WHOLE = ['tests/test_methods/test_agree.py', 'tests/test_methods/test_refused_arguments.py', 'tests/test_docs.py',
         'tests/test_site.py', 'tests/test_doc_snippets.py', 'tests/test_claims.py',
         'tests/test_packaging/test_imports.py', 'tests/test_packaging/test_requirements.py',
         'tests/test_curves.py::test_every_curve_is_recorded_and_no_other',
         *(f'tests/test_configs/test_{name}.py' for name in (
             'arguments', 'config_docs', 'facts', 'files', 'models', 'schedules', 'studies'))]
TRAINS = 'tests/test_configs/test_training.py::test_methods_that_are_in_no_list_above_train'


def section(title):
    text = PAGE.read_text(encoding='utf-8').split(f'\n## {title}\n')[1]
    return re.split(r'^## ', re.sub(r'^(`{3,}).*?^\1', lambda m: m.group().replace('\n## ', '\n\0## '), text,
                                    flags=re.M | re.S), flags=re.M)[0].replace('\0', '')


def files_of(text):
    """Name -> content of every file the section shows: its name is in the heading or begins the paragraph above."""
    found = {}
    for block in re.finditer(r'^(`{3,})(python|markdown|yaml)\n(.*?)^\1$', text, flags=re.M | re.S):
        names = re.findall(r'^(?:#+ [^`\n]*)?`([\w/]+\.(?:py|md|yml))`', text[:block.start()], flags=re.M)
        found[names[-1]] = block.group(3)
    return found


def commands_of(text):
    return [line for block in re.findall(r'^```bash\n(.*?)^```', text, flags=re.M | re.S)
            for line in block.splitlines()]


def lines_of(text):
    """(file, line that is there, new line) of the table of changes."""
    return re.findall(r'^\| `([\w/.-]+)` \| `(.+?)` \| `(.+?)` \|$', text, flags=re.M)


def call(words, folder, **env):
    words = [str(word) for word in words]
    alone = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env={**alone, **env})
    assert done.returncode == 0, f'{shlex.join(words)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}'
    return done.stdout + done.stderr


def test_the_example_is_the_one_of_the_page():
    files = files_of(section('In a folder of your own'))
    assert set(files) == {'agree.py', 'agree_city.py'}
    assert files == {path.name: path.read_text(encoding='utf-8') for path in sorted(EXAMPLE.glob('*.py'))}


def test_the_page_is_read_whole():
    text = section('Into the package')
    assert set(files_of(text)) == {
        'configs/agree/agree_synthcity.py', 'configs/agree/README.md', 'configs/agree/metafile.yml',
        'docs/configs/agree.md', 'tests/test_methods/test_agree.py', 'docs/agree.md'}
    assert len(lines_of(text)) == 5 and len(commands_of(text)) == 4
    assert len(commands_of(section('In a folder of your own'))) == 4


@pytest.mark.ci
def test_in_a_folder_of_ones_own(tmp_path):
    """The files and the commands of the page; no PYTHONPATH, nothing installed."""
    text = section('In a folder of your own')
    for name, content in files_of(text).items():
        (tmp_path / name).write_text(content, encoding='utf-8')
    said = ''
    for line in commands_of(text):
        words = shlex.split(line)
        assert words[0] == 'mmseg-dg'
        script = [sys.executable, '-c', 'import sys; from mmseg_dg.cli import main; sys.exit(main())', *words[1:]]
        said += call(script + ['--cfg-options', *SHORT] * (words[1] in ('train', 'doctor')), tmp_path)
    run = tmp_path / 'work_dirs' / 'agree_city'
    assert f"modules_folder = '{tmp_path.resolve()}'" in (run / 'agree_city.py').read_text(encoding='utf-8')
    assert 'unlabeled.loss' in said and list(run.glob('**/evaluation_test.csv')) and list(run.glob('*.html'))


@pytest.mark.ci
def test_into_the_package(tmp_path):
    """A copy of the repository, changed as the page says, passes the checks that look at the whole of it."""
    copy = tmp_path / 'copy'
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(
        '.git', '.venv*', 'work_dirs', 'build', '__pycache__', '*.egg-info', '.*_cache', '.hypothesis'))
    text = section('Into the package')
    commands = commands_of(text)
    assert commands == ['cp AGREE/agree.py mmseg_dg/methods/agree.py', 'python tools/dev/config_docs.py', 'make lint',
                        'make test']
    shutil.copy(EXAMPLE / 'agree.py', copy / 'mmseg_dg' / 'methods' / 'agree.py')
    for name, before, new in lines_of(text):
        lines = (copy / name).read_text(encoding='utf-8').splitlines()
        assert lines.count(before) == 1, f'{name}: the line "{before}" stands there {lines.count(before)} times'
        lines.insert(lines.index(before) + 1, new)
        (copy / name).write_text('\n'.join(lines) + '\n', encoding='utf-8')
    for name, content in files_of(text).items():
        assert not (copy / name).exists(), name
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(content, encoding='utf-8')
    path = dict(PYTHONPATH=str(copy))
    assert 'configs/agree/README.md: written' in call([sys.executable, 'tools/dev/config_docs.py'], copy, **path)
    assert '[agree_synthcity](agree_synthcity.py)' in (copy / 'configs/agree/README.md').read_text(encoding='utf-8')
    # mypy looks at the new method and what it imports; `make lint` looks at everything
    types = [['-m', 'mypy', 'mmseg_dg/methods/agree.py']] * (importlib.util.find_spec('mypy') is not None)
    for words in (['-m', 'ruff', 'check', '.'], *types, ['tools/dev/check_imports.py'],
                  ['tools/dev/check_shapes.py'], ['tools/dev/config_docs.py', '--check']):
        call([sys.executable, *words], copy, **path)
    where = call([sys.executable, '-c', 'import mmseg_dg; print(mmseg_dg.__file__)'], copy, **path)
    assert str(copy / 'mmseg_dg') in where, 'the copy is not what is tested'
    call([sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', 'not ci and not slow', *WHOLE],
         copy, **path)
    call([sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', TRAINS], copy, **path)
