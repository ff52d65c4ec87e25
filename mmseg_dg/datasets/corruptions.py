"""Damaged copies of any validation set: six kinds, three strengths, the same at every reading.

In the spirit of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", ICLR 2019, and of Kamann and Rother, CVPR 2020, for segmentation.
Kinds, parameters and code are this package's own, sizes follow the image's height, and scores do
not compare with theirs.

Shapes: H x W pixels.
"""
import copy
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional
from zlib import crc32

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_dg.registry import TRANSFORMS

STRENGTHS = (1, 2, 3)
_REFERENCE = 256  # pixels of height that the lengths below are given for


# Each kind below takes the image as float64 (H, W, 3) in 0..255, the strength (1, 2, 3: which of
# three parameters is used) and the generator it draws from; it gives an array of the same shape
# that is neither rounded nor clipped. :func:`corrupt` does both.
def _noise(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise, of the same strength in all channels: standard deviation 10, 20, 40 of 255."""
    return image + rng.normal(0, (10, 20, 40)[strength - 1], image.shape)


def _blur(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: the mean over a disc of radius 2, 3.5, 6 pixels at 256 rows."""
    radius = (2, 3.5, 6)[strength - 1] * image.shape[0] / _REFERENCE
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach:reach + 1, -reach:reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)  # its edge is half a pixel soft
    # -1: the result has the type of the image
    return cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)


