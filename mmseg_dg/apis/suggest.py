"""``mmseg_dg.suggest``: settings that fit one's images and this machine, each with its reason.

Each private function settles one thing and notes it, with the reason, in ``result``. Their common
arguments: ``cfg`` is the recipe's config (:func:`_recipe`); ``looks`` the fingerprint of each
stream, the labeled one first; ``encoder`` its name; ``longer`` the longer side in pixels to which
images are resized (None: they are not); ``crop`` is (height, width); ``device`` is ``cuda`` or
``cpu``, ``free`` the bytes that are free there (None: not known); ``fixed`` is the user's own
choice (None: none).
"""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.config import Config

from mmseg_dg.weights.files import weights_table

from . import own_data
from .config_text import recipe_file
from .encoders import SHIPPED, encoder_settings, is_shipped
from .fingerprint import GIB, Fingerprint, fingerprint, free_memory
from .memory import MemoryUse, measure
from .own_data_checks import (
    checked_classes,
    checked_images,
    checked_mapping,
    checked_numbers,
    crop_pair,
)
from .pipeline_changes import with_rare_class_crop, with_rescaling

#: Share of the free memory that a training is planned for.
SHARE = 0.7
#: Bytes of GPU memory from which the large recipe is suggested: 16 GiB, batch 2 + 2 at crop 512 of
#: a MiT-B5.
LARGE_GPU = 16 * GIB
#: Share of the labeled pixels below which a class is asked for by rare class sampling.
RARE = 0.01
#: Pixels of the wanted class that DAFormer asks an image for: 3000 of 1914 x 1052.
MIN_PIXELS_SHARE = 3000 / (1914 * 1052)
_HUGE = 16_000_000  # pixels above which an image is cut into windows instead of made smaller


@dataclass
class Suggestion:
    """Settings and why.

    Attributes:
        settings: Arguments of :func:`mmseg_dg.adapt` and its siblings.
        options: Dotted settings of the config beside them.
        reasons: Dotted key of the config -> why.
        lines: For people, ``name: value: reason``.
        memory: Predicted peak in bytes of what PyTorch holds; None where it was not measured.
        windows: Whether images are predicted in sliding windows.
    """
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    memory: Optional[float] = None
    windows: bool = False

    def note(self, name: str, value: Any, reason: str, *keys: str) -> None:
        """Remember one decision: what (``name``), the choice, and why; ``keys`` are dotted keys of
        the config whose lines get the reason as a comment.
        """
        self.lines.append(f'{name}: {value}: {reason}')
        self.reasons.update({key: reason for key in keys})

    def __str__(self) -> str:
        return '\n'.join(self.lines)


