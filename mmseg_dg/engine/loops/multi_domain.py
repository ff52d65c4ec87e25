"""Validation and test over several named domains in one run."""
import os
from collections.abc import Collection
from typing import Any, Optional, Union

import torch
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.amp import autocast
from torch.utils.data import DataLoader

from mmseg_dg.datasets.binary_masks import check_binary
from mmseg_dg.datasets.output_names import output_names
from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.unlabeled import has_no_masks
from mmseg_dg.datasets.wrappers import leaves
from mmseg_dg.engine.hooks.finite_state import install_finite_state
from mmseg_dg.engine.named_loaders import NamedLoaders, sample_count
from mmseg_dg.engine.preflight.streams import image_paths
from mmseg_dg.evaluation.domain_evaluators import DomainEvaluators, build_domain_evaluators
from mmseg_dg.evaluation.label_free import SCORES
from mmseg_dg.evaluation.metric_traits import MetricTraits
from mmseg_dg.evaluation.protocols import (
    build_protocols,
    check_test_cfg,
    evaluated_network,
    predicting_as,
)
from mmseg_dg.evaluation.report import (
    DomainReport,
    EvaluationReport,
    chosen_by,
    markdown_table,
    selecting_keys,
    selects_checkpoint,
    write_report,
)
from mmseg_dg.registry import LOOPS
from mmseg_dg.utils.allocator import keep_freed_memory
from mmseg_dg.utils.method import iteration_of
from mmseg_dg.utils.modules import child
from mmseg_dg.utils.run_names import make_current
from mmseg_dg.utils.seeding import derive_seed

from .class_counts import class_counts

Loaders = Union[dict[str, Any], DataLoader, NamedLoaders]


