"""What an option such as ``--amp`` or ``--tta`` changes in a config."""
import logging
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from mmseg_dg.utils.loaders import loaders_by_name


def enable_amp(cfg: Config) -> None:
    """``--amp``: float16 with loss scaling on a GPU, bfloat16 without scaling on the CPU.

    Raises:
        ValueError: The config's optimizer wrapper is neither ``OptimWrapper`` nor one with mixed
            precision.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    kind = kind if isinstance(kind, str) else kind.__name__
    if kind in ('AmpOptimWrapper', 'BF16OptimWrapper'):
        print_log(f'--amp: the config already has {kind}', logger='current', level=logging.WARNING)
    elif kind != 'OptimWrapper':
        raise ValueError(f'--amp needs optim_wrapper.type "OptimWrapper" in {cfg.filename}, not '
                         f'"{kind}"')
    elif torch.cuda.is_available():
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    else:
        wrapper.type = 'BF16OptimWrapper'


def enable_lr_scaling(cfg: Config) -> None:
    """``--auto-scale-lr``: the runner multiplies every rate by processes x batch /
    ``auto_scale_lr.base_batch_size``.

    The batch is that of the method's first stream (source, labeled), whose size the papers name,
    times ``accumulate``.

    Raises:
        ValueError: The config has no ``base_batch_size``.
    """
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise ValueError(f'--auto-scale-lr needs auto_scale_lr.base_batch_size in {cfg.filename}: '
                         'the number of samples per step its learning rate was made for')
    cfg.auto_scale_lr.enable = True


def replace_type(node: Any, old: str, new: str) -> Any:
    """The same config with every ``type=old`` written ``type=new``; dicts are changed in place."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = replace_type(value, old, new)
        if node.get('type') == old:
            node['type'] = new
    elif isinstance(node, (list, tuple)):
        node = type(node)(replace_type(item, old, new) for item in node)
    return node


def use_plain_batch_norm(cfg: Config) -> None:
    """Replace SyncBatchNorm, which runs on GPUs only, by BatchNorm in the model and in ``sync_bn``
    of a config, in place; says so where there was any.
    """
    asked = [f'sync_bn={cfg.sync_bn!r}'] if cfg.get('sync_bn') else []
    asked += [
        f'norm_cfg type {kind}' for kind in ('SyncBN', 'MMSyncBN') if _has_type(cfg.model, kind)
    ]
    if not asked:
        return
    for kind in ('SyncBN', 'MMSyncBN'):
        cfg.model = replace_type(cfg.model, kind, 'BN')
    cfg.sync_bn = None
    print_log(
        f'{" and ".join(asked)}: without a GPU this becomes plain BatchNorm, whose statistics are '
        "those of each process's own batch; a larger batch_size per process makes up for "
        'it', logger='current', level=logging.WARNING)


def _has_type(node: Any, kind: str) -> bool:
    """Whether a config, or any part of it, has ``type=kind``."""
    if isinstance(node, dict):
        return node.get('type') == kind or any(_has_type(value, kind) for value in node.values())
    return isinstance(node, (list, tuple)) and any(_has_type(item, kind) for item in node)


def _set_pipeline(dataset: ConfigDict, pipeline: list) -> None:
    """Give the innermost dataset(s) another pipeline, inside ``RepeatDataset``, ``ConcatDataset``
    and the like.
    """
    inner = dataset.get('datasets') or ([dataset.dataset] if 'dataset' in dataset else [])
    for item in inner:
        _set_pipeline(item, pipeline)
    if not inner:
        dataset.pipeline = pipeline


def enable_tta(cfg: Config) -> None:
    """``--tta``: test every image at several scales and flips, as ``tta_pipeline`` of the config
    says.

    Raises:
        ValueError: The config has no ``tta_pipeline``.
    """
    if 'tta_pipeline' not in cfg:
        raise ValueError(
            f'--tta: {cfg.filename} has no tta_pipeline. Add one whose last step is '
            "dict(type='TestTimeAug', transforms=[...]), as in configs/_base_ of mmsegmentation")
    for loader in loaders_by_name(cfg.test_dataloader).values():
        _set_pipeline(loader.dataset, cfg.tta_pipeline)
    # predicts every variant of an image by ``module``, and takes the mean
    wrapper = cfg.get('tta_model') or ConfigDict(type='SegTTAModel')
    wrapper.module = cfg.model
    cfg.model = wrapper


#: Metrics without ``output_dir``.
_SAVE_NOTHING = {'LabelFreeMetric', 'CalibrationMetric'}


def save_predictions(cfg: Config, folder: str) -> None:
    """``--out``: predicted label maps as PNG; the multi-domain loop makes one folder per domain in
    it.

    Args:
        cfg: Changed in place: the metrics of ``test_evaluator`` write the files.
        folder: Where to.

    Raises:
        ValueError: There is no evaluator to write them.
    """
    def visit(node: Any) -> int:
        """Set ``output_dir`` of all metrics below a node that can save; returns how many can. The
        node is one that :func:`with_saver` takes.
        """
        if isinstance(node, (list, tuple)):
            return sum(visit(item) for item in node)
        # domains by name (a dict without a type), or mmengine's wrapper around metrics
        if node.get('type', 'Evaluator') == 'Evaluator':
            return sum(visit(item) for key, item in node.items() if key != 'type')
        if str(node.type).split('.')[-1] in _SAVE_NOTHING:
            return 0
        node.output_dir = folder
        return 1

    def with_saver(node: Any) -> Any:
        """The evaluator config, with a metric that writes predictions added where none can.

        Args:
            node: A metric; a list of them; mmengine's ``dict(type='Evaluator', metrics=...)``; or
                ``{domain: any of these}``.

        Returns:
            ``node`` itself where a metric can write. Else a list (a wrapper is dropped: the runner
            makes its own) of its metrics and one that writes files and measures nothing.
        """
        # neither a metric nor a wrapper: evaluators by domain
        if isinstance(node, dict) and not {'type', 'metrics'} & set(node):
            return ConfigDict({name: with_saver(item) for name, item in node.items()})
        # a metric, a list of them, or mmengine's wrapper around either
        metrics = node['metrics'] if isinstance(node, dict) and 'metrics' in node else node
        metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        names = {str(metric['type']).split('.')[-1] for metric in metrics}
        if not names <= _SAVE_NOTHING:
            return node
        return [*metrics, ConfigDict(type='ConfusionMatrixMetric', format_only=True)]

    if cfg.get('test_evaluator'):
        cfg.test_evaluator = with_saver(cfg.test_evaluator)

    if not visit(cfg.get('test_evaluator') or {}):
        raise ValueError(f'--out: {cfg.filename} has no metric in test_evaluator that could save '
                         'predictions')


def show_predictions(cfg: Config, folder: str) -> None:
    """``--show-dir``: every image painted with prediction and label, named by its path below the
    image folder.

    Args:
        cfg: Changed in place: hook and visualizer, which are added where it has none.
        folder: Where the images go.
    """
    hook = cfg.setdefault('default_hooks',
                          ConfigDict()).setdefault('visualization',
                                                   ConfigDict(type='SegVisualizationHook'))
    hook.draw, hook.interval = True, 1
    visualizer = cfg.setdefault('visualizer',
                                ConfigDict(type='SegmentationVisualizer', name='visualizer'))
    if str(visualizer.get('type')).split('.')[-1] == 'SegLocalVisualizer':
        # the same, with names that tell equal file names apart
        visualizer.type = 'SegmentationVisualizer'
    visualizer.setdefault('vis_backends', [dict(type='LocalVisBackend')])
    visualizer.save_dir = folder
