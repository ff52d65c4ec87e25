"""Training on one's own images without writing a config: ``mmseg_dg.adapt``,
``mmseg_dg.semi_adapt``, ``mmseg_dg.train``, ``mmseg_dg.semi``.

Each writes a config that inherits from a recipe of ``configs/custom``, and trains that: what ran is
in the folder.
"""
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from mmengine.config import Config

from mmseg_dg.version import __version__

from .config_text import nested, recipe, recipe_file, write_config
from .encoders import encoder_settings, is_shipped
from .loading import CONFIG, RUN, Segmenter, load
from .own_data_checks import (
    checked_classes,
    checked_images,
    checked_mapping,
    checked_numbers,
    crop_pair,
    refuse_run,
)

Folder = Union[str, Path]
#: Recipes below ``configs``: for the encoder that ships with the package, and for larger ones.
_UDA = ('custom/custom_uda_small.py', 'custom/custom_uda.py')
_SUPERVISED = ('custom/custom_supervised_small.py', 'custom/custom_supervised.py')
_SEMI = ('custom/custom_semi_small.py', 'custom/custom_semi.py')


class Recipe(NamedTuple):
    """How a method becomes a config.

    Attributes:
        small, large: Recipes for the encoder that ships with the package, and for larger ones.
        streams: Names of the streams it has, out of those that are given.
        settings: Dotted settings of the method.
    """
    small: str
    large: str
    streams: tuple[str, ...]
    settings: Mapping[str, Any] = {}


#: Method -> recipe, of :func:`adapt`, :func:`train` and :func:`semi`; the first is the default.
ADAPT = {
    'daformer': Recipe(*_UDA, ('source', 'target')),
    'mic': Recipe(*_UDA, ('source', 'target'), {'model.masked': dict(ratio=0.7, block_size=64)}),
    'source_only': Recipe(*_SUPERVISED, ('source', )),
}
TRAIN = {'supervised': Recipe(*_SUPERVISED, ('source', ))}
SEMI = {
    'daformer': Recipe(*_SEMI, ('labeled', 'unlabeled')),
    'labeled_only': Recipe(*_SUPERVISED, ('source', )),
}


class Task(NamedTuple):
    """What is trained on, checked.

    Attributes:
        verb: ``adapt``, ``semi_adapt``, ``train`` or ``semi``.
        recipe: Of the method.
        streams: Stream -> what was given for it.
        classes, palette, label_map: Of all of them.
        val: Labeled images to score on, or None.
        target_labeled: Labeled images of the target domain, or None.
    """
    verb: str
    recipe: Recipe
    streams: dict[str, dict]
    classes: tuple[str, ...]
    palette: Optional[list]
    label_map: dict
    val: Optional[dict]
    target_labeled: Optional[dict] = None


def adapt(source: Mapping, target: Mapping, classes: Union[Sequence[str], Folder], out: Folder, *,
          method: str = 'daformer', target_labeled: Optional[Mapping] = None,
          **settings: Any) -> Optional[Segmenter]:
    """Train on labeled images of one domain and unlabeled ones of another.

    Args:
        source: ``dict(images=FOLDER, masks=FOLDER)``; ``list=FILE`` (one name per line) selects
            among them.
        target: ``dict(images=FOLDER)``; masks in it are not read.
        classes: Names, in the order of the ids in the masks; or a text file with one name per line.
        out: Folder of the run: ``config.py``, and ``run/`` with logs and checkpoints.
        method: ``daformer`` (self-training on class-mixed images), ``mic`` (that and a masked
            pass), ``source_only`` (the control: the source alone).
        target_labeled: As :func:`semi_adapt`, which asks for it.
        **settings: See :func:`run`.

    Returns:
        The trained network; :func:`mmseg_dg.load` of the folder gives it again.

    Raises:
        ValueError: A bad argument; nothing was read or written yet.
        FileNotFoundError: A folder that is not there.
        FileExistsError: A run lies in ``out``.
    """
    sets = dict(source=checked_images('source', source, True),
                target=checked_images('target', target, False))
    few = None if target_labeled is None else checked_images('target_labeled', target_labeled, True)
    return _begin('adapt' if few is None else 'semi_adapt', chosen_adaptation(method, few), sets,
                  classes, out, few, settings)


