"""Does a changed line make a test fail? Run by hand; pytest does not collect this file.

    python tests/mutants.py [--seed 0] [--count 40] [--budget 60] [--state FOLDER] [--shard I/N] [--list]

Mutants are drawn by seed from the syntax trees of methods, losses, ops and hooks: a comparison, an operator, a number
or a condition changed, a statement removed, a reduction exchanged. Each is written into a temporary copy of the
package (a kill leaves nothing behind) and meets the tests that are related to its module: those whose files name what
the module defines, most mentions first (for a default ``test_defaults.py`` before them), and then the others of its
room, until one fails or ``--budget`` CPU seconds are used; what survives the fast lane meets the slow lane's tests
(marked ci) of the same files with as much again. Results go to the folder
``--state`` at once: a second call goes on where the first one ended, and ``--shard I/N`` takes every N-th mutant.
Mutants that cannot change behavior are listed in ``EQUIVALENT`` of ``mutants_known.py`` with the reason, survivors
that are left in ``SURVIVORS`` there. Exit status 1 where a survivor is not explained.
"""
import argparse
import ast
import copy
import fnmatch
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
#: Folders whose modules are mutated, where they exist.
ROOMS = ('mmseg_dg/methods', 'mmseg_dg/models/losses', 'mmseg_dg/ops', 'mmseg_dg/engine/hooks')
#: Marks of the tests a mutant meets: those of ``make test``, then those of ``make test-ci``.
LANES = ('not ci and not slow', 'ci and not slow')
#: Test files that take too long for this, or start processes of their own.
LEFT_OUT = ('*/test_configs/test_training.py', '*/test_configs/test_schedules.py', '*/test_configs/test_models.py',
            '*/e2e/*', '*/test_packaging/*', '*/test_engine/test_distributed.py', '*/test_docs.py')
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
               ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
             ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult}
NAMES = {'mean': 'sum', 'sum': 'mean', 'argmax': 'argmin', 'amax': 'amin', 'max': 'min', 'min': 'max', 'any': 'all',
         'all': 'any', 'zeros_like': 'ones_like', 'ones_like': 'zeros_like', 'softmax': 'log_softmax',
         'log_softmax': 'softmax', 'floor': 'ceil', 'ceil': 'floor'}


class Mutant(NamedTuple):
    """One change: where, what it was, and the whole text of the file with it."""
    path: str
    line: int
    what: str
    text: str

    @property
    def key(self) -> str:
        """Name that survives moved lines: file, and the change."""
        return f'{self.path}: {self.what}'


