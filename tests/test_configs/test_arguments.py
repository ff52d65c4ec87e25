"""Names and arguments in configs: mmengine accepts a mistyped key until the part is built, hours later perhaps."""
from functools import cache

import pytest

from mmseg_dg import registry
from mmseg_dg.utils.arguments import accepted_arguments

from .catalog import import_mmpretrain

#: Arguments mmengine or mmseg pass or read themselves.
IMPLICIT = {'type', '_scope_', 'priority'}


@cache
def accepted(kind: str, registry_name: str):
    """Argument names a registered class takes, base classes included while they are handed on; None: anything."""
    cls = getattr(registry, registry_name).get(kind)
    assert cls is not None, f'{kind} is not registered in {registry_name}'
    names = accepted_arguments(cls)
    return None if names is None else set(names)


def check(cfg: dict, registry_name: str, where: str) -> None:
    names = accepted(cfg['type'], registry_name)
    if names is not None:
        unknown = set(cfg) - names - IMPLICIT
        assert not unknown, f'{where}: {cfg["type"]} takes no {sorted(unknown)}'


def check_loaders(loaders: dict, where: str) -> None:
    for name, loader in loaders.items():
        check(loader['sampler'], 'DATA_SAMPLERS', f'{where}.{name}.sampler')
        for dataset in loader['dataset'].get('datasets') or [loader['dataset']]:
            import_mmpretrain(dataset['type'])
            check(dataset, 'DATASETS', f'{where}.{name}.dataset')
            for step in dataset['pipeline']:
                check(step, 'TRANSFORMS', f'{where}.{name}.dataset.pipeline')


def every_part_exists_and_takes_its_arguments(name, cfg):
    check_loaders(cfg.train_dataloader, 'train_dataloader')
    check_loaders(cfg.val_dataloader, 'val_dataloader')
    # one metric or a list of them for all domains, or either for each by its name
    by_domain = {'': cfg.val_evaluator} if isinstance(cfg.val_evaluator, list) or 'type' in cfg.val_evaluator else \
        cfg.val_evaluator
    for metric in [m for v in by_domain.values() for m in (v if isinstance(v, list) else [v])]:
        check(metric, 'METRICS', 'val_evaluator')
    check(cfg.visualizer, 'VISUALIZERS', 'visualizer')
    for hook in list(cfg.default_hooks.values()) + list(cfg.get('custom_hooks', [])):
        check(hook, 'HOOKS', 'hooks')
    for key in ('train_cfg', 'val_cfg', 'test_cfg'):
        check(cfg[key], 'LOOPS', key)
    for scheduler in cfg.param_scheduler:
        check(scheduler, 'PARAM_SCHEDULERS', 'param_scheduler')
    check({k: v for k, v in cfg.model.items()}, 'MODELS', 'model')
    network = cfg.model.network
    import_mmpretrain(network.backbone.type)
    check(network, 'MODELS', 'model.network')
    for part in ('backbone', 'neck', 'decode_head', 'denoiser'):
        if part in network:
            check(network[part], 'MODELS', f'model.network.{part}')
    for part in ('head', 'scale_attention'):
        if isinstance(network.decode_head.get(part), dict):
            check(network.decode_head[part], 'MODELS', f'model.network.decode_head.{part}')
    if cfg.model.get('feature_distance'):
        check(dict(dict(type='FeatureDistance'), **cfg.model.feature_distance), 'MODELS', 'model.feature_distance')
    if cfg.model.get('alignment'):
        check(cfg.model.alignment, 'MODELS', 'model.alignment')
    if cfg.model.get('style_augmentation'):
        check(cfg.model.style_augmentation, 'MODELS', 'model.style_augmentation')
    assert registry.OPTIM_WRAPPER_CONSTRUCTORS.get(cfg.optim_wrapper.constructor)
    assert 'runner_type' not in cfg or registry.RUNNERS.get(cfg.runner_type)


def test_a_mistyped_argument_is_found():
    with pytest.raises(AssertionError, match='min_pixel'):
        check(dict(type='RareClassSampler', min_pixel=3000), 'DATA_SAMPLERS', 'here')
