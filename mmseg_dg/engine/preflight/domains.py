"""Checks of validation and test domains against evaluators, protocols and ``save_best``, by name
and path.
"""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from mmengine.hooks import CheckpointHook

from .configs import loader_argument_problems, path_problems
from .paste import Code, assigned_names, keys_written
from .problems import with_fix

#: What a domain of each mode is called in messages.
_WORDS = dict(val='validation domain', test='test domain')
#: An evaluator that fits any names of domains.
_METRIC = dict(_delete_=True, type='ConfusionMatrixMetric')


def domain_problems(cfg: Mapping, mode: str, filename: Optional[str] = None) -> Iterator[Exception]:
    """Errors for what would stop the evaluation, or evaluate something else than its config says.

    A child config that replaces domains inherits the evaluators, protocols and test domains of its
    base, and, without ``_delete_=True``, the domains themselves. Evaluators and protocols are
    compared with the domains of the mended dataloaders, so that all lines to paste go together.

    Args:
        cfg: The whole config.
        mode: ``'val'`` or ``'test'``. Paths of test data are not asked for: training does not need
            them.
        filename: The user's config file, which tells what he wrote himself.
    """
    loaders = cfg.get(f'{mode}_dataloader')
    if not isinstance(loaders, Mapping):
        return
    names = _switched_on(loaders) if 'dataset' not in loaders else [mode]  # one plain dataloader
    if mode == 'test' and _left_behind(cfg, filename):
        names = remaining_domains(cfg, filename)
        yield with_fix(
            ValueError(
                f'val_dataloader has the domains {names}, but test_dataloader still has those of '
                f'the base, {list(loaders)}: a test would ask for their data'),
            {'test_dataloader': Code('val_dataloader')})
    elif 'dataset' not in loaders:
        # what is no mapping is reported by the loop
        names = [name for name in names if isinstance(loaders[name], Mapping)]
        stale = _stale_domains(loaders, mode, filename)
        if stale:
            names = [name for name in names if name not in stale]
            # _delete_=True is advised only where the user's own domains are complete without what
            # they inherit (a sampler tells); else the stale ones are switched off one by one
            whole = all('sampler' in keys_written(filename, f'{mode}_dataloader', name)
                        for name in names)
            yield with_fix(
                ValueError(
                    f'{mode}_dataloader still has the domains {stale} of the base, whose data is '
                    f'not there, beside {names}: a dict of a child config is merged into that of '
                    'its base unless it says _delete_=True; None switches one domain off'),
                {f'{mode}_dataloader._delete_': True}
                if whole else {f'{mode}_dataloader.{name}': None
                               for name in stale})
        if mode == 'val':
            for name in names:
                config = loaders[name]
                yield from path_problems(f'{_WORDS[mode]} "{name}"', f'{mode}_dataloader.{name}',
                                         config.get('dataset'))
                yield from loader_argument_problems(f'{mode}_dataloader.{name}', config)
    yield from _evaluator_problems(cfg.get(f'{mode}_evaluator'), mode, names)
    yield from _protocol_problems(cfg.get(f'{mode}_cfg') or {}, mode, names)


def _left_behind(cfg: Mapping, filename: Optional[str]) -> bool:
    """Whether the user's file replaces the validation domains and forgets the test domains: it
    assigns ``val_dataloader`` alone, and their names differ now. ``cfg.test_dataloader`` is a dict.
    """
    written = assigned_names(filename)
    val, test = cfg.get('val_dataloader'), cfg['test_dataloader']
    return ('val_dataloader' in written and 'test_dataloader' not in written
            and isinstance(val, Mapping) and 'dataset' not in val
            and set(remaining_domains(cfg, filename)) != set(_switched_on(test)))


def _switched_on(loaders: Mapping) -> list[str]:
    """Names of domains or streams; None switches an inherited one off."""
    return [name for name, config in loaders.items() if config is not None]


def _stale_domains(loaders: Mapping, mode: str, filename: Optional[str]) -> list[str]:
    """Domains that the user's file does not name, where it gives others, and whose data is not
    there.
    """
    written = keys_written(filename, f'{mode}_dataloader')
    if not written.intersection(loaders) or '_delete_' in written:
        return []
    # inherited domains of which a folder or list is missing
    return [
        name for name in _switched_on(loaders)
        if name not in written and any(path_problems('', '', loaders[name].get('dataset')))
    ]


