"""Checks before iteration 0, with messages that name the file, the value and the fix."""
import os.path as osp
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook

from mmseg_dg.utils.seeding import derive_seed

#: Transforms that cut a fixed size out of an image.
CROPS = ('RandomCrop', 'RareClassCrop', 'CenterCrop', 'CentroidCrop')


def check_stream_config(name: str, config: dict) -> None:
    """A stream's dataloader config, before anything of it is built.

    Raises:
        ValueError: No dataset.
        FileNotFoundError: A folder or list named in the dataset does not exist.
    """
    dataset = config.get('dataset')
    if not dataset:
        raise ValueError(f'stream "{name}" has no dataset: set train_dataloader.{name}.dataset')
    for leaf in _leaf_configs(dataset):
        _check_paths(name, leaf)


def _leaf_configs(config: Any):
    """Dataset configs inside wrappers (ConcatDataset, RepeatDataset)."""
    if not isinstance(config, dict):
        return
    inner = config.get('datasets', config.get('dataset'))
    if inner is None:
        yield config
        return
    for part in inner if isinstance(inner, (list, tuple)) else [inner]:
        yield from _leaf_configs(part)


def _check_paths(stream: str, config: dict) -> None:
    root = config.get('data_root') or ''
    backend = get_file_backend(root, backend_args=config.get('backend_args')) if root else None
    if root and type(backend).__name__ != 'LocalBackend':
        return  # object stores: the dataset itself reports what is missing
    if root and not _makes_its_folder(config) and not osp.isdir(root):
        raise FileNotFoundError(f'stream "{stream}": data_root={root!r} does not exist: put the data there '
                                f'(or link it), or set train_dataloader.{stream}.dataset.data_root')
    prefix = config.get('data_prefix') or {}
    if isinstance(prefix, str):  # mmpretrain's datasets have one folder
        prefix = dict(img_path=prefix)
    labelled = any('Annotations' in str(t.get('type', '')) for t in config.get('pipeline', ()) if isinstance(t, dict))
    for key in ('img_path', 'seg_map_path') if labelled else ('img_path', ):
        folder = prefix.get(key)
        if folder and not _makes_its_folder(config) and not osp.isdir(osp.join(root, folder)):
            raise FileNotFoundError(f'stream "{stream}": {key} folder {osp.join(root, folder)!r} does not exist: '
                                    f'check train_dataloader.{stream}.dataset.data_prefix.{key}')
    annotations = config.get('ann_file')
    if annotations and not osp.isfile(osp.join(root, annotations)):
        from mmseg_dg.datasets.split_protocols import missing_list_hint
        hint = missing_list_hint(osp.join(root, annotations), str(config.get('type', '')))
        raise FileNotFoundError(f'stream "{stream}": list {osp.join(root, annotations)!r} does not exist{hint}')


def _makes_its_folder(config: dict) -> bool:
    return 'SynthCity' in str(config.get('type', ''))


def check_method(method: Any) -> None:
    """The model must be a method with passes.

    Raises:
        TypeError: It is a plain segmentor or something else.
    """
    if not hasattr(method, 'passes') or not hasattr(method, 'streams'):
        raise TypeError(f'MultiStreamTrainLoop trains methods, got {type(method).__name__}: wrap the network, e.g. '
                        "model=dict(type='Supervised', network=dict(type='EncoderDecoder', ...))")


