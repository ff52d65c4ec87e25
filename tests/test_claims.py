"""A bare clone checks what README.md claims: the tests behind its rows run, and none of them is skipped."""
import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from recorded import ASSETS

ROOT = Path(__file__).resolve().parents[1]
CLAIMS = yaml.safe_load((ROOT / 'tests' / 'claims.yml').read_text(encoding='utf-8'))


def marked():
    """(file, function, keys) of every test with a claim; a ``pytestmark`` counts for all tests of its file."""
    for path in sorted((ROOT / 'tests').rglob('test_*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        assigned = [n for n in tree.body if isinstance(n, ast.Assign)]
        of_file = [k for n in assigned if getattr(n.targets[0], 'id', '') == 'pytestmark' for k in keys_in(n.value)]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
                keys = of_file + [k for d in node.decorator_list for k in keys_in(d)]
                if keys:
                    yield path, node, keys


def keys_in(node):
    return [n.args[0].value for n in ast.walk(node)
            if isinstance(n, ast.Call) and ast.unparse(n.func).endswith('mark.claim')]


def test_every_row_has_its_tests_and_they_need_no_development_data():
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    for key, claim in CLAIMS.items():
        assert re.search(rf'^\| {re.escape(claim["row"])}', readme, re.M), f'{key}: no row of README.md begins so'
    seen = set()
    for path, node, keys in marked():
        seen.update(keys)
        fixtures = {a.arg for a in node.args.args}
        assert not fixtures & {'shared', 'golden'}, f'{path.name}::{node.name} claims a row and needs development data'
    assert seen == set(CLAIMS)


def test_assets_are_small():
    files = [p for p in ASSETS.rglob('*') if p.is_file() and '__pycache__' not in p.parts]
    assert sum(p.stat().st_size for p in files) <= 5_000_000


@pytest.mark.ci
def test_a_bare_clone_skips_nothing_that_is_claimed(tmp_path):
    """The marked tests of both lanes in a process that finds no development data."""
    files = sorted({str(path.relative_to(ROOT)) for path, _, _ in marked()})
    env = dict(os.environ, MMSEG_DG_SHARED=str(tmp_path / 'nowhere'))
    done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', 'claim and not ci',
                           '-o', 'junit_family=xunit1', f'--junitxml={tmp_path / "result.xml"}', *files],
                          cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    cases = ElementTree.parse(tmp_path / 'result.xml').getroot().iter('testcase')
    passed = [(c.get('file') or '', re.sub(r'\[.*', '', c.get('name'))) for c in cases if not list(c)]
    for key, claim in CLAIMS.items():
        names = {(str(path.relative_to(ROOT)), node.name) for path, node, keys in marked() if key in keys}
        count = sum(case in names for case in passed)
        assert count >= claim['least'], f'{key}: {count} tests passed, {claim["least"]} are claimed'


def test_a_skipped_claim_is_a_failure(tmp_path):
    """The rule of conftest.py, on a report of its own."""
    import conftest
    hook = conftest.pytest_runtest_makereport

    class Item:
        nodeid, claims = 'test_x.py::test_x', True

        def get_closest_marker(self, name):
            return self.claims

    class Outcome:

        def __init__(self):
            self.report = type('Report', (), dict(skipped=True, outcome='skipped', longrepr='no data'))()

        def get_result(self):
            return self.report

    for claims, expected in ((True, 'failed'), (None, 'skipped')):
        item, outcome = Item(), Outcome()
        item.claims = claims
        steps = hook(item, None)
        next(steps)
        with pytest.raises(StopIteration):
            steps.send(outcome)
        assert outcome.report.outcome == expected
