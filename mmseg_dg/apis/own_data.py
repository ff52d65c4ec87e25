"""Training on one's own images without writing a config: ``mmseg_dg.adapt``, ``mmseg_dg.train``,
``mmseg_dg.semi``.

Each writes a config that inherits from a recipe of ``configs/custom``, and trains that: what ran is
in the folder.
"""
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from mmengine.config import Config

from mmseg_dg.utils.work_dir import holds_checkpoints
from mmseg_dg.version import __version__

from .config_text import nested, recipe, recipe_file, write_config
from .encoders import encoder_settings, is_shipped
from .loading import CONFIG, RUN, Segmenter, load

Folder = Union[str, Path]
#: What describes one set of images.
_KEYS = ('images', 'masks', 'list')
#: Method -> (recipe for the shipped encoder, recipe for larger ones, streams, settings).
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
        verb: ``adapt``, ``train`` or ``semi``.
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
          **settings: Any) -> Segmenter:
    """Train on labeled images of one domain and unlabeled ones of another.

    Args:
        source: ``dict(images=FOLDER, masks=FOLDER)``; ``list=FILE`` (one name per line) selects
            among them.
        target: ``dict(images=FOLDER)``; masks in it are not read.
        classes: Names, in the order of the ids in the masks; or a text file with one name per line.
        out: Folder of the run: ``config.py``, and ``run/`` with logs and checkpoints.
        method: ``daformer`` (self-training on class-mixed images), ``mic`` (that and a masked
            pass), ``source_only`` (the control: the source alone).
        target_labeled: A few labeled images of the target domain, as ``source``: one more
            supervised pass.
        **settings: See :func:`run`.

    Returns:
        The trained network; :func:`mmseg_dg.load` of the folder gives it again.

    Raises:
        ValueError: A bad argument; nothing was read or written yet.
        FileNotFoundError: A folder that is not there.
        FileExistsError: A run lies in ``out``.
    """
    sets = dict(source=_images('source', source, True), target=_images('target', target, False))
    few = None if target_labeled is None else _images('target_labeled', target_labeled, True)
    chosen = _chosen(ADAPT, method)
    if few and 'target' not in chosen.streams:
        raise ValueError(f'target_labeled: method={method!r} does not read the target')
    return _begin('adapt', chosen, sets, classes, out, few, settings)


def train(data: Mapping, classes: Union[Sequence[str], Folder], out: Folder, *,
          method: str = 'supervised', **settings: Any) -> Segmenter:
    """Train on images with masks.

    Args:
        data: ``dict(images=FOLDER, masks=FOLDER)``.
        classes, out: As :func:`adapt`.
        method: ``supervised``.
        **settings: See :func:`run`.

    Returns, Raises: As :func:`adapt`.
    """
    sets = dict(source=_images('data', data, True))
    return _begin('train', _chosen(TRAIN, method), sets, classes, out, None, settings)


def semi(labeled: Mapping, unlabeled: Mapping, classes: Union[Sequence[str], Folder], out: Folder,
         *, method: str = 'daformer', **settings: Any) -> Segmenter:
    """Train on few images with masks and many without, of one domain.

    Args:
        labeled: ``dict(images=FOLDER, masks=FOLDER)``.
        unlabeled: ``dict(images=FOLDER)``.
        classes, out: As :func:`adapt`.
        method: ``daformer`` (self-training on class-mixed images), ``labeled_only`` (the control).
        **settings: See :func:`run`.

    Returns, Raises: As :func:`adapt`.
    """
    sets = dict(labeled=_images('labeled', labeled, True),
                unlabeled=_images('unlabeled', unlabeled, False))
    chosen = _chosen(SEMI, method)
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
    settings = _settings(task, encoder, iterations, batch_size, crop_size, seed)
    if early_stopping is not None:
        settings['custom_hooks'] = _early_stopping(task, encoder, early_stopping)
    _refuse_run(out, resume, overwrite)
    path = out / CONFIG
    base = task.recipe.small if is_shipped(encoder) else task.recipe.large
    ours = {**settings, **(options or {})}
    if task.val is None:  # what suggest says of the images that are scored
        ours = {
            key: value
            for key, value in ours.items() if not key.endswith('_dataloader.own.dataset.pipeline')
        }
    write_config(path, _about(task, path), recipe(base), nested(ours), reasons)
    if not start:
        return None
    from .inference import adapt as train_config
    train_config(str(path), str(out / RUN), resume=resume, overwrite=overwrite)
    return load(out)  # the best checkpoint where scores were taken, not the last weights