def check_engine(runner: Any, method: Any) -> None:
    """Hooks, schedules and seeds that would make a run silently wrong.

    Raises:
        ValueError: A teacher nobody updates, settings that count epochs or backward passes, seeds that differ by rank.
    """
    from mmseg_dg.engine.hooks.ema_update import EMAUpdateHook
    if method.ema_pairs() and not any(isinstance(hook, EMAUpdateHook) for hook in runner.hooks):
        raise ValueError(f'{type(method).__name__} has a teacher, but no EMAUpdateHook updates it: custom_hooks of a '
                         'child config replaces the whole list of its base, so repeat the hook there')
    for name in getattr(method, 'required_hooks', ()):
        if not any(type(hook).__name__ == name for hook in runner.hooks):
            raise ValueError(f'{type(method).__name__} needs {name}: add dict(type={name!r}) to custom_hooks (a child '
                             "config's list replaces that of its base)")
    counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    if counts > 1:
        raise ValueError(f'optim_wrapper.accumulative_counts={counts} counts backward passes, of which a method '
                         f'has several per step: set train_cfg.accumulate={counts} instead')
    for scheduler in runner.param_schedulers or ():
        if getattr(scheduler, 'by_epoch', False):
            raise ValueError(f'{type(scheduler).__name__} counts epochs and would never step: '
                             'MultiStreamTrainLoop counts iterations, set by_epoch=False and give begin and end in '
                             'iterations (or use WarmupPolyLR)')
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.by_epoch:
            raise ValueError(f'default_hooks.checkpoint counts epochs (interval={hook.interval}): set by_epoch=False '
                             'and give its interval in iterations')
    if runner._randomness_cfg.get('diff_rank_seed'):
        raise ValueError('randomness.diff_rank_seed=True would give every process its own order of samples: remove '
                         'it, the random decisions of a step differ by process anyway')
    check_optimizer(runner.model, runner.optim_wrapper)


def check_optimizer(model: Any, optim_wrapper: Any) -> None:
    """Everything that receives gradients is in the optimizer.

    Raises:
        ValueError: A trainable parameter is in no group (it was frozen when the optimizer was built).
    """
    known = {id(p) for group in optim_wrapper.optimizer.param_groups for p in group['params']}
    lost = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in known]
    if lost:
        raise ValueError(f'{len(lost)} trainable parameters are in no optimizer group, e.g. {lost[:3]}: they were '
                         'frozen when the optimizer was built. Freeze in a hook (before_train), not in the '
                         'constructor')


def check_streams(method: Any, loaders: Any) -> None:
    """The streams of the config are those the method reads, in mixable sizes.

    Raises:
        ValueError: A missing or an unknown stream.
    """
    missing = [s for s in method.streams if s not in loaders.names]
    unknown = [s for s in loaders.names if s not in method.streams]
    if missing or unknown:
        raise ValueError(f'{type(method).__name__} reads the streams {tuple(method.streams)}, but train_dataloader '
                         f'has {loaders.names}: missing {missing or "none"}, unknown {unknown or "none"}. '
                         'Rename the streams, or tell the method their names')


def check_samples(method: Any, loaders: Any, count: int) -> None:
    """Load a few samples of each stream and check what training would trip over later.

    Args:
        method: Says which streams must be labelled.
        loaders: The streams.
        count: Samples per stream, spread evenly over the dataset.

    Raises:
        ValueError: A sample without a label where one is needed, smaller than the crop, of another size than the
            rest, or on [0, 1] where the normalisation is one of 0..255.
    """
    for name, loader in loaders.items():
        dataset = loader.dataset
        crop = _crop_size(dataset)
        first: Optional[tuple[tuple, str]] = None
        for index in np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)):
            sample = _load(name, dataset, int(index))
            path = sample['data_samples'].metainfo.get('img_path', f'sample {index}')
            _check_scale(name, path, sample['inputs'], method)
            size = tuple(sample['inputs'].shape[-2:])
            if crop is not None and (size[0] < crop[0] or size[1] < crop[1]):
                raise ValueError(f'stream "{name}": {path} is {size[1]}x{size[0]} where the crop wants '
                                 f'{crop[1]}x{crop[0]} (width x height): use a smaller crop_size, a larger Resize '
                                 'scale, or add Pad')
            if first is not None and size != first[0] and loader.batch_size > 1:
                raise ValueError(f'stream "{name}": {path} is {size[1]}x{size[0]} but {first[1]} is {first[0][1]}x'
                                 f'{first[0][0]}: images of one batch must have one size, add RandomCrop or Resize')
            first = first or (size, path)
            if name in method.labeled_streams and 'gt_sem_seg' not in sample['data_samples']:
                raise ValueError(f'stream "{name}" needs labels, but {path} has none: add LoadAnnotations to its '
                                 'pipeline')


