"""Checks of classes before iteration 0: their number, and the id of ignored pixels, in model, data
and metrics.
"""
from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
from mmseg.models import SegDataPreProcessor
from mmseg.models.decode_heads.decode_head import BaseDecodeHead

from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.wrappers import leaves, transforms_of
from mmseg_dg.engine.named_loaders import NamedLoaders
from mmseg_dg.evaluation.metric_traits import MetricTraits
from mmseg_dg.methods.loss_checks import heads_of, losses_of, value_of
from mmseg_dg.methods.supervised import Supervised
from mmseg_dg.models.decode_heads.hrda_head import HRDAHead
from mmseg_dg.ops.labels import MOST_CLASSES, too_many_classes
from mmseg_dg.utils.listing import listed

from .samples import CROPS

_SAMPLES = 8  # masks per stream that are read to see which ids occur


def check_num_classes(method: Any, loaders: Any) -> None:
    """Refuse heads that predict another number of classes than the training data has.

    Args:
        method: The training method.
        loaders: The streams; unlabeled ones may not know the classes.

    Raises:
        ValueError: A head with another number of classes, or a feature distance of classes that do
            not exist.
    """
    classes = loaders.dataset.metainfo.get('classes')
    if not classes or not method.labeled_streams:
        return
    if len(classes) > MOST_CLASSES:
        raise ValueError(too_many_classes('the training data', len(classes)))
    wrong, weights = [], []
    for path, head in heads_of(method.student):
        if head.num_classes != len(classes):
            wrong.append(f'{path}.num_classes={head.num_classes}')
            weights += [
                f'{where}.class_weight' for where, loss in losses_of(head, path)
                if value_of(loss, 'class_weight') is not None
            ]
    if wrong:
        also = f', with as many values of {" and ".join(weights)}' if weights else ''
        raise ValueError(f'{" and ".join(wrong)}, but the training data has {len(classes)} classes '
                         f'({listed(classes)}): set num_classes={len(classes)} in each of these '
                         f'heads{also}, or correct the classes of the datasets')
    distance = method.feature_distance if isinstance(method, Supervised) else None
    # classes whose features are held near those of ImageNet; none given: every class
    chosen = () if distance is None else distance.classes or ()
    outside = [c for c in chosen if not 0 <= c < len(classes)]
    if outside:
        raise ValueError(f'model.feature_distance.classes has {outside}, but the training data has '
                         f'the {len(classes)} classes 0..{len(classes) - 1} ({listed(classes)}): '
                         'the default are the thing classes of Cityscapes. Give the ids of yours, '
                         'or leave feature_distance out')


def check_ignore_index(method: Any, loaders: Any, validation: Optional[Any] = None) -> None:
    """Refuse a model, losses, training data and metrics that do not ignore the same id.

    A pixel that one part ignores and another takes for a class is learned as a class, or ends the
    run with an index error (on a GPU: a device-side assert).

    Args:
        method: The training method.
        loaders: The streams.
        validation: The loop of the validation, or None.

    Raises:
        ValueError: They differ; the message has every place with its value, and which of the values
            occur in masks.
    """
    if not method.labeled_streams:
        return
    # (where, ignored id) of everything that has one
    settings = list(_of_model(method)) + list(_of_streams(method, loaders)) + list(
        _of_metrics(validation))
    if len({value for _, value in settings}) <= 1:
        return
    by_value: dict[Any, list[str]] = {}
    for where, value in settings:
        by_value.setdefault(value, []).append(where)
    text = '; '.join(f'{value}: {listed(dict.fromkeys(places), 12)}'
                     for value, places in by_value.items())
    classes = loaders.dataset.metainfo.get('classes') or ()
    # named: values that are the id of a class; seen: which of the others occur in masks; files: a
    # mask of each of these
    named = [v for v in by_value if isinstance(v, int) and 0 <= v < len(classes)]
    seen, files = _in_masks(method, loaders, [v for v in by_value if v not in named])
    if named:
        advice = (f'{named[0]} is the id of the class {classes[named[0]]!r}: to ignore it, map it '
                  f'to the id of ignored pixels in the masks (label_map={{{named[0]}: 255}} of '
                  'FolderDataset), and give all of them 255')
    elif len(seen) == 1:
        advice = (f'The masks have ignored pixels of {seen[0]} ({files[seen[0]]}): give all of '
                  f'them {seen[0]}')
    elif seen:
        places = ', '.join(f'{v} in {files[v]}' for v in seen)
        advice = (f'Both occur in masks ({places}): if both mean "ignore", map one to the other '
                  '(label_map of FolderDataset), and give all of them the same value')
    else:
        advice = (f'None of these ids was found in {_SAMPLES} masks of each stream: give all of '
                  'them 255, as they are if you set none')
    raise ValueError(f'the id of ignored pixels (ignore_index) is not the same everywhere. {text}. '
                     f'{advice}')