def semi_adapt(source: Mapping, target: Mapping, target_labeled: Mapping,
               classes: Union[Sequence[str], Folder], out: Folder, *, method: str = 'daformer',
               **settings: Any) -> Optional[Segmenter]:
    """Train on labeled images of one domain, unlabeled ones of another, and a few labeled ones of
    that other domain: one more supervised pass in every iteration.

    Args:
        source, target: As :func:`adapt`.
        target_labeled: ``dict(images=FOLDER, masks=FOLDER)`` of the target domain.
        classes, out: As :func:`adapt`.
        method: ``daformer``, ``mic``; the control without target images is :func:`train`.
        **settings: See :func:`run`.

    Returns, Raises: As :func:`adapt`.
    """
    if target_labeled is None:
        raise ValueError('target_labeled=None: without labels of the target call mmseg_dg.adapt')
    return adapt(source, target, classes, out, method=method, target_labeled=target_labeled,
                 **settings)


def train(data: Mapping, classes: Union[Sequence[str], Folder], out: Folder, *,
          method: str = 'supervised', **settings: Any) -> Optional[Segmenter]:
    """Train on images with masks.

    Args:
        data: ``dict(images=FOLDER, masks=FOLDER)``.
        classes, out: As :func:`adapt`.
        method: ``supervised``.
        **settings: See :func:`run`.

    Returns, Raises: As :func:`adapt`.
    """
    sets = dict(source=checked_images('data', data, True))
    return _begin('train', _chosen(TRAIN, method), sets, classes, out, None, settings)


def semi(labeled: Mapping, unlabeled: Mapping, classes: Union[Sequence[str], Folder], out: Folder,
         *, method: str = 'daformer', **settings: Any) -> Optional[Segmenter]:
    """Train on few images with masks and many without, of one domain.

    Args:
        labeled: ``dict(images=FOLDER, masks=FOLDER)``.
        unlabeled: ``dict(images=FOLDER)``.
        classes, out: As :func:`adapt`.
        method: ``daformer`` (self-training on class-mixed images), ``labeled_only`` (the control).
        **settings: See :func:`run`.

    Returns, Raises: As :func:`adapt`.
    """
    sets = dict(labeled=checked_images('labeled', labeled, True),
                unlabeled=checked_images('unlabeled', unlabeled, False))
    chosen = _chosen(SEMI, method)
    # the control is a supervised recipe, whose only stream is called source
    if chosen.streams == ('source', ):
        sets['source'] = sets['labeled']
    return _begin('semi', chosen, sets, classes, out, None, settings)


def run(task: Task, out: Path, *, encoder: Union[str, Folder,
                                                 None] = None, iterations: Optional[int] = None,
        batch_size: Optional[int] = None, crop_size: Union[int, tuple[int, int], None] = None,
        seed: int = 0, early_stopping: Optional[int] = None,
        options: Optional[Mapping[str, Any]] = None, reasons: Optional[Mapping[str, str]] = None,
        resume: bool = False, overwrite: bool = False, start: bool = True) -> Optional[Segmenter]:
    """Write the config of a task and train it; the settings that every function of this module
    takes.

    Args:
        task: What to train on.
        out: Folder.
        encoder: None or ``'mobilenetv2'``: the network that ships with the package. ``'mit_b0'`` to
            ``'mit_b5'``, or the path of such a file: a Mix Transformer under the recipe for large
            GPUs.
        iterations: Length; None: the recipe's. It is validated and saved five times.
        batch_size: Images of each stream per iteration; None: the recipe's.
        crop_size: Of the training crops, (height, width) or one number; None: the recipe's.
        seed: Of everything random.
        early_stopping: Validations without a better mean mIoU after which training ends; needs
            ``val``. The count begins anew when a run is resumed.
        options: Dotted settings of the config, as ``--cfg-options``; they win.
        reasons: Dotted key -> comment in the config.
        resume: Go on with the run that lies in ``out``.
        overwrite: Begin again.
        start: False writes the config only and returns None.

    Also taken, and part of ``task``: ``val`` (labeled images to score on,
    ``dict(images=..., masks=...)``; without it nothing is scored while training), ``palette``
    ((red, green, blue) of each class), ``label_map`` (``{255: 1}`` for binary masks of 0 and 255).
    """
    options = checked_mapping('options', options, str, "{'model.pseudo_threshold': 0.95}")
    settings = _settings(task, encoder, iterations, batch_size, crop_size, seed)
    if early_stopping is not None:
        settings['custom_hooks'] = _early_stopping(task, encoder, early_stopping)
    refuse_run(out, resume, overwrite)
    path = out / CONFIG
    merged = {**settings, **options}
    # options of ``suggest`` also have pipelines for images that are scored (the domain "own" of the
    # recipes); without such images the config has no dataloader that could take them
    if task.val is None:
        merged = {
            key: value
            for key, value in merged.items() if not key.endswith('_dataloader.own.dataset.pipeline')
        }
    write_config(path, _about(task, path), recipe(_base(task, encoder)), nested(merged), reasons)
    if not start:
        return None
    from .inference import adapt as train_config  # "adapt" here is another function
    train_config(str(path), str(out / RUN), resume=resume, overwrite=overwrite)
    return load(out)  # the best checkpoint where scores were taken, not the last weights


