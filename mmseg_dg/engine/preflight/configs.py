"""Checks of dataloader configs, before anything of them is built."""
import os.path as osp
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.fileio import get_file_backend

from mmseg_dg.datasets.splits.protocols import missing_list_hint
from mmseg_dg.registry import DATA_SAMPLERS, DATASETS

from .arguments import argument_problems


def check_stream_config(name: str, config: dict) -> None:
    """Refuse a stream's dataloader config before anything of it is built.

    Raises:
        ValueError: No dataset.
        FileNotFoundError: A folder or list named in the dataset does not exist (the first one).
    """
    for error in stream_config_problems(name, config):
        raise error


def stream_config_problems(name: str, config: dict) -> Iterator[Exception]:
    """Errors for all that :func:`check_stream_config` refuses: ``config`` is the dataloader config
    of the stream ``name``.
    """
    dataset = config.get('dataset')
    if not dataset:
        yield ValueError(f'stream "{name}" has no dataset: set train_dataloader.{name}.dataset')
        return
    yield from path_problems(f'stream "{name}"', f'train_dataloader.{name}', dataset)
    yield from loader_argument_problems(f'train_dataloader.{name}', config)
    if (config.get('sampler') or {}).get('seed') is not None:
        yield ValueError(f'train_dataloader.{name}.sampler.seed={config["sampler"]["seed"]} would '
                         'be ignored: every stream derives its seed from randomness.seed, so that '
                         'a resumed run continues. Remove it, and set randomness.seed')


def loader_argument_problems(key: str, config: Mapping) -> Iterator[ValueError]:
    """Errors for arguments that dataset or sampler of a dataloader do not take.

    Args:
        key: Of the dataloader in the config.
        config: Dataloader config.
    """
    dataset = config.get('dataset') or {}
    if not {'dataset', 'datasets'} & set(dataset):  # parts of wrappers have no key of their own
        yield from argument_problems(f'{key}.dataset', dataset, DATASETS)
    yield from argument_problems(f'{key}.sampler', config.get('sampler'), DATA_SAMPLERS)


def path_problems(what: str, key: str, dataset: Any) -> Iterator[FileNotFoundError]:
    """Errors for folders and lists of a dataset config that do not exist.

    Args:
        what: The loader in words, for messages (``stream "source"``).
        key: Its key in the config (``train_dataloader.source``).
        dataset: Dataset config, wrappers included.
    """
    for leaf in leaf_configs(dataset):
        yield from _missing_paths(what, key, leaf)


def leaf_configs(config: Any) -> Iterator[dict]:
    """Dataset configs inside wrappers (ConcatDataset, RepeatDataset)."""
    if not isinstance(config, dict):
        return
    inner = config.get('datasets', config.get('dataset'))
    if inner is None:
        yield config
        return
    for part in inner if isinstance(inner, (list, tuple)) else [inner]:
        yield from leaf_configs(part)


def _missing_paths(what: str, where: str, config: dict) -> Iterator[FileNotFoundError]:
    """Errors for folders and lists that a dataset's config names and that are not there.

    Args:
        what: The loader in words, for messages.
        where: Its key in the config.
        config: Of one dataset, without wrappers.
    """
    root = config.get('data_root') or ''
    backend = get_file_backend(root, backend_args=config.get('backend_args')) if root else None
    if root and type(backend).__name__ != 'LocalBackend':
        return  # an object store: the dataset itself reports what is missing
    if root and not _makes_its_folder(config) and not osp.isdir(root):
        yield FileNotFoundError(f'{what}: data_root={root!r} does not exist: put the data there '
                                f'(or link it), or set {where}.dataset.data_root')
        return  # nothing below it exists
    prefix = config.get('data_prefix') or {}
    if isinstance(prefix, str):  # mmpretrain's datasets have one folder
        prefix = dict(img_path=prefix)
    # a folder of labels is only needed where the pipeline loads labels
    labeled = any('Annotations' in str(t.get('type', '')) for t in config.get('pipeline', ())
                  if isinstance(t, dict))
    for key in ('img_path', 'seg_map_path') if labeled else ('img_path', ):
        folder = prefix.get(key)
        if folder and not _makes_its_folder(config) and not osp.isdir(osp.join(root, folder)):
            yield FileNotFoundError(f'{what}: {key} folder {osp.join(root, folder)!r} does not '
                                    f'exist: check {where}.dataset.data_prefix.{key}')
    annotations = config.get('ann_file')
    if annotations and not osp.isfile(osp.join(root, annotations)):
        hint = missing_list_hint(osp.join(root, annotations), str(config.get('type', '')))
        yield FileNotFoundError(
            f'{what}: list {osp.join(root, annotations)!r} does not exist{hint}')


def _makes_its_folder(config: dict) -> bool:
    """Whether a dataset writes its images itself, into a folder that need not be there before."""
    return 'SynthCity' in str(config.get('type', ''))