def _begin(verb: str, chosen: Recipe, sets: dict, classes: Any, out: Folder, few: Optional[dict],
           settings: dict) -> Optional[Segmenter]:
    """Check what all verbs share, and train."""
    val = settings.pop('val', None)
    names, palette = _classes(classes, settings.pop('palette', None))
    task = Task(verb, chosen, {name: sets[name]
                               for name in chosen.streams}, names, palette,
                dict(settings.pop('label_map', None) or {}),
                None if val is None else _images('val', val, True), few)
    unknown = set(settings) - set(SETTINGS)
    if unknown:
        raise ValueError(f'unknown settings {sorted(unknown)}: there are val, palette, label_map, '
                         f'{", ".join(SETTINGS)}')
    return run(task, Path(out), **settings)


SETTINGS = ('encoder', 'iterations', 'batch_size', 'crop_size', 'seed', 'early_stopping', 'options',
            'reasons', 'resume', 'overwrite', 'start')


def _chosen(known: Mapping[str, Recipe], method: str) -> Recipe:
    if method not in known:
        raise ValueError(
            f'method={method!r}: there are {", ".join(known)}; any other method of the package is '
            'trained by a config (docs/custom_data.md)')
    return known[method]


def _images(name: str, folders: Any, masks: bool) -> dict[str, str]:
    """One set of images, its folders made absolute."""
    wanted = f"{name}=dict(images=FOLDER{', masks=FOLDER' * masks})"
    if not isinstance(folders, Mapping):
        raise ValueError(f'{name}={folders!r}: give {wanted}')
    unknown = set(folders) - set(_KEYS)
    if unknown or 'images' not in folders or (masks and 'masks' not in folders):
        what = 'images and masks are needed' if masks else 'images are needed'
        what = f'unknown {sorted(unknown)}' if unknown else what
        raise ValueError(f'{name}: {what}; give {wanted}, and list=FILE to select among them')
    result = {}
    for key in _KEYS if masks else ('images', 'list'):
        if folders.get(key) is None:
            continue
        if not isinstance(folders[key], (str, Path)):
            raise ValueError(f'{name}: {key}={folders[key]!r} must be a path')
        path = Path(folders[key]).expanduser().absolute()
        if not (path.is_file() if key == 'list' else path.is_dir()):
            raise FileNotFoundError(
                f'{name}: there is no {"file" if key == "list" else "folder"} {path} ({key})')
        result[key] = str(path)
    return result


def _classes(classes: Any, palette: Any) -> tuple[tuple[str, ...], Optional[list]]:
    """Names and palette from a list or from a file of class names."""
    if isinstance(classes, (str, Path)):
        if not Path(classes).is_file():
            raise ValueError(
                f'classes={str(classes)!r}: a list of names, or a text file with one name per line')
        from mmseg_dg.datasets.class_names import read_classes
        classes, colors = read_classes(str(classes))
        palette = colors if palette is None else palette
    names = tuple(classes) if isinstance(classes, Sequence) else ()
    if not 2 <= len(names) <= 255 or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f'classes={classes!r}: 2 to 255 names, in the order of the ids in the masks')
    if len(set(names)) < len(names):
        raise ValueError(f'classes={list(names)}: a name occurs twice')
    if palette is not None and (len(palette) != len(names)
                                or any(len(color) != 3 for color in palette)):
        raise ValueError(
            f'palette: {len(names)} classes need as many colors (red, green, blue), got {palette!r}'
        )
    return names, None if palette is None else [[int(part) for part in color] for color in palette]