# ---------------------------------------------------------------------- changes
class Changes(ast.NodeVisitor):
    """Collects ``(node, changed node)`` of one module."""

    def __init__(self) -> None:
        self.found: list[tuple[ast.AST, ast.AST]] = []

    def _add(self, node: ast.AST, **values) -> None:
        changed = copy.copy(node)
        for key, value in values.items():
            setattr(changed, key, value)
        self.found.append((node, changed))

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
            return  # messages are not behavior enough
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # docstrings
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'print_log':
            return
        for field, value in ast.iter_fields(node):
            if field in ('annotation', 'returns', 'decorator_list', 'type_comment'):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if not node.name.startswith('__repr'):
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if type(node.ops[0]) in COMPARISONS:
            self._add(node, ops=[COMPARISONS[type(node.ops[0])](), *node.ops[1:]])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in OPERATORS and not isinstance(node.left, (ast.JoinedStr, ast.Constant, ast.List)):
            self._add(node, op=OPERATORS[type(node.op)]())
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._add(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self.found.append((node, node.operand))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._add(node, value=not node.value)
        elif isinstance(node.value, (int, float)):
            self._add(node, value=node.value + 1 if isinstance(node.value, int) else node.value * 1.5 + 0.1)

    def visit_If(self, node: ast.If) -> None:
        only_raises = all(isinstance(s, ast.Raise) for s in node.body)
        if not only_raises:
            self.found.append((node.test, ast.UnaryOp(ast.Not(), node.test)))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in NAMES:
            self._add(node, attr=NAMES[node.attr])
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in ('detach', 'clamp', 'clone') \
                and not isinstance(node.func.value, ast.Name):
            self.found.append((node, node.func.value))
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        if isinstance(call, ast.Call) and 'log' not in ast.unparse(call.func) and '__init__' not in ast.unparse(call):
            self.found.append((node, ast.Pass()))
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.found.append((node, ast.Pass()))
        self.generic_visit(node)


def function_of(tree: ast.Module, line: int) -> str:
    """Dotted name of the innermost function or class around a line."""
    found = [(n.lineno, n.name) for n in ast.walk(tree)
             if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.lineno <= line <= n.end_lineno]
    return '.'.join(name for _, name in sorted(found)) or 'module'


def mutants_of(path: Path, root: Path) -> Iterator[Mutant]:
    """Every mutant of one file, in the order of its text."""
    source = path.read_text(encoding='utf-8')
    tree, changes = ast.parse(source), Changes()
    changes.visit(tree)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    raw = source.encode()
    for node, changed in changes.found:
        start, stop = (starts[n - 1] + c for n, c in ((node.lineno, node.col_offset),
                                                      (node.end_lineno, node.end_col_offset)))
        new = ast.unparse(ast.fix_missing_locations(changed))
        new = new if isinstance(changed, (ast.Pass, ast.Constant)) else f'({new})'
        old = ' '.join(raw[start:stop].decode().split())
        what = f'{function_of(tree, node.lineno)}: {old} -> {new}'
        text = (raw[:start] + new.encode() + raw[stop:]).decode()
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        yield Mutant(str(path.relative_to(root)), node.lineno, what, text)


def draw(count: int, seed: int, only: Optional[str]) -> list[Mutant]:
    files = sorted(p for room in ROOMS for p in (ROOT / room).glob('*.py') if p.name != '__init__.py')
    pool = [m for p in files for m in mutants_of(p, ROOT)]
    print(f'{len(pool)} possible mutants of {len(files)} files')
    if only:
        return [m for m in pool if fnmatch.fnmatch(m.key, only)][:count]
    return random.Random(seed).sample(pool, min(count, len(pool)))


# ---------------------------------------------------------------------- related tests
def related(path: str, root: Path) -> list[str]:
    """Test files that name what a module defines, or are named after it, most mentions first; then the others of its
    room, which reach it through what uses it."""
    tree = ast.parse((root / path).read_text(encoding='utf-8'))
    names = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    word = re.compile(r'\b(' + '|'.join(map(re.escape, sorted(names) or ['-'])) + r')\b')
    stem = Path(path).stem
    counted = []
    for test in sorted((root / 'tests').rglob('test_*.py')):
        name = str(test.relative_to(root))
        if any(fnmatch.fnmatch('/' + name, p) for p in LEFT_OUT):
            continue
        text = test.read_text(encoding='utf-8')
        mentions = len(word.findall(text)) + 20 * (stem in test.stem) + 5 * bool(re.search(rf'\b{stem}\b', text))
        if mentions:
            counted.append((-mentions, name))
    named = [name for _, name in sorted(counted)]
    room = f'tests/test_{path.split("/")[1]}'
    rest = [str(test.relative_to(root)) for test in sorted((root / room).glob('test_*.py'))]
    return named + [name for name in rest if name not in named
                    and not any(fnmatch.fnmatch('/' + name, p) for p in LEFT_OUT)]


def in_a_default(tree: ast.Module, line: int) -> bool:
    """Whether a line holds the default of an argument."""
    arguments = [n.args for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    values = [d for a in arguments for d in (*a.defaults, *a.kw_defaults) if d is not None]
    return any(d.lineno <= line <= d.end_lineno for d in values)


# ---------------------------------------------------------------------- running
def run_tests(root: Path, files: list[str], limit: float, log: Path, lane: str,
              write: bool = True) -> tuple[int, float]:
    """(exit status of pytest, CPU seconds) in a child process; 124 beyond the limit (killed)."""
    child = os.fork()
    if child == 0:
        os.setsid()
        sys.dont_write_bytecode = not write
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(root)
        sys.path[:] = [str(root), *(p for p in sys.path if Path(p or '.').resolve() not in (ROOT, ROOT / 'tests'))]
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
        import pytest
        status = 3
        try:
            status = int(pytest.main(['-q', '-x', '-p', 'no:cacheprovider', '-m', lane, *files]))
        finally:
            os._exit(status)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.time() - start > 20 * limit:  # waits for something
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.2)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (os.WEXITSTATUS(status) if os.WIFEXITED(status) else 124), used


class Bench:
    """A copy of the repository, and a folder with one small file per result, which several processes may share."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.root, self.state = folder / 'copy', state
        self.log = folder / 'log.txt'
        state.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns('__pycache__', '.mim', '.venv', '.git', 'work_dirs', '*.egg-info', 'build')
        shutil.copytree(ROOT, self.root, ignore=ignored, symlinks=True)

    def passes(self, test: str, lane: str) -> bool:
        """Whether a test file passes without a mutant; asked only of files that failed with one."""
        return self.once(f'test {test} {lane}', lambda: dict(
            passes=run_tests(self.root, [test], 300, self.log, lane)[0] == 0))['passes']

    def once(self, key: str, find: Callable[[], dict]) -> dict:
        """A result from its file, or found and written."""
        path = result_file(self.state, key)
        if not path.is_file():
            result = dict(find(), key=key)
            part = path.with_suffix(f'.{os.getpid()}')
            part.write_text(json.dumps(result))
            part.replace(path)
        return json.loads(path.read_text())

    def judge(self, mutant: Mutant, budget: float) -> dict:
        """Meet the related tests until one fails or the budget is used up, in each lane."""
        path, seconds, met, killer = self.root / mutant.path, 0., [], None
        original = path.read_text(encoding='utf-8')
        for stale in (path.parent / '__pycache__').glob(f'{path.stem}.*'):
            stale.unlink()
        tests = related(mutant.path, self.root)
        if in_a_default(ast.parse(original), mutant.line):
            tests = ['tests/test_defaults.py', *tests]
        for lane in LANES:
            used = 0.
            for test in tests:
                if killer or used >= budget:
                    break
                if lane != LANES[0] and 'mark.ci' not in (self.root / test).read_text(encoding='utf-8'):
                    continue
                try:
                    path.write_text(mutant.text, encoding='utf-8')
                    status, more = run_tests(self.root, [test], 4 * budget, self.log, lane, write=False)
                finally:
                    path.write_text(original, encoding='utf-8')
                used, seconds, met = used + more, seconds + more, [*met, test]
                if status not in (0, 5) and self.passes(test, lane):  # 5: no test of this lane
                    killer = test
        return dict(killed=killer is not None, by=killer, met=met, line=mutant.line, seconds=round(seconds, 1))


def result_file(state: Path, key: str) -> Path:
    return state / f'{hashlib.sha1(key.encode()).hexdigest()[:16]}.json'


def known_mutants() -> tuple[dict, dict]:
    try:
        from mutants_known import EQUIVALENT, SURVIVORS
    except ImportError:
        return {}, {}
    return EQUIVALENT, SURVIVORS


def preload(root: Path) -> None:
    """Libraries that no mutant touches, loaded once instead of in every child; of the package only ``compat``."""
    sys.path.insert(0, str(root))
    import torch

    import mmseg_dg
    assert Path(mmseg_dg.__file__).is_relative_to(root), f'{mmseg_dg.__file__} is not the copy in {root}'
    import hypothesis  # noqa: F401
    import kornia.color  # noqa: F401
    import mmseg.apis  # noqa: F401
    import mmseg.models  # noqa: F401
    import pytest  # noqa: F401
    torch.set_num_threads(1)


def report(mutants: list[Mutant], results: dict) -> int:
    equivalent, survivors = known_mutants()
    killed = [m for m in mutants if results.get(m.key, {}).get('killed')]
    alive = [m for m in mutants if m.key in results and m not in killed]
    same = [m for m in alive if m.key in equivalent]
    for m in alive:
        reason = equivalent.get(m.key) or survivors.get(m.key) or 'not explained'
        print(f'{"equivalent" if m in same else "SURVIVED"}: {m.path}:{m.line} {m.what}\n    {reason}')
    counted = len(killed) + len(alive) - len(same)
    seconds = sum(r['seconds'] for r in results.values())
    print(f'{len(killed)} killed, {len(alive) - len(same)} survived, {len(same)} equivalent; {len(results)} of '
          f'{len(mutants)} judged '
          f'({100 * len(killed) / max(1, counted):.1f} % of those that change behavior killed), {seconds:.0f} s CPU')
    return 0 if not [m for m in alive if m not in same and m.key not in survivors] else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--count', type=int, default=40)
    parser.add_argument('--budget', type=float, default=60., help='CPU seconds of related tests per mutant')
    parser.add_argument('--state', type=Path, default=Path(tempfile.gettempdir()) / 'mmseg_dg_mutants')
    parser.add_argument('--only', help='mutants whose key matches this pattern, in place of a draw')
    parser.add_argument('--shard', default='0/1', help='I/N: every N-th mutant from the I-th on')
    parser.add_argument('--list', action='store_true', help='print the mutants and end')
    args = parser.parse_args()
    mutants = draw(args.count, args.seed, args.only)
    if args.list:
        for m in mutants:
            print(f'{m.path}:{m.line} {m.what}')
        return 0
    first, step = map(int, args.shard.split('/'))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.state)
        preload(bench.root)
        for i, mutant in list(enumerate(mutants))[first::step]:
            result = bench.once(mutant.key, lambda m=mutant: bench.judge(m, args.budget))
            print(f'{i + 1:3d} {"killed by " + result["by"] if result["killed"] else "SURVIVED"}: {mutant.key}',
                  flush=True)
    files = {m.key: result_file(args.state, m.key) for m in mutants}
    return report(mutants, {k: json.loads(f.read_text()) for k, f in files.items() if f.is_file()})


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main())