class _MultiDomainLoop(BaseLoop):
    """What validation and test share; ``mode``: their word in hook names, ``what``: in messages."""

    mode = 'val'
    what = 'validation domain'

    def __init__(self, runner: Runner, dataloader: Loaders, evaluator: Any, fp16: bool = False,
                 bf16: bool = False, protocols: Optional[dict[str, dict]] = None) -> None:
        if fp16 and bf16:
            raise ValueError('fp16=True and bf16=True exclude each other: choose one precision '
                             'for the evaluation')
        loaders = self._build_loaders(runner, dataloader)
        super().__init__(runner, loaders)
        install_finite_state(runner)  # a hook that refuses a tested checkpoint with NaN
        self.protocols = build_protocols(protocols, loaders.names)
        for name, protocol in self.protocols.items():
            check_test_cfg(runner.model, name, protocol)
        self.evaluator: DomainEvaluators = build_domain_evaluators(evaluator, loaders.names)
        for name, domain_evaluator in self.evaluator.items():
            self._prepare(name, domain_evaluator)
        self.runner.visualizer.dataset_meta = loaders.dataset.metainfo
        self.fp16, self.bf16 = fp16, bf16
        # domain -> {image path: name of the image's pictures}, filled on first use
        self._picture_names_by_domain: dict[str, dict[str, str]] = {}
        sizes = ', '.join(f'{name} ({sample_count(loader)} images{self._role(name)})'
                          for name, loader in loaders.items())
        print_log(f'{self.what}s: {sizes}', logger='current')

    def _role(self, name: str) -> str:
        """The role of a domain (``source``, ...) for the log, after a comma; empty if it has none.
        """
        role = self.protocols[name].role
        return f', {role}' if role else ''

    def _build_loaders(self, runner: Runner, config: Loaders) -> NamedLoaders:
        """The dataloader of each domain, from configs or loaders."""
        if isinstance(config, NamedLoaders):
            return config
        if isinstance(config, DataLoader) or (isinstance(config, dict) and 'dataset' in config):
            config = {self.mode: config}  # an ordinary dataloader config is one domain
        if not isinstance(config, dict):
            raise TypeError(f'{self.mode}_dataloader is a dict of dataloader configs by domain '
                            f'name, or one dataloader config, not {type(config)}')
        if 'mean' in config:
            raise ValueError(f'a {self.what} cannot be called "mean": mean/mIoU is the mean over '
                             'domains')
        # a child may switch one off
        config = {name: entry for name, entry in config.items() if entry is not None}
        return NamedLoaders(
            {name: self._build_loader(runner, name, entry)
             for name, entry in config.items()}, what=self.what)

    def _build_loader(self, runner: Runner, name: str, config: Any) -> DataLoader:
        """One domain's dataloader, with a random generator of its own."""
        if isinstance(config, DataLoader):
            return config
        if not isinstance(config, dict) or 'dataset' not in config:
            raise ValueError(
                f'{self.what} "{name}" needs a dataloader config with a dataset, but is '
                f'{config!r}: write {self.mode}_dataloader = dict({name}=dict(batch_size=1, '
                'dataset=dict(...), sampler=...))')
        try:
            # seeds as mmengine's runner passes them for loaders of its own
            loader = runner.build_dataloader(
                config, seed=runner.seed,
                diff_rank_seed=runner._randomness_cfg.get('diff_rank_seed', False))
        except ValueError as error:
            # mmengine's words for a dataset that found no image
            if 'need at least one array' not in str(error):
                raise
            raise ValueError(f'{self.what} "{name}" has an empty dataset: check data_root, '
                             'data_prefix, suffixes and ann_file of its config') from error
        # worker seeds otherwise come from the global generator, and an evaluation would change the
        # training after it
        loader.generator = torch.Generator().manual_seed(
            derive_seed(runner.seed or 0, self.mode, name))
        return loader

    def _prepare(self, name: str, evaluator: Evaluator) -> None:
        """Hand the domain's classes to its metrics, give each domain its own folder of saved
        predictions, and refuse (ValueError) metrics that do not go with dataset or network.
        """
        dataset = self.dataloader[name].dataset
        meta = traits(dataset).metainfo or None
        try:
            for leaf in leaves(dataset):  # the datasets inside wrappers
                check_binary(leaf)
        except ValueError as error:
            raise ValueError(f'{self.what} "{name}": {error}') from error
        try:
            evaluator.dataset_meta = meta
        except ValueError as error:
            raise ValueError(f'evaluator of {self.what} "{name}": {error}') from error
        classes, predicted = (meta or {}).get('classes'), predicted_classes(self.runner.model)
        check_labels(self.what, name, dataset, evaluator.metrics)
        for metric in evaluator.metrics:
            asked = MetricTraits(metric)  # reads attributes that the metric may lack
            try:
                asked.check_paths(lambda: sorted(image_paths(dataset)))
            except ValueError as error:
                raise ValueError(f'evaluator of {self.what} "{name}": {error}') from error
            asked.use_run(self.runner, self._predict, name)  # for those that predict again
            if asked.prior_stream is not None:
                metric.set_prior(class_counts(self.runner.cfg, asked.prior_stream))
            folder = asked.output_dir
            if folder and asked.names_images:
                metric.image_names = output_names(self.dataloader[name].dataset)
            # one metric config serves all domains: each saves into a folder of the domain's name
            if folder and len(self.dataloader.names) > 1 and os.path.basename(
                    os.path.normpath(folder)) != name:
                metric.output_dir = os.path.join(folder, name)
            if folder and (predicted or 0) > 256 and asked.saves_few_ids:
                raise ValueError(f'{type(metric).__name__} of {self.what} "{name}" saves ids in 8 '
                                 f'bits, but the network predicts {predicted} classes, so that 256 '
                                 'would become 0: use ConfusionMatrixMetric, which saves 16 bits '
                                 'then')
            if not classes or not predicted:
                continue
            # other metrics: the dataset's classes
            expected = len(classes) if asked.num_predicted is None else asked.num_predicted
            if predicted != expected:
                raise ValueError(f'the network predicts {predicted} classes, but {self.what} '
                                 f'"{name}" is scored on {expected}: set num_classes of the decode '
                                 'head, or give the dataset the classes of training')

    def run(self) -> dict[str, float]:
        """Evaluate every domain.

        Returns:
            ``<domain>/<key>`` of each domain's metrics, and ``mean/mIoU`` and the means of scores
            without labels over domains that are no source; unrounded.
        """
        make_current(self.runner)  # several runs in one process share "current" logger and hub
        keep_freed_memory(self.runner.model)
        self._call('before_{}')
        self._call('before_{}_epoch')
        self.runner.model.eval()
        by_domain, first_batch = {}, 0
        for name, loader in self.dataloader.items():
            by_domain[name] = self._run_domain(name, first_batch)
            first_batch += len(loader)
        metrics = {
            f'{name}/{key}': value
            for name, scores in by_domain.items()
            for key, value in scores.items()
        }
        metrics.update(mean_over_domains(by_domain, self._sources()))
        if is_main_process():
            self._report(by_domain, metrics)
        self._call('after_{}_epoch', metrics=metrics)
        self._call('after_{}')
        return metrics

    def _sources(self) -> list[str]:
        """Names of the domains with ``role='source'``, which do not enter the mean."""
        return [name for name, protocol in self.protocols.items() if protocol.role == 'source']

    def _run_domain(self, name: str, first_batch: int) -> dict[str, float]:
        """Scores of one domain; ``first_batch`` is the number of its first batch among the batches
        of all domains.
        """
        loader, evaluator = self.dataloader[name], self.evaluator[name]
        with predicting_as(self.runner.model, self.protocols[name]):
            for index, batch in enumerate(loader, start=first_batch):
                self.run_iter(index, batch, name)
        return evaluator.evaluate(len(loader.dataset))

    def _picture_names(self, name: str, loader: DataLoader) -> dict[str, str]:
        """``{image path: name of the image's pictures}`` of a domain, made once per run."""
        if name not in self._picture_names_by_domain:
            self._picture_names_by_domain[name] = output_names(loader.dataset)
        return self._picture_names_by_domain[name]

    @torch.no_grad()
    def run_iter(self, index: int, batch: Any, domain: str) -> None:
        """Predict one batch and hand it to the metrics.

        Args:
            index: Number of the batch, counted over all domains.
            batch: As the dataloader gives it.
            domain: Whose images they are; the predicted samples say so in their ``metainfo``, with
                the name of the image's picture.
        """
        self._call('before_{}_iter', batch_idx=index, data_batch=batch)
        outputs = self._predict(batch)
        names = self._picture_names(domain, self.dataloader[domain])
        for sample in outputs:
            picture = names.get(str(sample.metainfo.get('img_path') or ''), '')
            sample.set_metainfo(dict(domain=domain, picture=picture))
        self.evaluator[domain].process(data_samples=outputs, data_batch=batch)
        self._call('after_{}_iter', batch_idx=index, data_batch=batch, outputs=outputs)

    def _predict(self, batch: Any) -> Any:
        """The network's samples of a batch, in the precision of the loop."""
        step = self.runner.model.val_step if self.mode == 'val' else self.runner.model.test_step
        with autocast(enabled=self.fp16 or self.bf16, dtype=torch.bfloat16 if self.bf16 else None):
            return step(batch)

    def _call(self, pattern: str, **kwargs: Any) -> None:
        """Call a hook point; ``{}`` in its name becomes ``val`` or ``test``."""
        self.runner.call_hook(pattern.format(self.mode), **kwargs)

    def _report(self, by_domain: dict[str, dict[str, float]], metrics: dict[str, float]) -> None:
        """Log the table of all domains and write the report files.

        Args:
            by_domain: ``{domain: {key: score}}``.
            metrics: What :meth:`run` returns: the same under ``<domain>/<key>``, and the means.
        """
        hooks: list[CheckpointHook] = [
            hook for hook in self.runner.hooks if isinstance(hook, CheckpointHook)
        ]
        # the first metric is what 'auto' in save_best means
        keys = selecting_keys(hooks[0].save_best if hooks else None, next(iter(metrics), ''))
        # the file that is tested (mmengine's load_from); its name may tell the score that chose it
        source = os.path.basename(str(self.runner._load_from or '')) if self.mode == 'test' else ''
        choice = chosen_by(source, keys, self.dataloader.names)
        domains = []
        for name, scores in by_domain.items():
            protocol = self.protocols[name]
            notes = [protocol.note, *(MetricTraits(m).note for m in self.evaluator[name].metrics)]
            selects = selects_checkpoint(name, choice.keys, self._sources())
            domains.append(
                DomainReport(name=name, images=len(self.dataloader[name].dataset), metrics=scores,
                             notes=[n for n in notes if n], selects=selects, role=protocol.role))
        means = {key: value for key, value in metrics.items() if key.startswith('mean/')}
        title, stem = self._title_and_stem()
        report = EvaluationReport(title=title, domains=domains, means=means, save_best=choice.keys,
                                  source=source, choice=choice.text, certain=choice.certain)
        paths = write_report(report, self.runner.log_dir, stem)
        print_log(f'{title}\n{markdown_table(report)}\nwritten to {" and ".join(paths)}',
                  logger='current')

    def _title_and_stem(self) -> tuple[str, str]:
        """Title and file name (without ending) of the report."""
        iteration = iteration_of(self.runner)
        return f'Evaluation after iteration {iteration}', f'evaluation_iter_{iteration}'