def suggest(source: Optional[Mapping] = None, target: Optional[Mapping] = None, *,
            data: Optional[Mapping] = None, labeled: Optional[Mapping] = None,
            unlabeled: Optional[Mapping] = None, target_labeled: Optional[Mapping] = None,
            classes: Union[Sequence[str], str, Path] = (), method: Optional[str] = None,
            label_map: Optional[Mapping] = None, free: Optional[int] = None, probe: bool = True,
            **fixed: Any) -> Suggestion:
    """Look at one's images and at this machine.

    Args:
        source, target, target_labeled: As :func:`mmseg_dg.adapt`; or ``data`` as
            :func:`mmseg_dg.train`; or ``labeled`` and ``unlabeled`` as :func:`mmseg_dg.semi`.
        classes, method, label_map: As there.
        free: Bytes to plan for; None: what is free now.
        probe: Run two small training steps, to predict the memory; False plans batches without.
        **fixed: Settings of yours (``crop_size``, ``batch_size``, ``iterations``, ``encoder``):
            they are kept, and the rest follows from them; others of :func:`mmseg_dg.adapt` are left
            alone.

    Returns:
        The settings; ``mmseg_dg.adapt(..., **suggestion.settings, options=suggestion.options,
        reasons=suggestion.reasons)`` trains with them, and its config has the reasons as comments.

    Raises:
        ValueError: No set of images that belongs together, or bad arguments; FileNotFoundError: no
            images.
    """
    chosen, sets = _sets(source, target, data, labeled, unlabeled, target_labeled, method)
    names, _ = checked_classes(classes, None)
    label_map = checked_mapping('label_map', label_map, int, '{255: 1}')
    checked_numbers(iterations=fixed.get('iterations'), batch_size=fixed.get('batch_size'))
    if fixed.get('crop_size') is not None:
        crop_pair(fixed['crop_size'])
    encoder_settings(fixed.get('encoder'))  # raises where its file is not there
    looks = {name: fingerprint(folders, len(names), label_map) for name, folders in sets.items()}
    device, free_now = free_memory()
    free = free_now if free is None else free
    result = Suggestion()
    for name, look in looks.items():
        result.lines.append(_described(name, look))
    encoder = _encoder(result, device, free, fixed.get('encoder'))
    cfg = _recipe(chosen, encoder, len(names), 'target_labeled' in sets)
    longer = _rescaling(result, looks, encoder)
    crop = _crop(result, looks, longer, fixed.get('crop_size'), encoder)
    _batch(result, cfg, crop, device, free, fixed.get('batch_size'), probe)
    _iterations(result, cfg, looks, longer, crop, fixed.get('iterations'))
    wanted = _rare_classes(result, looks, longer, crop, names)
    _pipelines(result, cfg, longer, wanted)
    return result


def _sets(source: Any, target: Any, data: Any, labeled: Any, unlabeled: Any, few: Any,
          method: Optional[str]) -> tuple[own_data.Recipe, dict[str, Mapping]]:
    """The recipe of the method (None: the first one for such images), and the checked images by
    stream, those with labels first. Arguments as of :func:`suggest`, ``few`` its
    ``target_labeled``; ValueError for sets of images that do not belong together.
    """
    given = {
        name
        for name, value in dict(source=source, target=target, data=data, labeled=labeled,
                                unlabeled=unlabeled, target_labeled=few).items()
        if value is not None
    }
    sets: dict[str, Mapping]
    # next(iter(...)): the first of the table is the default method
    if given - {'target_labeled'} == {'source', 'target'}:
        chosen = own_data.chosen_adaptation(method or next(iter(own_data.ADAPT)), few)
        sets = dict(source=checked_images('source', source, True),
                    target=checked_images('target', target, False))
        sets = {stream: sets[stream] for stream in chosen.streams}
        if few is not None:
            sets['target_labeled'] = checked_images('target_labeled', few, True)
        return chosen, sets
    if given == {'labeled', 'unlabeled'}:
        chosen = own_data._chosen(own_data.SEMI, method or next(iter(own_data.SEMI)))
        sets = dict(labeled=checked_images('labeled', labeled, True),
                    unlabeled=checked_images('unlabeled', unlabeled, False))
        if chosen.streams == ('source', ):  # the control, labeled images alone: a supervised recipe
            sets = dict(source=sets['labeled'])
        return chosen, sets
    if given in ({'data'}, {'source'}):
        chosen = own_data._chosen(own_data.TRAIN, method or next(iter(own_data.TRAIN)))
        return chosen, dict(source=checked_images('data', data or source, True))
    raise ValueError('give source and target (and target_labeled), or labeled and unlabeled, or '
                     f'data; got {", ".join(sorted(given)) or "none of them"}')


def _described(name: str, look: Fingerprint) -> str:
    """A dataset's fingerprint in one line."""
    classes = ''
    if look.shares:
        present = sorted(share for share in look.shares.values() if share)
        classes = (
            f'; {len(present)} of {len(look.shares)} classes in {look.masks} masks, the rarest '
            f'with {present[0]:.2%} of the pixels' if present else '; no pixel of any class')
    size = f'{look.width}x{look.height} (width x height)'
    return f'{name}: {look.count} images, median {size}{classes}'