def _begin(verb: str, chosen: Recipe, sets: dict, classes: Any, out: Folder, few: Optional[dict],
           settings: dict) -> Optional[Segmenter]:
    """Check what all verbs (``adapt``, ``train``, ...) share, and train.

    Args:
        verb: Name of the function that was called.
        chosen: Recipe of ``configs/custom``.
        sets: Images by stream, checked; those that the recipe has no stream for are not used.
        classes: As given.
        out: Folder of the run.
        few: Few labeled images of the target, checked; None: none.
        settings: Other keyword arguments as given; ``val``, ``palette`` and ``label_map`` are taken
            out, the rest goes to :func:`run`.

    Raises:
        ValueError: An argument without meaning.
    """
    if not isinstance(out, (str, Path)):
        raise ValueError(f'out={out!r}: give the folder of the run')
    val = settings.pop('val', None)
    names, palette = checked_classes(classes, settings.pop('palette', None))
    label_map = checked_mapping('label_map', settings.pop('label_map', None), int, '{255: 1}')
    streams = {name: sets[name] for name in chosen.streams}
    task = Task(verb=verb, recipe=chosen, streams=streams, classes=names, palette=palette,
                label_map=label_map, val=None if val is None else checked_images('val', val, True),
                target_labeled=few)
    unknown = set(settings) - set(SETTINGS)
    if unknown:
        raise ValueError(f'unknown settings {sorted(unknown)}: there are val, palette, label_map, '
                         f'{", ".join(SETTINGS)}')
    return run(task, Path(out), **settings)


#: Keyword arguments of :func:`run`, which all functions of this module take.
SETTINGS = ('encoder', 'iterations', 'batch_size', 'crop_size', 'seed', 'early_stopping', 'options',
            'reasons', 'resume', 'overwrite', 'start')


def chosen_adaptation(method: str, few: Optional[Mapping]) -> Recipe:
    """The recipe of a method of :func:`adapt`, with or without a few labels of the target.

    Raises:
        ValueError: There is no such method, or it does not read the target.
    """
    chosen = _chosen(ADAPT, method)
    if few is not None and 'target' not in chosen.streams:
        raise ValueError(f'target_labeled: method={method!r} does not read the target')
    return chosen


def _chosen(known: Mapping[str, Recipe], method: str) -> Recipe:
    """The recipe of a method; refuses (ValueError) an unknown name."""
    if not isinstance(method, str) or method not in known:
        raise ValueError(
            f'method={method!r}: there are {", ".join(known)}; any other method of the package is '
            'trained by a config (docs/custom_data.md)')
    return known[method]