def check_labels(method: Any, loaders: Any) -> None:
    """Read every label of a method's labelled streams, where it asks for that; counts are cached.

    Raises:
        ValueError: Ids that are neither classes nor ignored, sizes that differ from the image's; files are named.
    """
    from mmseg_dg.datasets.class_statistics import class_statistics
    if not getattr(method, 'reads_all_labels', False):
        return
    for name in method.labeled_streams:
        try:
            class_statistics(loaders[name].dataset)
        except ValueError as error:
            raise ValueError(f'stream "{name}": {error}') from error


def _check_scale(stream: str, path: str, image: torch.Tensor, method: Any) -> None:
    mean = getattr(method.data_preprocessor, 'mean', None)
    if mean is None or float(mean.max()) <= 1 or not image.is_floating_point():
        return
    if 0 < float(image.max()) <= 1:
        raise ValueError(f'stream "{stream}": the pixels of {path} end at {float(image.max()):.3g}, on the scale '
                         f'0..1, but data_preprocessor.mean={mean.flatten().tolist()} is for 0..255: remove the '
                         'transform that divides by 255, or give 8-bit images')


def check_unlabeled(method: Any, loaders: Any) -> None:
    """Unlabelled streams fill a batch and share no image with a labelled one.

    Raises:
        ValueError: Fewer images than a batch, or an image in both kinds of streams.
    """
    unlabeled = [name for name in loaders.names if name in method.streams and name not in method.labeled_streams]
    for name in unlabeled:
        size, batch = len(loaders[name].dataset), loaders[name].batch_size * get_world_size()
        if size < batch:
            raise ValueError(f'stream "{name}" has {size} images, fewer than one batch of {batch} (batch size x '
                             'processes): lower batch_size, or check the list and folder of its dataset')
    names = [name for name in loaders.names if name in method.labeled_streams]
    if not names:
        return
    labeled = {path for name in names for path in image_paths(loaders[name].dataset)} if unlabeled else set()
    for name in unlabeled:
        both = sorted(labeled.intersection(image_paths(loaders[name].dataset)))
        if both:
            raise ValueError(f'stream "{name}" is unlabelled, but {len(both)} of its images are in a labelled stream '
                             f'too, for example {both[:3]}: their labels would be used twice and their pseudo-labels '
                             'be flattering. Correct the lists (tools/make_split.py checks that they are disjoint)')


def image_paths(dataset: Any) -> set[str]:
    """Absolute image paths of a dataset's samples, as far as the datasets it is made of say them."""
    from mmseg_dg.datasets.wrappers import flatten
    parts, which, local = flatten(dataset)
    found = (parts[part].get_data_info(int(i)).get('img_path') for part, i in zip(which, local)
             if hasattr(parts[part], 'get_data_info'))
    return {osp.abspath(path) for path in found if path}


def _load(stream: str, dataset: Any, index: int) -> dict:
    from mmseg_dg.datasets.samplers import SampleRequest
    try:
        return dataset[SampleRequest(index, derive_seed('preflight', stream, index))]
    except (ValueError, FileNotFoundError) as error:
        from mmseg_dg.datasets.checks import DOCTOR
        more = '' if DOCTOR in str(error) else f'. {DOCTOR}'
        raise type(error)(f'stream "{stream}": {error}{more}') from error


def _crop_size(dataset: Any) -> Optional[tuple[int, int]]:
    """(H, W) of the last fixed-size crop in the pipeline, None if there is none or something resizes afterwards."""
    from mmseg_dg.datasets.wrappers import leaves, transforms_of
    size = None
    for leaf in leaves(dataset):
        for transform in transforms_of(getattr(leaf, 'pipeline', None)):
            kind = type(transform).__name__
            if kind in CROPS:
                value = transform.crop_size
                size = (value, value) if isinstance(value, int) else tuple(value)
            elif 'Resize' in kind or kind == 'Pad':
                size = None
        break
    return size