def _recipe(chosen: own_data.Recipe, encoder: str, classes: int, few: bool) -> Config:
    """The config that will be trained, as far as its memory and pipelines go: without the user's
    folders, which neither depends on. ``classes`` is their number; ``few`` says whether there is a
    stream of few labeled target images.
    """
    base = chosen.small if is_shipped(encoder) else chosen.large
    cfg = Config.fromfile(recipe_file(base))
    cfg.merge_from_dict({**chosen.settings, **encoder_settings(encoder)})
    if few:
        cfg.model.target_labeled_stream = 'target_labeled'
        cfg.train_dataloader.target_labeled = own_data.few_target_labels(base)
    cfg.model.network.decode_head.num_classes = classes
    return cfg


def _encoder(result: Suggestion, device: str, free: Optional[int], fixed: Optional[str]) -> str:
    """The large encoder where GPU and file allow it, else the one that ships; or the one the user
    has fixed. Returns its name, and notes it with the reason in ``result``.
    """
    if fixed is not None:
        result.note('encoder', fixed, 'as you asked')
        result.settings['encoder'] = fixed
        return str(fixed)
    file = Path(weights_table()['mit_b5']['file'])
    if device == 'cuda' and free is not None and free >= LARGE_GPU and file.is_file():
        result.settings['encoder'] = 'mit_b5'
        result.note(
            'encoder', 'mit_b5',
            f'the GPU has {free / GIB:.0f} GiB free and {file} is there: the encoder of '
            "the papers' results", 'model.network.backbone.arch')
        return 'mit_b5'
    if device == 'cpu':
        why = 'there is no GPU'
    elif (free or 0) < LARGE_GPU:
        why = f'the GPU has {(free or 0) / GIB:.0f} GiB free, a MiT-B5 wants {LARGE_GPU / GIB:.0f}'
    else:
        why = f'{file} is not there (mmseg-dg prepare-weights mit_b5)'
    result.note('encoder', SHIPPED, f'{why}; this one ships with the package')
    return SHIPPED


def _rescaling(result: Suggestion, looks: Mapping[str, Fingerprint], encoder: str) -> Optional[int]:
    """The longer side in pixels to which images are resized; None: they stay as they are. The
    reason is noted in ``result``, and for huge images ``windows``.
    """
    # medians of the stream with the largest images, and of the one with the smallest
    longer = max(look.longer for look in looks.values())
    shorter = min(look.shorter for look in looks.values())
    normal = 512 if is_shipped(encoder) else 1024  # of the small and of the large recipe
    if max(look.largest for look in looks.values()) > _HUGE:
        result.windows = True
        result.note(
            'rescaling', 'none',
            f'an image of {longer} pixels a side would lose its detail at {normal}; '
            'crops are taken from it as it is, and it is predicted in windows')
        return None
    # 64: two cells of the deepest map, at stride 32
    if longer <= normal and shorter >= 64:
        result.note('rescaling', 'none',
                    f'images of {longer} pixels a side are no larger than {normal}')
        return None
    if shorter < 64:
        # all streams get one size: what gives the shorter side of each 64 pixels, and shrinks none
        needed = max(look.longer * 64 / look.shorter for look in looks.values())
        enlarged = math.ceil(max(needed, min(longer, normal)) / 32) * 32
        result.note(
            'rescaling', enlarged,
            f'the shorter side has {shorter} pixels, and the deepest map of the '
            'encoder needs 64 to tell two cells apart')
        return enlarged
    result.note(
        'rescaling', normal,
        f'the longer side of {longer} pixels is brought to {normal}, where objects have about the '
        'size that the encoder was trained with' if longer > 2 * normal else
        f'the longer side of {longer} pixels is brought to {normal}, the scale of the recipe')
    return normal


def _scale(look: Fingerprint, longer: Optional[int]) -> float:
    """Factor by which the median image of a set is resized."""
    return 1. if longer is None else longer / look.longer