@LOOPS.register_module()
class MultiDomainValLoop(_MultiDomainLoop):
    """Validates several named domains and returns ``<domain>/mIoU``, ``<domain>/IoU.<class>``, ...,
    ``mean/mIoU``.

    Args:
        runner: The runner.
        dataloader: ``{domain: dataloader config}``; one ordinary dataloader config is a single
            domain called ``val``.
        evaluator: ``{domain: metric config or list}`` with the same names, or one metric config (or
            list), of which each domain gets its own copy.
        fp16: Predict under autocast in float16 (bfloat16 on CPU).
        bf16: Predict under autocast in bfloat16.
        protocols: ``{domain: dict(role='source' | 'target', test_cfg=dict(...), note='...')}``, see
            :class:`mmseg_dg.evaluation.protocols.DomainProtocol`: a source is listed apart from the
            mean, ``test_cfg`` overrides the network's (whole or slide) for this domain alone. Sizes
            and crops are the pipeline's.

    Hooks see batches numbered over all domains, as ``len(runner.val_dataloader)`` counts them; the
    ``metainfo`` of the predicted samples says which ``domain`` they are of. Each evaluation prints
    one table and writes ``evaluation_iter_<N>.csv`` and ``.md`` into the run's log folder, on the
    main process.

    Raises:
        ValueError: An empty domain, differing class lists (both domains named), evaluators that do
            not match the domains, a protocol for no domain, or a network with another number of
            classes; all before the first iteration.
    """


