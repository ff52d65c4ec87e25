"""What a score is of: the validation domains that make it up, and the metrics that give it."""
import re
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmseg_dg.apis.label_free import images_only
from mmseg_dg.engine.loops.multi_domain import mean_over_domains
from mmseg_dg.evaluation import (
    CalibrationMetric,
    ClassBiasMetric,
    ConfusionMatrixMetric,
    DriveMetric,
    LabelFreeMetric,
)
from mmseg_dg.evaluation.label_free import SCORES
from mmseg_dg.registry import METRICS

_CONFUSION = r'[am]Acc|mIoU|(IoU|Acc)\..+'
#: Metrics that do not list their scores, derived classes first, and what the scores are called.
_SCORES_OF = (((ClassBiasMetric, DriveMetric),
               rf'{_CONFUSION}|(mIoU|mAcc)\.(head|middle|tail)|Share\..+'),
              ((ConfusionMatrixMetric, ), _CONFUSION), ((CalibrationMetric, ),
                                                        r'ECE|confidence|accuracy|AURC|risk\.\d+'))


def loaders_by_domain(cfg: Config) -> dict[str, Any]:
    """Validation dataloaders of a config by domain; a single unnamed one is the domain ``val``."""
    loaders = cfg.get('val_dataloader') or {}
    if 'dataset' in loaders:
        return dict(val=loaders)
    return {name: loader for name, loader in loaders.items() if loader is not None}


def metrics_by_domain(cfg: Config) -> dict[str, list]:
    """Metric configs of each validation domain; empty lists in a config without evaluator."""
    configured: Any = cfg.get('val_evaluator') or []
    # a dict of evaluators by domain, or one evaluator of all: a metric, a list, mmengine's wrapper
    by_domain = isinstance(configured, dict) and not {'type', 'metrics'} & set(configured)
    found = {}
    for domain in loaders_by_domain(cfg):
        metrics = configured.get(domain) or [] if by_domain else configured
        if isinstance(metrics, dict):
            metrics = metrics.get('metrics', metrics)
        found[domain] = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
    return found


def needs_no_labels(score: str) -> bool:
    """Whether a score (``<domain>/<metric>``) comes from predictions alone."""
    return score.split('/')[-1] in ('label_free', *SCORES)


def scored_domains(cfg: Config, score: str) -> list[str]:
    """Domains that make up a score.

    Args:
        cfg: Of the run; ``val_cfg.protocols`` may give a validation domain the role ``source``.
        score: ``'<domain>/<metric>'``, or ``'mean/<metric>'``.

    Returns:
        The domain that it names. For ``mean`` the validation domains that have the score and are
        not of the role ``source``, or all that have it where every one is; a score against labels
        is of no domain without masks.
    """
    domain = score.partition('/')[0]
    if domain != 'mean':
        return [domain]
    loaders, metrics, free = loaders_by_domain(cfg), metrics_by_domain(cfg), needs_no_labels(score)
    names = [
        name for name, loader in loaders.items()
        if (free or not images_only(loader['dataset'])) and (not metrics[name] or any(
            _is_label_free(metric) == free for metric in metrics[name]))
    ]
    protocols = (cfg.get('val_cfg') or {}).get('protocols') or {}
    return [name for name in names if (protocols.get(name) or {}).get('role') != 'source'] or names


def counts_drives(cfg: Config, score: str) -> bool:
    """Whether a :class:`DriveMetric` judges a domain of a score."""
    metrics = metrics_by_domain(cfg)
    return any(
        issubclass(_class_of(metric), DriveMetric) for domain in scored_domains(cfg, score)
        for metric in metrics.get(domain, []))


def check_score(cfg: Config, score: str, where: str) -> None:
    """Refuse a score that no evaluation of a config gives.

    Args:
        cfg: Of an arm.
        score: ``'<domain>/<metric>'``; the domain ``mean`` needs labels of at least one domain.
        where: Begins messages.

    Raises:
        ValueError: An unknown domain, labels that are not there, or no metric with this score.
    """
    domain, _, name = score.partition('/')
    loaders, free = loaders_by_domain(cfg), needs_no_labels(score)
    if domain not in (*loaders, 'mean'):
        raise ValueError(
            f'{where}: score {score!r} is of no validation domain; there are {list(loaders)}, and '
            'mean')
    if domain == 'mean':
        if not free and all(images_only(loader['dataset']) for loader in loaders.values()):
            raise ValueError(f'{where}: score {score!r} needs labels, but none of the domains '
                             f'{list(loaders)} has any')
        # asked of the loop itself: which scores of domains it averages
        if score not in mean_over_domains({'a domain': {'mIoU': 0., 'label_free': 0., name: 0.}}):
            raise ValueError(
                f'{where}: score {score!r}: an evaluation has no mean of {name!r} over '
                f'domains; score mean/mIoU or one of the domains {list(loaders)}')
    elif images_only(loaders[domain]['dataset']) and not free:
        raise ValueError(
            f'{where}: score {score!r} needs labels, but the domain {domain!r} has none; score '
            f'it by {domain}/label_free, or give it masks')
    metrics = metrics_by_domain(cfg)
    for each in scored_domains(cfg, score) or list(loaders):
        if metrics[each] and not any(_gives(metric, name) for metric in metrics[each]):
            kinds = [_class_of(metric).__name__ for metric in metrics[each]]
            hint = "; add dict(type='LabelFreeMetric')" if free else ''
            raise ValueError(f'{where}: score {score!r}: the evaluator of the domain {each!r} '
                             f'({", ".join(kinds)}) gives no {name!r}{hint}')


def _class_of(metric: Mapping) -> type:
    """The class of a metric's config; ``object`` for one that is not known here."""
    kind = metric['type']
    found = METRICS.get(kind) if isinstance(kind, str) else kind
    return found if isinstance(found, type) else object


def _is_label_free(metric: Mapping) -> bool:
    """Whether a metric's config is of scores without labels."""
    return issubclass(_class_of(metric), LabelFreeMetric)


def _gives(metric: Mapping, name: str) -> bool:
    """Whether a metric of a domain may give the score ``name``; True for metrics of other
    packages and for subclasses of ours, whose scores are not known.
    """
    kind, prefix = _class_of(metric), metric.get('prefix')
    if kind is LabelFreeMetric:
        built = kind(**{key: value for key, value in metric.items() if key != 'type'})
        # the teacher is known only when there is a network
        names = (*built.score_names, *(['teacher_agreement'] if built.teacher else []))
        pattern = '|'.join(map(re.escape, names))
    else:
        pattern = next((scores for known, scores in _SCORES_OF if kind in known), '.+')
    start = re.escape(f'{prefix}/') if prefix else ''
    return re.fullmatch(f'{start}({pattern})', name) is not None
