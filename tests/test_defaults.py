"""Defaults of what users call: each change of one is a change of somebody's results, and must be meant.

After a change that is meant: ``python tests/test_defaults.py`` writes ``defaults.txt`` anew; say it in CHANGELOG.md.
"""
import inspect
import types
from pathlib import Path

import mmseg_dg
from mmseg_dg import apis, ops, registry

LISTED = Path(__file__).with_name('defaults.txt')
REGISTRIES = [r for r in vars(registry).values() if type(r).__name__ == 'Registry' and r._locations]


def public() -> dict[str, object]:
    """By name: whatever a config may name, and the functions of ``mmseg_dg.ops``, ``mmseg_dg.apis``, ``mmseg_dg``."""
    found = {}
    for part in REGISTRIES:
        part.import_from_location()
        found.update({f'{part.name}.{name}': item for name, item in part.module_dict.items()
                      if item.__module__.startswith('mmseg_dg.') and '.' not in name})
    for module in (ops, apis, mmseg_dg):
        found.update({f'{module.__name__}.{name}': getattr(module, name) for name in getattr(module, '__all__', ())})
    # an alias of a type (CropBox) has the signature of that type, which differs between versions of Python
    return {name: item for name, item in found.items()
            if isinstance(item, (type, types.FunctionType)) and item.__module__.startswith('mmseg_dg.')}


def defaults() -> str:
    """One line per argument with a default."""
    lines = []
    for name, item in sorted(public().items()):
        try:
            parameters = inspect.signature(item).parameters.values()
        except ValueError:  # an exception or tuple type of the standard library's making
            continue
        lines += [f'{name}({p.name}={p.default!r})' for p in parameters
                  if p.default is not p.empty and ' at 0x' not in repr(p.default)]
    return '\n'.join(lines) + '\n'


def test_defaults_are_those_that_are_listed():
    now, listed = defaults().splitlines(), LISTED.read_text(encoding='utf-8').splitlines()
    gone, new = sorted(set(listed) - set(now)), sorted(set(now) - set(listed))
    assert (gone, new) == ([], []), f'changed: {gone} -> {new}; see the top of tests/test_defaults.py'


def test_what_is_listed_is_what_users_call():
    text = LISTED.read_text(encoding='utf-8')
    for line in ('model.DACS(pseudo_threshold=0.968)', 'hook.ReestimateStatisticsHook(batches=50)',
                 "mmseg_dg.ops.add_noise(form='scaled')", "mmseg_dg.adapt(method='daformer')"):
        assert f'\n{line}\n' in text


if __name__ == '__main__':
    LISTED.write_text(defaults(), encoding='utf-8')
    print(f'{LISTED}: {len(LISTED.read_text(encoding="utf-8").splitlines())} defaults')
