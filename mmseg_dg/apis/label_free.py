"""Label-free scores of what is predicted: in a table beside predictions, and in a test of domains
without masks."""
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmseg.models.segmentors import BaseSegmentor

from mmseg_dg.evaluation.label_free_metric import LabelFreeMetric
from mmseg_dg.utils.atomic_files import written_whole

from .inputs import Input

METRIC = ConfigDict(type='LabelFreeMetric')


class LabelFreeTable:
    """Collects scores while images are predicted: the ``observe`` of
    :func:`mmseg_dg.apis.inference.iter_predict`.

    Args:
        model: Of :func:`mmseg_dg.apis.load_model`.
        **kwargs: Of :class:`LabelFreeMetric`.
    """
    def __init__(self, model: BaseSegmentor, **kwargs: Any) -> None:
        self.metric = LabelFreeMetric(**kwargs)
        self.metric.dataset_meta = getattr(model, 'dataset_meta', None)
        # the metric predicts the mirrored images too, by ``test_step``
        self.metric.use_model(model, model.test_step)
        self.images = 0  # added so far

    def __call__(self, items: Sequence[Input], batch: dict, outputs: Sequence) -> None:
        """Score some images while they are predicted.

        Args:
            items: The images.
            batch: ``inputs`` and ``data_samples``, as they went into ``test_step``.
            outputs: The network's samples, one per image.
        """
        samples = [
            dict(output.to_dict(), img_path=item.name) for item, output in zip(items, outputs)
        ]
        self.metric.process(batch, samples)
        self.images += len(items)

    def write(self, path: Path) -> Path:
        """Write the scores as CSV: a row per image, and ``all`` for all pixels together; returns
        the file.

        Raises:
            ValueError: No image was predicted.
        """
        # one dict per image, ``img_path`` and its scores
        rows = [dict(row) for row in self.metric.image_scores]
        for row in rows:
            row['image'] = row.pop('img_path')
        # ``evaluate`` puts a prefix before its keys, the rows of images have none
        start = f'{self.metric.prefix}/' if self.metric.prefix else ''
        scores = self.metric.evaluate(self.images)
        everything = dict(image='all', **{k.removeprefix(start): v for k, v in scores.items()})
        with written_whole(path) as part, open(part, 'w', newline='', encoding='utf-8') as file:
            # an image of fewer than three pixels has no density: that cell stays empty
            writer = csv.DictWriter(file, list(everything), restval='')
            writer.writeheader()
            writer.writerows([*rows, everything])
        return path


def add_label_free(cfg: Config) -> None:
    """Let a test score without labels too; a domain whose dataset has images only gets no other
    score.

    A domain that has the metric keeps it as it is.

    Args:
        cfg: Config with ``test_dataloader`` and perhaps ``test_evaluator``; changed in place.

    Raises:
        ValueError: The config has no test domain, its evaluators are by names that are no test
            domains, or a domain with masks is not among these names.
    """
    loaders = cfg.get('test_dataloader')
    if not loaders:
        raise ValueError(f'--label-free: {cfg.filename} has no test_dataloader')
    single = 'dataset' in loaders
    loaders = dict(test=loaders) if single else {k: v for k, v in loaders.items() if v is not None}
    configured: Any = cfg.get('test_evaluator') or []
    # a dict of evaluators by domain, or one evaluator (a metric, a list, mmengine's wrapper)
    by_domain = isinstance(configured, dict) and not {'type', 'metrics'} & set(configured)
    if by_domain:
        _check_names(configured, loaders)
    evaluators = {}
    for name, loader in loaders.items():
        metrics = configured.get(name) or [] if by_domain else configured
        if isinstance(metrics, dict) and 'metrics' in metrics:  # mmengine's wrapper
            metrics = metrics['metrics']
        metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        # without masks no other metric can be computed
        if images_only(loader['dataset']):
            metrics = [metric for metric in metrics if _kind(metric) == METRIC.type]
        has = any(_kind(metric) == METRIC.type for metric in metrics)
        evaluators[name] = metrics if has else [*metrics, METRIC.copy()]
    # assigned as a whole: merging would mix one evaluator with evaluators by name
    cfg.test_evaluator = evaluators['test'] if single else ConfigDict(evaluators)


def _check_names(evaluators: dict, loaders: dict) -> None:
    """Refuse (ValueError) evaluators by domain of other names than the test domains (``loaders``):
    a misspelt one would be dropped, and its domain be judged without its labels.
    """
    unknown = [name for name in evaluators if name not in loaders]
    missing = [
        name for name, loader in loaders.items()
        if name not in evaluators and not images_only(loader['dataset'])
    ]
    if unknown or missing:
        raise ValueError(
            f'--label-free: test_evaluator names the domains {list(evaluators)}, test_dataloader '
            f'{list(loaders)}; without dataloader: {unknown}; without evaluator: {missing}. Give '
            'both the same names; only a domain without masks needs no evaluator')


def images_only(dataset: dict) -> bool:
    """Whether a dataset's config says that it has no masks; of a wrapper around several, whether
    any of them has none.
    """
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if inner:
        return any(images_only(part) for part in inner)
    if _kind(dataset) == 'FolderDataset':
        return not (dataset.get('data_prefix') or {}).get('seg_map_path')
    return _kind(dataset) == 'UnlabeledImageDataset'


def _kind(config: dict) -> str:
    """The bare name of the class of a metric or dataset: without a scope (``mmseg_dg.``) or module;
    ``type`` may be the class itself.
    """
    kind = config['type']
    return kind.split('.')[-1] if isinstance(kind, str) else kind.__name__