def _settings(task: Task, encoder: Any, iterations: Optional[int], batch_size: Optional[int],
              crop_size: Any, seed: int) -> dict[str, Any]:
    """Settings of the config by dotted key: data, sizes, lengths and seed on top of the recipe's;
    arguments as of :func:`run`, which None leaves to the recipe.
    """
    checked_numbers(iterations=iterations, batch_size=batch_size)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f'seed={seed!r} must be a whole number from 0 on')
    result: dict[str, Any] = {**task.recipe.settings, **encoder_settings(encoder)}
    result['model.network.decode_head.num_classes'] = len(task.classes)
    streams = dict(task.streams)
    if task.target_labeled:
        result['model.target_labeled_stream'] = 'target_labeled'
        streams['target_labeled'] = task.target_labeled
    for name, folders in streams.items():
        if name == 'target_labeled':
            result[f'train_dataloader.{name}'] = few_target_labels(_base(task, encoder))
        result.update(_dataset(f'train_dataloader.{name}.dataset', task, folders))
        if batch_size is not None:
            result[f'train_dataloader.{name}.batch_size'] = batch_size
    if batch_size is not None:
        result['auto_scale_lr.base_batch_size'] = batch_size
    if crop_size is not None:
        result['train_cfg.crop_size'] = crop_pair(crop_size)
    if iterations is not None:
        interval = max(1, iterations // 5)  # validated and saved five times
        result.update({
            'train_cfg.max_iters': iterations, 'train_cfg.val_interval': interval,
            'default_hooks.checkpoint.interval': interval
        })
    result['randomness.seed'] = seed
    return {**result, **_scoring(task)}


def _scoring(task: Task) -> dict[str, Any]:
    """Settings of validation and test by dotted key: the user's set, or none at all (None switches
    a part of the recipe off).
    """
    if task.val is not None:
        return {
            **_dataset('val_dataloader.own.dataset', task, task.val),
            **_dataset('test_dataloader.own.dataset', task, task.val)
        }
    # without val_dataloader, val_evaluator and val_cfg mmengine does not validate; so of the test
    nothing = {
        f'{role}_{part}': None
        for role in ('val', 'test')
        for part in ('dataloader', 'evaluator', 'cfg')
    }
    return {**nothing, 'default_hooks.checkpoint.save_best': None}


def _early_stopping(task: Task, encoder: Any, patience: int) -> list[dict]:
    """``custom_hooks`` of the config: the recipe's, and one that ends training after ``patience``
    validations without a better score; ValueError without images to score on.
    """
    if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
        raise ValueError(f'early_stopping={patience!r} counts validations, at least 1')
    if task.val is None:
        raise ValueError(
            'early_stopping needs val=dict(images=..., masks=...), whose score it follows')
    # a list in a config replaces that of its recipe: the recipe's hooks have to be repeated
    cfg = Config.fromfile(recipe_file(_base(task, encoder)))
    hooks = [dict(hook) for hook in cfg.get('custom_hooks') or ()]
    return [
        *hooks,
        dict(type='EarlyStoppingHook', monitor='mean/mIoU', rule='greater', patience=patience)
    ]


def _dataset(where: str, task: Task, folders: Mapping) -> dict[str, Any]:
    """Settings of one dataset, each under its dotted key below ``where``; ``folders`` has
    ``images``, and perhaps ``masks`` and ``list``.
    """
    prefix = dict(img_path=folders['images'])
    if 'masks' in folders:
        prefix['seg_map_path'] = folders['masks']
    found = {  # data_root is empty: the folders are absolute paths
        'data_root': '', 'classes': list(task.classes), 'palette': task.palette,
        'data_prefix': prefix
    }
    if task.label_map and 'masks' in folders:
        found['label_map'] = task.label_map
    if 'list' in folders:
        found['ann_file'] = folders['list']
    return {f'{where}.{key}': value for key, value in found.items()}


def few_target_labels(base: str) -> dict[str, Any]:
    """Settings of the stream ``target_labeled``: a copy of a recipe's stream ``source`` (batch,
    sampler, pipeline), whose folders are set afterwards.

    Args:
        base: The recipe, below ``configs``.
    """
    return Config.fromfile(recipe_file(base)).train_dataloader.source.to_dict()


def _base(task: Task, encoder: Any) -> str:
    """The recipe, below ``configs``, that a task takes with an encoder (as of :func:`run`)."""
    return task.recipe.small if is_shipped(encoder) else task.recipe.large


def _about(task: Task, path: Path) -> str:
    """Docstring of the written config: where it comes from, and the command that runs it again."""
    today = datetime.date.today().isoformat()
    return (
        f'Written by mmseg_dg.{task.verb} (mmseg_dg {__version__}) on {today}.\n\n'
        f'Command: mim train mmseg_dg {path} --work-dir DIR, or mmseg-dg train {path} --work-dir '
        'DIR: the '
        'same run again.\n')