def _evaluator_problems(config: Any, mode: str, names: Sequence[str]) -> Iterator[ValueError]:
    """Errors for evaluators that name other domains than the dataloaders (``names``), or that are
    one metric and several at once, as a child config merged into its base may be.
    """
    if not isinstance(config, Mapping):
        return
    if {'type', 'metrics'} & set(config):  # one evaluator for all domains
        # keys whose values are metrics (a config with a type, or a list of them): domains of the
        # base or of the child
        merged = [
            key for key, value in config.items()
            if key != 'metrics' and (isinstance(value, (list, tuple)) and value and isinstance(
                value[0], Mapping) or isinstance(value, Mapping) and 'type' in value)
        ]
        if merged:
            yield with_fix(
                ValueError(
                    f'{mode}_evaluator is one metric for all domains and has metrics of the '
                    f'domains {merged} besides: a dict of a child config is merged into that of '
                    'its base unless it says _delete_=True'), {
                        f'{mode}_evaluator': dict(
                            {k: v
                             for k, v in config.items() if k not in merged}, _delete_=True)
                    })
        return
    missing = [name for name in names if name not in config]
    unknown = [name for name in config if name not in names]
    if missing or unknown:
        kept = {name: config[name] for name in names if name in config}
        # a domain without evaluator: one metric for all; else only the surplus names go
        fix = dict(_METRIC) if len(kept) < len(names) else dict(_delete_=True, **kept)
        yield with_fix(
            ValueError(
                f'the evaluator config names the domains {list(config)}, the dataloader config '
                f'{list(names)}' + (f'; without evaluator: {missing}' if missing else '')
                + (f'; without dataloader: {unknown}' if unknown else '')
                + f'. Give {mode}_evaluator and {mode}_dataloader the same names'),
            {f'{mode}_evaluator': fix})


def _protocol_problems(loop: Mapping, mode: str, names: Sequence[str]) -> Iterator[ValueError]:
    """An error for protocols (``<mode>_cfg.protocols``) of domains that are no longer there."""
    protocols = loop.get('protocols') or {}
    unknown = [name for name in protocols if name not in names]
    if unknown:
        # for the lines to paste: domains that are new count as targets
        mended = {name: dict(protocols.get(name) or dict(role='target')) for name in names}
        yield with_fix(
            ValueError(
                f'{mode}_cfg.protocols names {unknown}, but the domains are {list(names)}: a child '
                'config that replaces domains needs _delete_=True in protocols as well'),
            {f'{mode}_cfg.protocols': dict(_delete_=True, **mended)})


def remaining_domains(cfg: Mapping, filename: Optional[str] = None) -> list[str]:
    """Names of the validation domains once what :func:`domain_problems` finds is mended."""
    loaders = cfg.get('val_dataloader')
    if not isinstance(loaders, Mapping) or 'dataset' in loaders:
        return ['val'] if loaders else []
    stale = _stale_domains(loaders, 'val', filename)
    return [name for name in _switched_on(loaders) if name not in stale]


def save_best_problems(hooks: Sequence[Any], names: Sequence[str]) -> Iterator[ValueError]:
    """Errors for a best checkpoint that is chosen by a domain nobody evaluates.

    Args:
        hooks: Of the runner.
        names: Validation domains.
    """
    for hook in hooks:
        keys = hook.save_best or () if isinstance(hook, CheckpointHook) else ()
        keys = [keys] if isinstance(keys, str) else keys
        for key in keys:
            domain = str(key).partition('/')[0]
            # a key without a slash (a single domain's metric, 'auto') names no domain
            if names and '/' in str(key) and domain not in (*names, 'mean', 'auto'):
                yield with_fix(
                    ValueError(
                        f'default_hooks.checkpoint.save_best={key!r} is not a metric of this run: '
                        f'its domains are {list(names)}'),
                    {'default_hooks.checkpoint.save_best': f'{names[0]}/mIoU'})