def _jpeg(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Strong compression: JPEG of quality 25, 12, 6 (OpenCV takes the channels as BGR)."""
    _, content = cv2.imencode('.jpg',
                              np.rint(image).astype(np.uint8),
                              [cv2.IMWRITE_JPEG_QUALITY, (25, 12, 6)[strength - 1]])
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded a line above
    return decoded.astype(np.float64)


def _fog(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A veil of light gray, uneven by clouds of random shape, 35, 55, 75 % on average."""
    height, width = image.shape[:2]
    # four grids of random numbers (rows, twice as many columns), each twice as fine and half as
    # strong as the one before, all enlarged to the image
    clouds = sum(
        cv2.resize(rng.random((2**k + 1, 2**(k + 1)
                               + 1)), (width, height), interpolation=cv2.INTER_CUBIC) / 2**k
        for k in range(1, 5))
    # to a mean of 0 and at most 1 up or down; 1e-9: an image of one pixel has no differences
    clouds = (clouds - clouds.mean()) / max(float(np.abs(clouds - clouds.mean()).max()), 1e-9)
    veil = np.clip((.35, .55, .75)[strength - 1] + 0.2 * clouds, 0, 1)[..., None]  # (H, W, 1)
    return image * (1 - veil) + 225 * veil  # 225: the gray of the fog


def _dark(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Too little light: 1/2, 1/4, 1/8 of it, and the noise of the photons that are left."""
    light = (1 / 2, 1 / 4, 1 / 8)[strength - 1]
    photons = 4.0  # per gray level: fewer mean more noise
    return rng.poisson(image * light * photons) / photons


def _contrast(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Differences from the mean color of the image reduced to 50, 30, 15 %."""
    mean = image.mean((0, 1), keepdims=True)
    return mean + (image - mean) * (.5, .3, .15)[strength - 1]


KINDS: dict[str, Callable[[np.ndarray, int, np.random.Generator],
                          np.ndarray]] = dict(noise=_noise, blur=_blur, jpeg=_jpeg, fog=_fog,
                                              dark=_dark, contrast=_contrast)


def corrupt(image: np.ndarray, kind: str, strength: int, seed: int = 0) -> np.ndarray:
    """A damaged copy of an image; the same for the same image, kind, strength and seed, whatever
    was drawn before.

    Args:
        image: uint8 (H, W, 3), in BGR or RGB order.
        kind: One of :data:`KINDS`.
        strength: 1, 2 or 3.
        seed: At least 0.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: Unknown kind or strength, or another kind of image.
    """
    _check(kind, strength, seed)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'corrupt takes images uint8 (H, W, 3), got {image.dtype} {image.shape}')
    # by content, not by path: a copy of the data in another folder gives the same numbers
    content = crc32(np.ascontiguousarray(image).tobytes())
    rng = np.random.default_rng([seed, content, list(KINDS).index(kind), strength])
    damaged = KINDS[kind](image.astype(np.float64), strength, rng)
    return np.rint(damaged).clip(0, 255).astype(np.uint8)


def _check(kind: str, strength: int, seed: int) -> None:
    """Refuse (ValueError) a corruption that does not exist."""
    if kind not in KINDS:
        raise ValueError(f'unknown corruption {kind!r}: use one of {list(KINDS)}')
    if strength not in STRENGTHS or seed < 0:
        raise ValueError(
            f'a corruption has a strength of {STRENGTHS} and a seed of at least 0, got '
            f'{strength!r} and {seed!r}')


@TRANSFORMS.register_module()
class Corrupt(BaseTransform):
    """Damage ``img`` (uint8 (H, W, 3)) as :func:`corrupt` does; labels stay. Stands right after
    loading.

    Args:
        kind: See :func:`corrupt`; likewise the others.
        strength: 1, 2 or 3.
        seed: At least 0.
    """
    def __init__(self, kind: str, strength: int, seed: int = 0) -> None:
        _check(kind, strength, seed)
        self.kind, self.strength, self.seed = kind, strength, seed

    def transform(self, results: dict) -> dict:
        """Replace ``img`` by its damaged copy."""
        results['img'] = corrupt(results['img'], self.kind, self.strength, self.seed)
        return results

    def __repr__(self) -> str:
        return f'Corrupt(kind={self.kind!r}, strength={self.strength}, seed={self.seed})'


def corrupted(domains: Mapping[str, Any], kinds: Optional[Sequence[str]] = None,
              strengths: Sequence[int] = STRENGTHS, seed: int = 0,
              keep_clean: bool = True) -> dict[str, dict]:
    """Validation domains ``<domain>_<kind><strength>`` of given ones, for a config (docs/data.md
    has an example).

    Args:
        domains: ``{name: dataloader config}``, as ``val_dataloader``; a domain that is None is left
            out.
        kinds: Of :data:`KINDS`; None: all.
        strengths: Of 1, 2, 3.
        seed: Of the damage.
        keep_clean: Also return the domains as they are, first.

    Returns:
        New dataloader configs that read in the main process: 18 domains would otherwise be 18
            worker processes.

    Raises:
        ValueError: Unknown kind or strength, or a domain without a pipeline that loads images.
    """
    given = {name: loader for name, loader in domains.items() if loader is not None}
    # the clean domains come first: a metric may compare with them
    result: dict[str, dict] = {}
    if keep_clean:
        result = {name: copy.deepcopy(dict(loader)) for name, loader in given.items()}
    for name, loader in given.items():
        for kind in KINDS if kinds is None else kinds:
            for strength in strengths:
                _check(kind, strength, seed)
                damaged = copy.deepcopy(dict(loader))
                step = dict(type='Corrupt', kind=kind, strength=strength, seed=seed)
                _insert(damaged['dataset'], step, name)
                damaged.update(num_workers=0, persistent_workers=False)
                # torch refuses these without worker processes
                for key in ('prefetch_factor', 'multiprocessing_context', 'timeout'):
                    damaged.pop(key, None)
                result[f'{name}_{kind}{strength}'] = damaged
    return result


def corrupted_evaluators(evaluators: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Evaluators for the domains of :func:`corrupted` where each domain has its own.

    Args:
        evaluators: ``{domain: metric config or list}``.
        names: Keys of the result of :func:`corrupted`.

    Returns:
        {name: copy of the evaluator of the domain that the name begins with}; where several do
        (``city`` and ``city_night`` for ``city_night_fog1``), the longest.

    Raises:
        ValueError: A name that belongs to no domain.
    """
    result = {}
    for name in names:
        begins = [domain for domain in evaluators if f'{name}_'.startswith(f'{domain}_')]
        if not begins:
            raise ValueError(f'{name!r} is no corrupted domain of {list(evaluators)}')
        result[name] = copy.deepcopy(evaluators[max(begins, key=len)])
    return result


def _insert(dataset: Any, step: dict, name: str) -> None:
    """Put a step behind the one that loads images, in a dataset's config (wrappers are looked
    through), in place; ValueError, with the domain's ``name``, where none loads images.
    """
    # a concatenation has its datasets in 'datasets', other wrappers one in 'dataset'
    inside = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    for inner in inside:
        _insert(inner, step, name)
    if inside:
        return
    pipeline = list(dataset.get('pipeline') or ())
    # positions of LoadImageFromFile, LoadImageStack, also with a scope (mmcv.LoadImageFromFile)
    loads = [i for i, config in enumerate(pipeline) if 'LoadImage' in str(config['type'])]
    if not loads:
        raise ValueError(
            f'corrupted: domain "{name}" has no pipeline with a step that loads images')
    dataset['pipeline'] = [*pipeline[:loads[0] + 1], step, *pipeline[loads[0] + 1:]]