def _of_model(method: Any) -> Iterator[tuple[str, Any]]:
    """``(dotted key, ignored id)`` of heads, losses, other modules and the method itself."""
    losses = set()  # ids of the losses of heads, which have keys of their own
    for path, head in heads_of(method.student):
        yield f'{path}.ignore_index', head.ignore_index
        for where, loss in losses_of(head, path):
            losses.add(id(loss))
            for name in ('ignore_index', 'ignore_label'):
                value = value_of(loss, name)
                # DiceLoss and TverskyLoss may ignore the id of a class, which is then left out
                if value is not None and not (name == 'ignore_index'
                                              and 0 <= value < head.num_classes):
                    yield f'{where}.{name}', value
    for name, module in method.named_modules():
        value = value_of(module, 'ignore_index')
        # heads were looked at above, under the names of their configs; a teacher is a copy of the
        # student, with the same settings
        is_head = isinstance(module, (BaseDecodeHead, HRDAHead))
        if isinstance(value, int) and id(module) not in losses and not is_head \
                and not name.startswith('teacher.'):
            yield f'model.{name}.ignore_index', value
    if method.fixed_ignore_index is not None:
        yield f'{type(method).__name__} itself', method.fixed_ignore_index
    preprocessor = method.data_preprocessor
    # without ``size`` it pads nothing
    if isinstance(preprocessor, SegDataPreProcessor) and preprocessor.size is not None:
        yield 'model.data_preprocessor.seg_pad_val', preprocessor.seg_pad_val


def _of_streams(method: Any, loaders: Any) -> Iterator[tuple[str, Any]]:
    """``(dotted key, ignored id)`` of everything in the labeled streams that has one."""
    for name in method.labeled_streams:
        for leaf in leaves(loaders[name].dataset):
            path = f'train_dataloader.{name}.dataset'
            yield from _of_dataset(leaf, path)
            for transform in transforms_of(traits(leaf).pipeline):
                yield from _of_transform(transform, f'{path}.pipeline')


def _of_dataset(dataset: Any, path: str) -> Iterator[tuple[str, Any]]:
    """``(dotted key, ignored id)`` of a dataset's own options; nothing of a dataset that does not
    say which id it ignores.
    """
    value = traits(dataset).own_ignore_index
    if value is None:
        return
    yield f'{path}.ignore_index', value
    yield from _made_255(dataset, path)


def _made_255(dataset: Any, path: str) -> Iterator[tuple[str, int]]:
    """``(dotted key, 255)`` of the options of a dataset that turn ids into 255, whatever its
    ``ignore_index`` is.
    """
    if 255 in traits(dataset).id_map.values():
        yield f'{path}.label_map (to 255)', 255
    if traits(dataset).reduce_zero_label:
        yield f'{path}.reduce_zero_label', 255


def _of_transform(transform: Any, path: str) -> Iterator[tuple[str, Any]]:
    """``(dotted key, ignored id)`` of each setting of a pipeline's step that has one."""
    if type(transform).__name__ in CROPS:
        return  # the ignore_index of a crop only weighs one crop against another
    path = f'{path}.{type(transform).__name__}'
    settings = vars(transform)
    padding = settings.get('pad_val')
    if type(transform).__name__ == 'Pad' and isinstance(padding, dict):
        yield f'{path}.pad_val.seg', padding.get('seg', 255)
    for name in ('ignore_index', 'seg_pad_val', 'seg_fill_in'):
        value = settings.get(name)
        if isinstance(value, int):
            yield f'{path}.{name}', value


def _of_metrics(validation: Optional[Any]) -> Iterator[tuple[str, Any]]:
    """``(dotted key, ignored id)`` of the validation's metrics, and of what makes ids 255 in their
    datasets.
    """
    if validation is None or not isinstance(validation.dataloader, NamedLoaders):
        return  # another loop, which has no domains
    domains = validation.dataloader
    for name, evaluator in validation.evaluator.items():
        scored = False  # whether a metric of the domain ignores an id
        for metric in evaluator.metrics:
            value = MetricTraits(metric).ignore_index
            if value is not None:
                scored = True
                yield f'val_evaluator ({name}: {type(metric).__name__}).ignore_index', value
        if scored:  # else nothing tells 255 from a class there, and nothing need agree
            for leaf in leaves(domains[name].dataset):
                yield from _made_255(leaf, f'val_dataloader.{name}.dataset')


def _in_masks(method: Any, loaders: Any, values: list) -> tuple[list, dict]:
    """Which of the values occur in a few masks of every labeled dataset, as they are loaded.

    Returns:
        ``(those values in their order, {value: file of a mask that has it})``.
    """
    from mmcv.transforms import LoadAnnotations

    files: dict[Any, str] = {}
    for name in method.labeled_streams:
        for leaf in leaves(loaders[name].dataset):
            loader = next(
                (t for t in transforms_of(traits(leaf).pipeline) if isinstance(t, LoadAnnotations)),
                None)
            if loader is None or not traits(leaf).describes_samples:
                continue
            spread = np.linspace(0, len(leaf) - 1, min(_SAMPLES, len(leaf)))
            for index in np.unique(spread.astype(int)):
                info = leaf.get_data_info(int(index))
                # the loading step lists the label in seg_fields, which must be there
                label = loader.transform(dict(info, seg_fields=[]))['gt_seg_map']
                for value in values:
                    if value not in files and (label == value).any():
                        files[value] = info.get('seg_map_path', f'sample {index}')
    return [v for v in values if v in files], files
