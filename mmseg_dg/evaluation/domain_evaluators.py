"""One evaluator per validation domain."""
import copy
from collections.abc import ItemsView, Sequence
from typing import Any, Optional

from mmengine.evaluator import BaseMetric, Evaluator

from mmseg_dg.registry import EVALUATOR


class DomainEvaluators:
    """Evaluators by domain name; stands where mmengine expects the evaluator of a loop.

    Args:
        evaluators: Domain name to evaluator.
    """
    def __init__(self, evaluators: dict[str, Evaluator]) -> None:
        self.evaluators = dict(evaluators)

    def __getitem__(self, domain: str) -> Evaluator:
        """The evaluator of a domain."""
        return self.evaluators[domain]

    def items(self) -> ItemsView[str, Evaluator]:
        """(domain, evaluator) pairs."""
        return self.evaluators.items()

    @property
    def metrics(self) -> list[BaseMetric]:
        """The metrics of all domains."""
        return [metric for evaluator in self.evaluators.values() for metric in evaluator.metrics]

    @property
    def dataset_meta(self) -> Optional[dict]:
        """Meta information of the first domain's dataset."""
        return next(iter(self.evaluators.values())).dataset_meta


def build_domain_evaluators(config: Any, domains: Sequence[str]) -> DomainEvaluators:
    """Build the evaluator of each domain.

    Args:
        config: ``{domain: metric config or list of them}`` with exactly the names in ``domains``;
            or one metric config (or list, or ``dict(metrics=...)``) of which each domain gets its
            own copy.
        domains: Names of the domains.

    Raises:
        ValueError: The names differ from ``domains``.
        TypeError: ``config`` is a built evaluator, which several domains cannot share.
    """
    if isinstance(config, DomainEvaluators):
        config = config.evaluators
    if isinstance(config, Evaluator):
        if len(domains) > 1:
            raise TypeError('one built Evaluator cannot serve several domains '
                            f'({", ".join(domains)}): give its config, or a dict with one '
                            'evaluator per domain')
        return DomainEvaluators({domains[0]: config})
    if not isinstance(config, (dict, list, tuple)):
        raise TypeError('val_evaluator and test_evaluator are a dict or a list of metric configs, '
                        f'not {type(config)}')
    # a dict with one of these keys is the config of a metric or an evaluator, others name domains
    if isinstance(config, dict) and not {'type', 'metrics'} & set(config):
        missing = [name for name in domains if name not in config]
        unknown = [name for name in config if name not in domains]
        if missing or unknown:
            raise ValueError(
                f'the evaluator config names the domains {list(config)}, the dataloader config '
                f'{list(domains)}' + (f'; without evaluator: {missing}' if missing else '')
                + (f'; without dataloader: {unknown}' if unknown else '')
                + '. Give both the same names (a child config that replaces domains needs '
                '_delete_=True in both dicts)')
        return DomainEvaluators({name: _build(config[name]) for name in domains})
    return DomainEvaluators({name: _build(config) for name in domains})


def _build(config: Any) -> Evaluator:
    """An evaluator of a domain from a metric config, a list of them or ``dict(metrics=...)``; a
    built one is returned as it is.
    """
    if isinstance(config, Evaluator):
        return config
    config = copy.deepcopy(config)  # building changes it, and several domains may share it
    if isinstance(config, dict) and 'metrics' in config:
        config.setdefault('type', 'Evaluator')
        return EVALUATOR.build(config)
    return Evaluator(list(config) if isinstance(config, (list, tuple)) else config)