def _settings(task: Task, encoder: Any, iterations: Optional[int], batch_size: Optional[int],
              crop_size: Any, seed: int) -> dict[str, Any]:
    """Dotted settings of the config: data, sizes, lengths and seed on top of the recipe's."""
    for name, value in dict(iterations=iterations, batch_size=batch_size).items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)
                                  or value < 1):
            raise ValueError(f'{name}={value!r} must be a whole number of at least 1')
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
            result[f'train_dataloader.{name}'] = _few_target_labels(task.recipe)
        result.update(_dataset(f'train_dataloader.{name}.dataset', task, folders))
        if batch_size is not None:
            result[f'train_dataloader.{name}.batch_size'] = batch_size
    if batch_size is not None:
        result['auto_scale_lr.base_batch_size'] = batch_size
    if crop_size is not None:
        result['train_cfg.crop_size'] = _pair(crop_size)
    if iterations is not None:
        every = max(1, iterations // 5)
        result.update({
            'train_cfg.max_iters': iterations, 'train_cfg.val_interval': every,
            'default_hooks.checkpoint.interval': every
        })
    result['randomness.seed'] = seed
    return {**result, **_scoring(task)}


def _scoring(task: Task) -> dict[str, Any]:
    """Settings of validation and test: the user's set, or none at all."""
    if task.val is not None:
        return {
            **_dataset('val_dataloader.own.dataset', task, task.val),
            **_dataset('test_dataloader.own.dataset', task, task.val)
        }
    nothing = {
        f'{role}_{part}': None
        for role in ('val', 'test')
        for part in ('dataloader', 'evaluator', 'cfg')
    }
    return {**nothing, 'default_hooks.checkpoint.save_best': None}


def _early_stopping(task: Task, encoder: Any, patience: int) -> list[dict]:
    """The recipe's hooks and one that ends training."""
    if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
        raise ValueError(f'early_stopping={patience!r} counts validations, at least 1')
    if task.val is None:
        raise ValueError(
            'early_stopping needs val=dict(images=..., masks=...), whose score it follows')
    cfg = Config.fromfile(
        recipe_file(task.recipe.small if is_shipped(encoder) else task.recipe.large))
    hooks = [dict(hook) for hook in cfg.get('custom_hooks') or ()]
    return [
        *hooks,
        dict(type='EarlyStoppingHook', monitor='mean/mIoU', rule='greater', patience=patience)
    ]


def _dataset(where: str, task: Task, folders: Mapping) -> dict[str, Any]:
    """Settings of one dataset below the dotted key ``where``."""
    prefix = dict(img_path=folders['images'])
    if 'masks' in folders:
        prefix['seg_map_path'] = folders['masks']
    found = {
        'data_root': '', 'classes': list(task.classes), 'palette': task.palette,
        'data_prefix': prefix
    }
    if task.label_map and 'masks' in folders:
        found['label_map'] = task.label_map
    if 'list' in folders:
        found['ann_file'] = folders['list']
    return {f'{where}.{key}': value for key, value in found.items()}


def _few_target_labels(chosen: Recipe) -> dict[str, Any]:
    """The source's stream, as the recipe has it, for the labeled target images."""
    return Config.fromfile(recipe_file(chosen.small)).train_dataloader.source.to_dict()


def _pair(size: Any) -> tuple[int, int]:
    """A crop size as (height, width), checked."""
    pair = (size,
            size) if isinstance(size, int) else tuple(size) if isinstance(size,
                                                                          (tuple, list)) else ()
    if len(pair) != 2 or any(
            isinstance(side, bool) or not isinstance(side, int) or side < 32 for side in pair):
        raise ValueError(
            f'crop_size={size!r} must be (height, width) in pixels, at least 32 each, or one number'
        )
    return pair


def _refuse_run(out: Path, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise ValueError('overwrite=True begins again and resume=True goes on: give one of them')
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'out={out} is a file: name a folder')
    if holds_checkpoints(out / RUN) and not (resume or overwrite):
        raise FileExistsError(
            f'{out / RUN} holds the checkpoints of a run: resume=True (--resume) goes on with '
            'it, overwrite=True (--overwrite) begins again; or name another folder')


def _about(task: Task, path: Path) -> str:
    today = datetime.date.today().isoformat()
    return (
        f'Written by mmseg_dg.{task.verb} (mmseg_dg {__version__}) on {today}.\n\n'
        f'Command: mim train mmseg_dg {path} --work-dir DIR, or mmseg-dg train {path} --work-dir '
        'DIR: the '
        'same run again.\n')