@LOOPS.register_module()
class MultiDomainTestLoop(_MultiDomainLoop):
    """As :class:`MultiDomainValLoop` for testing; a single plain dataloader is a domain called
    ``test``.

    The report is written to ``evaluation_test.csv`` and ``.md`` and names the checkpoint.
    """

    mode = 'test'
    what = 'test domain'

    def _title_and_stem(self) -> tuple[str, str]:
        return 'Test', 'evaluation_test'


def mean_over_domains(
    by_domain: dict[str, dict[str, float]], left_out: Collection[str] = ()) -> dict[str, float]:
    """``mean/<key>`` for each mIoU that every scored domain has, and likewise for ``label_free``
    and the other scores without labels.

    A key is ``mIoU``, or ``<prefix>/mIoU`` of a metric with a prefix. A domain without scores (its
    predictions are only saved) does not count, one without labels not for mIoU, and one without
    ``label_free`` not for the scores without labels.

    Args:
        by_domain: Scores by domain.
        left_out: Domains that do not enter the mean (sources), unless there are no others.
    """
    means = {}
    # scores against labels are averaged over the domains that have some, those without labels over
    # the domains that have label_free
    for wanted, against_labels in ((('mIoU', ), True), (('label_free', *SCORES), False)):
        scored = {
            name: scores
            for name, scores in by_domain.items()
            if scores and (not is_label_free(scores) if against_labels else 'label_free' in scores)
        }
        counted = [scores for name, scores in scored.items() if name not in left_out] or list(
            scored.values())
        keys = [
            key for key in counted[0]
            if key.split('/')[-1] in wanted and all(key in scores for scores in counted)
        ] if counted else []
        means.update(
            {f'mean/{key}': sum(scores[key] for scores in counted) / len(counted)
             for key in keys})
    return means


def is_label_free(scores: dict[str, float]) -> bool:
    """Whether the scores of a domain come from predictions alone."""
    return 'label_free' in scores and not any(key.split('/')[-1] == 'mIoU' for key in scores)


def check_labels(what: str, name: str, dataset: Any, metrics: list) -> None:
    """Refuse metrics against labels for a domain (``what`` ``name`` in messages) without labels.

    Raises:
        ValueError: A metric of the domain needs masks and its dataset says that it has none.
    """
    needing = [type(metric).__name__ for metric in metrics if MetricTraits(metric).needs_labels]
    if needing and any(has_no_masks(leaf) for leaf in leaves(dataset)):
        raise ValueError(
            f'{needing[0]} of {what} "{name}" scores against labels, but its dataset has none: '
            'give it seg_map_path and LoadAnnotations, or evaluate the domain with '
            "dict(type='LabelFreeMetric')")


def predicted_classes(model: torch.nn.Module) -> Optional[int]:
    """Number of classes of the network's (main, last) decode head; None where it cannot be told."""
    head = child(evaluated_network(model), 'decode_head')
    if isinstance(head, torch.nn.ModuleList):
        head = head[-1]
    count = None if head is None else getattr(head, 'num_classes', None)
    return None if count is None else int(count)
