"""Imports run one way between the rooms of the package, and a leaf module loads few others."""
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'check_imports.py'))


def tree(folder, **files):
    """A package of these modules: ``{dotted name: text}``."""
    for name, text in files.items():
        path = folder.joinpath('mmseg_dg', *name.split('__')).with_suffix('.py')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
        (path.parent / '__init__.py').touch()
    (folder / 'mmseg_dg' / '__init__.py').touch()
    return folder


def test_imports_of_the_package_run_one_way():
    assert CHECK['check']() == []


@pytest.mark.parametrize('room, text, found', [
    ('methods', 'from mmseg_dg.engine.hooks import EMAUpdateHook\n', 'methods imports mmseg_dg.engine.hooks'),
    ('ops', 'def f():\n    from ..models import heads\n', 'ops imports mmseg_dg.models.heads'),
    ('engine', 'import mmseg_dg.apis.launch\n', 'engine imports mmseg_dg.apis.launch'),
    ('datasets', 'import tools.train\n', 'nothing of the package imports tools'),
    ('cellar', 'from mmseg_dg.ops import mix\n', 'cellar is no room'),
    ('models', 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmseg_dg.methods import dacs\n', ''),
    ('methods', 'import torch\nfrom mmseg_dg.ops import mix\nfrom .base import BaseMethod\n', ''),
])
def test_a_backward_import_is_found(tmp_path, room, text, found):
    others = dict(engine__hooks='', models__heads='', apis__launch='', ops__mix='', methods__dacs='', methods__base='')
    lines = CHECK['check'](tree(tmp_path, **others, **{f'{room}__new': text}))
    assert len(lines) == bool(found) and all(f'mmseg_dg/{room}/new.py:' in line and found in line for line in lines)


def test_a_circle_is_found_also_through_a_function(tmp_path):
    folder = tree(tmp_path, weights__a='from .b import x\n', weights__b='def f():\n    from .c import y\n',
                  weights__c='from mmseg_dg.weights import a\n', weights__d='from .a import x\n')
    assert CHECK['check'](folder) == [
        'circle: mmseg_dg.weights.a -> mmseg_dg.weights.b -> mmseg_dg.weights.c -> mmseg_dg.weights.a']


def loaded_by(module):
    """Modules of the package that importing one loads, parents included; at most, as functions' imports count."""
    known = CHECK['modules_of'](ROOT)
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found.add(name)
            waiting += [one.target for one in CHECK['imports_of'](name, known[name], known)]
            waiting.append(name.rpartition('.')[0])
    return found


@pytest.mark.parametrize('module, most', [
    ('methods.teacher', 80), ('methods.step', 80), ('ops.labels', 60), ('weights.official_names', 20),
    ('apis.entry', 20)])
def test_a_leaf_loads_few_modules(module, most):
    found = loaded_by(f'mmseg_dg.{module}')
    assert len(found) <= most, sorted(found)