def _crop(result: Suggestion, looks: Mapping[str, Fingerprint], longer: Optional[int], fixed: Any,
          encoder: str) -> tuple[int, int]:
    """The recipe's crop, made smaller until the median images of every stream fill it: (height,
    width) in pixels, noted in ``result``.
    """
    if fixed is not None:
        crop = crop_pair(fixed)
        result.note('crop', f'{crop[1]}x{crop[0]}', 'as you asked', 'train_cfg.crop_size')
    else:
        normal = 256 if is_shipped(encoder) else 512
        # median height and width after rescaling, of the stream where they are smallest
        sides = [
            min(round(look._asdict()[side] * _scale(look, longer)) for look in looks.values())
            for side in ('height', 'width')
        ]
        # multiples of the deepest map's stride of 32, of at least two cells
        crop = tuple(max(64, min(normal, side // 32 * 32)) for side in sides)
        why = f"the recipe's {normal}" if crop == (normal, normal) else (
            f'images are {sides[1]}x{sides[0]} after rescaling; the largest multiple of 32 in '
            f'them, at most {normal}')
        result.note('crop', f'{crop[1]}x{crop[0]}', why, 'train_cfg.crop_size')
    result.settings['crop_size'] = crop
    return crop


def _batch(result: Suggestion, cfg: Config, crop: tuple[int, int], device: str, free: Optional[int],
           fixed: Any, probe: bool) -> None:
    """Settle the largest batch that fits, accumulation up to the recipe's, and the learning rate
    that goes with them; noted in ``result``. ``probe``: measure the memory; without, every batch is
    taken to fit.
    """
    streams = list(cfg.train_dataloader)
    normal = cfg.train_dataloader[streams[0]].batch_size
    use: Optional[MemoryUse] = measure(cfg, device) if probe else None

    def fits(batch: int) -> bool:
        """Whether so many images per stream fit; True where memory is not known."""
        return free is None or use is None or use.bytes(crop, batch) <= SHARE * free

    batch = int(fixed or normal)
    while fixed is None and batch > 2 and not fits(batch):  # BatchNorm wants two images
        batch -= 1
    accumulate = math.ceil(normal / batch)
    memory = '' if use is None else f', {use.bytes(crop, batch) / GIB:.2f} GiB predicted'
    room = '' if free is None else f' of {free / GIB:.1f} GiB free'
    why = 'as you asked' if fixed else "the recipe's" if batch == normal else 'what fits'
    if not fits(batch):
        why += f'; MORE THAN {SHARE:.0%} of the free memory, make the crop smaller'
    result.memory = None if use is None else use.bytes(crop, batch)
    first = f'train_dataloader.{streams[0]}.batch_size'
    result.settings['batch_size'] = batch
    result.note('batch', f'{batch} for each of {len(streams)} streams', f'{why}{memory}{room}',
                first)
    if accumulate > 1:
        result.options['train_cfg.accumulate'] = accumulate
        result.note(
            'accumulation', accumulate, f'{accumulate} x {batch} images are ' +
            (f'the {normal} of the recipe' if accumulate * batch == normal else
             f'{accumulate * batch}, the least that reaches the {normal} of the recipe'),
            'train_cfg.accumulate')
    rate, ours = cfg.optim_wrapper.optimizer.lr, batch * accumulate
    # Adam's usual rule: the rate grows with the root of the batch; rounded to two digits
    factor = math.sqrt(ours / normal)
    result.options['optim_wrapper.optimizer.lr'] = rate if factor == 1 else float(
        f'{rate * factor:.2g}')
    result.note(
        'rate', result.options['optim_wrapper.optimizer.lr'],
        f"the recipe's {rate:g} for {normal} images" +
        ('' if factor == 1 else f', times the root of {ours}/{normal} (AdamW)'),
        'optim_wrapper.optimizer.lr')


def _iterations(result: Suggestion, cfg: Config, looks: Mapping[str, Fingerprint],
                longer: Optional[int], crop: tuple[int, int], fixed: Optional[int]) -> None:
    """Settle how long to train, by the number of labeled images and the crop's share of them: each
    place of an image is seen about 100 times, but training has at least 200 iterations and at most
    the recipe's. Noted in ``result``, which has batch and accumulation by now.
    """
    first = next(iter(looks.values()))
    most = cfg.train_cfg.max_iters
    # crops that cover an image
    per_image = max(
        1, round(first.height * first.width * _scale(first, longer)**2 / (crop[0] * crop[1])))
    ours = result.settings['batch_size'] * result.options.get('train_cfg.accumulate', 1)
    wanted = math.ceil(100 * first.count * per_image / ours / 50) * 50  # a multiple of 50
    iterations = fixed or max(200, min(most, wanted))
    why = 'as you asked' if fixed else (
        f'{first.count} labeled images of {per_image} crops each, seen 100 times by {ours} per '
        f'iteration, are {wanted}' +
        (f'; at least 200, at most the {most} of the recipe' if iterations != wanted else ''))
    result.settings['iterations'] = iterations
    result.note('iterations', iterations, why, 'train_cfg.max_iters')


def _rare_classes(result: Suggestion, looks: Mapping[str, Fingerprint], longer: Optional[int],
                  crop: tuple[int, int], names: Sequence[str]) -> Optional[int]:
    """Decide on rare class sampling of the labeled stream, the first of ``looks``; noted in
    ``result``. Returns how many pixels of the class that an image was drawn for its crop should
    have; None: no such sampling.
    """
    stream, look = next(iter(looks.items()))
    rare = {c: share for c, share in look.shares.items() if 0 < share < RARE}
    if not rare:
        result.note('rare classes', 'drawn as they come',
                    f'no class has less than {RARE:.0%} of the labeled pixels')
        return None
    # look.pixels: pixels of each class in a typical image that shows it
    usual = MIN_PIXELS_SHARE * look.height * look.width
    least = max(1, int(min(usual, min(look.pixels[c] for c in rare) / 2)))
    listed = ', '.join(f'{names[c]} {share:.2%}'
                       for c, share in sorted(rare.items(), key=lambda item: item[1])[:4])
    where = f'train_dataloader.{stream}.sampler'
    result.options[where] = dict(_delete_=True, type='RareClassSampler', min_pixels=least,
                                 temperature=0.1)
    result.note(
        'min_pixels', least,
        f'{len(rare)} classes have less than {RARE:.0%} of the pixels ({listed}): images '
        f'are drawn by class, from those with {least} pixels of it, the smaller of '
        f'{MIN_PIXELS_SHARE:.2%} of an image and half of what such images show',
        f'{where}.min_pixels')
    # of the ``least`` pixels of an image half in the crop, counted after rescaling; at most 2 %
    # (one in 50) of the crop, because with more no crop might do
    inside = least * _scale(look, longer)**2 / 2
    return max(1, min(int(inside), crop[0] * crop[1] // 50))


def _pipelines(result: Suggestion, cfg: Config, longer: Optional[int],
               wanted: Optional[int]) -> None:
    """Settle the pipelines: images rescaled to ``longer``, the labeled stream (the first) with
    crops that show ``wanted`` pixels of the drawn class, and windows for huge images.
    """
    crop = result.settings['crop_size']
    for number, (name, loader) in enumerate(cfg.train_dataloader.items()):
        steps = with_rescaling([dict(step) for step in loader.dataset.pipeline], longer)
        if wanted is not None and number == 0:
            steps = with_rare_class_crop(steps, crop, wanted)
        result.options[f'train_dataloader.{name}.dataset.pipeline'] = steps
    for role in ('val', 'test'):
        steps = [dict(step) for step in cfg[f'{role}_dataloader'].own.dataset.pipeline]
        result.options[f'{role}_dataloader.own.dataset.pipeline'] = with_rescaling(steps, longer)
    if result.windows:
        stride = tuple(side * 3 // 4 for side in crop)  # windows overlap by a quarter
        result.options['model.network.test_cfg'] = dict(_delete_=True, mode='slide', crop_size=crop,
                                                        stride=stride)
