"""Every config snippet of README and docs goes through ``Config.fromfile``: files, fragments and single lines."""
import ast
import re
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md')), *sorted((ROOT / 'configs').rglob('*.md'))]
#: What a fragment is a child of, where the page names no config of its own before it.
BASES = {'choosing_without_labels.md': 'diffmatch/fixmatch_r50_voc_classic_183.py',
         'semi_supervised.md': 'diffmatch/fixmatch_r50_voc_classic_183.py', 'custom_data.md': 'custom/custom_uda.py',
         'deft.md': 'deft/deft_r50_gta.py', 'diffmatch.md': 'diffmatch/diffmatch_r50_voc_classic_183.py'}
DEFAULT = 'daformer/daformer_mitb5_gta2cityscapes.py'
KEYS = ('model', 'train_cfg', 'val_cfg', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper',
        'param_scheduler', 'custom_hooks', 'default_hooks', 'randomness', 'load_from', 'val_evaluator', 'env_cfg',
        'custom_imports', 'runner_type', 'model_wrapper_cfg', 'alignment')


def assignments(code):
    """The code without placeholders, if it is a config (assignments and ``del`` only), else None."""
    code = re.sub(r',\s*\.\.\.', '', code.replace('(...)', '()')).replace('[...]', '[]').replace("'...'", "'text'")
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return None
    kinds = (ast.Assign, ast.Delete)
    if "_base_.pop('method')" in code or any(isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
                                             and node.value.id.isupper() for node in body):
        return None  # a line of the package's own configs beside _base_/methods; load_from=FILE
    return code if body and all(isinstance(node, kinds) for node in body) and any(
        isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') in KEYS + ('_base_', ) for node in body
    ) else None


def snippets():
    for page in PAGES:
        text = page.read_text(encoding='utf-8')
        found = [(m.start(), m.group(1)) for m in re.finditer(r'^ *```python\n(.*?)^ *```', text, flags=re.M | re.S)]
        outside = re.sub(r'^ *```.*?^ *```', lambda m: ' ' * len(m.group()), text, flags=re.M | re.S)
        for match in re.finditer(r'`([^`]+)`', outside):
            line = ' '.join(match.group(1).split())
            if re.fullmatch(r'label_map=\{[^}]*\}', line):
                found.append((match.start(), f'train_dataloader = dict(source=dict(dataset=dict({line})))'))
            elif re.match(rf'({"|".join(KEYS)}) ?= ?\S', line):
                found.append((match.start(), line))
            elif re.match(rf'({"|".join(KEYS)})(\.\w+)+=\S', line) and assignments('model = ' + line.split('=', 1)[1]):
                key, value = line.split('=', 1)
                for part in reversed(key.split('.')[1:]):
                    value = f'dict({part}={value})'
                found.append((match.start(), f'{key.split(".")[0]} = {value}'))
        for start, code in found:
            code = assignments(re.sub(r'^ +(?=\w)', '', code) if '\n' not in code else code)
            if code:
                yield pytest.param(page, text[:start], code, id=f'{page.relative_to(ROOT).as_posix()}:'
                                                                f'{text[:start].count(chr(10)) + 1}')


def base_of(page, before):
    if page.name in BASES:
        return BASES[page.name]
    named = [name for name in re.findall(r'(\w+)\.py', before) if list((ROOT / 'configs').glob(f'*/{name}.py'))]
    return next((ROOT / 'configs').glob(f'*/{named[-1]}.py')).relative_to(ROOT / 'configs').as_posix() if (
        named and page.parent.parent == ROOT / 'configs') else DEFAULT


FOUND = list(snippets())


@pytest.mark.parametrize('page, before, code', FOUND)
def test_snippet_is_a_config(page, before, code, tmp_path):
    given = ast.parse(code)
    whole = re.search(r'```python\n(_base_ = .*?)```', page.read_text(encoding='utf-8'), flags=re.S)
    if "'./plants.py'" in code:  # the file the page began with
        (tmp_path / 'plants.py').write_text(whole.group(1), encoding='utf-8')
    if '_base_ =' not in code:
        code = f"_base_ = 'mmseg_dg::{base_of(page, before)}'\n{code}"
    (tmp_path / 'my.py').write_text(code, encoding='utf-8')
    cfg = Config.fromfile(tmp_path / 'my.py')
    deleted = {t.id for node in given.body if isinstance(node, ast.Delete) for t in node.targets}
    for node in given.body:
        if isinstance(node, ast.Assign) and node.targets[0].id not in deleted | {'_base_'}:
            assert node.targets[0].id in cfg


def test_snippets_are_found():
    assert len(FOUND) >= 20, 'snippets are no longer recognized'
    pages = {p.values[0].name for p in FOUND}
    assert {'README.md', 'custom_data.md', 'getting_started.md', 'pixl.md', 'semi_supervised.md'} <= pages
