"""Arguments a part does not take: those of the base's part, into which a child's dict was merged.
"""
import inspect
import os.path as osp
from collections.abc import Iterator, Mapping
from typing import Any

from mmseg_dg.utils.arguments import accepted_arguments

from .problems import with_fix

#: Arguments mmengine reads or passes itself.
IMPLICIT = ('type', '_scope_')


def argument_problems(key: str, config: Any, registry: Any,
                      default: str = '') -> Iterator[ValueError]:
    """Errors for a config with arguments that its ``type`` does not take, or of a type that does
    not exist; they know lines to paste.

    Args:
        key: Dotted key of the config, for message and fix.
        config: Has ``type``; anything else is not looked at.
        registry: Where the type is looked up.
        default: Type of a config that names none.
    """
    kind = config.get('type', default) if isinstance(config, Mapping) else ''
    if not kind:
        return
    cls = registry.get(kind) if isinstance(kind, str) else kind
    if cls is None:
        yield ValueError(f'{key}.type={kind!r} is not registered: correct the name, or add its '
                         'module to custom_imports')
        return
    # None: any name may be right, of a class that takes any keyword or of a function
    names = accepted_arguments(cls) if inspect.isclass(cls) else None
    unknown = [] if names is None else [k for k in config if k not in names and k not in IMPLICIT]
    if not unknown:
        return
    # the fix: the same config without the base's arguments
    kept = {
        k: v
        for k, v in config.items() if k not in unknown and not _is_missing_list(k, v, config)
    }
    unknown_text = ', '.join(f'{k}={config[k]!r}' for k in unknown)
    hint = ''
    if 'lr' in config:  # an optimizer: its rate may be the base's too
        hint = f", and look at lr={config['lr']!r}, which may be the other one's"
    yield with_fix(
        ValueError(
            f'{key}: {getattr(cls, "__name__", kind)} takes no {unknown_text}. A dict of a '
            f'child config is merged into that of its base: replace it with _delete_=True{hint}'),
        {key: dict(_delete_=True, **kept)})


def _is_missing_list(key: str, value: Any, config: Mapping) -> bool:
    """Whether an entry of a dataset's config is an ``ann_file`` that does not exist: that of the
    base, whose lists the child's data does not have.
    """
    return key == 'ann_file' and not osp.isfile(osp.join(config.get('data_root') or '', str(value)))
