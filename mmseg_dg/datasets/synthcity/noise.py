"""Fixed noise pictures, computed once per process and read at drawn offsets.

They are the same for every picture (so generating them costs nothing per picture); what differs are
the offsets and strengths, which are drawn.

Shapes: H x W pixels.
"""
from functools import cache

import cv2
import numpy as np

SIZE = 512  # a power of two: indices wrap with a bit mask


@cache
def fractal(kind: str = 'soft') -> np.ndarray:
    """Tileable noise in [0, 1], float32 (SIZE, SIZE): ``soft`` (clouds, stains) or ``rough``
    (grain, leaves).
    """
    rolloff, seed = {'soft': (0.55, 11), 'rough': (0.8, 12)}[kind]
    rng, out, amplitude = np.random.default_rng(seed), np.zeros((SIZE, SIZE), np.float32), 1.0
    # octaves of random grids, each twice as fine and ``rolloff`` times as strong as the one before
    for octave in range(7):
        cells = 4 << octave
        # continued by two cells on each side, so that the cubic interpolation joins at the edges
        # when the noise is tiled; these are cut off again
        grid = np.pad(rng.random((cells, cells), dtype=np.float32), 2, mode='wrap')
        step = SIZE // cells
        large = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        out += amplitude * large[2 * step:2 * step + SIZE, 2 * step:2 * step + SIZE]
        amplitude *= rolloff
    low, high = np.percentile(out, (0.5, 99.5))  # brought to [0, 1]; a few extremes are cut off
    return np.clip((out - low) / (high - low), 0, 1).astype(np.float32)


@cache
def sensor(kind: str = 'white') -> np.ndarray:
    """Normal noise, mean 0 and standard deviation 1, float32 (1024, 1024, 3); ``white`` or slightly
    ``blotchy``.
    """
    noise = np.random.default_rng(13).standard_normal((1024, 1024, 3), dtype=np.float32)
    if kind == 'blotchy':
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.8, borderType=cv2.BORDER_REFLECT),
                           np.float32)
        noise /= noise.std()
    return noise


def sample(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Nearest values of a fractal at float texel coordinates (column ``u``, row ``v``) of any
    shape, wrapping.
    """
    index = (v.astype(np.int32) & (SIZE - 1)) * SIZE + (u.astype(np.int32) & (SIZE - 1))
    return texture.ravel().take(index)


def sample_smooth(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear values of a fractal at float32 texel coordinates (column ``u``, row ``v``), (H, W)
    each, wrapping.
    """
    return cv2.remap(texture, np.mod(u, SIZE), np.mod(v, SIZE), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_WRAP)


def hashed(*parts: np.ndarray) -> np.ndarray:
    """A reproducible pseudo-random number in [0, 1) per element, which depends on the elements of
    all ``parts``: integer-valued arrays of one shape. Callers add 64 or 4096 to what counts from 0
    or -1: zeros alone would give 0.
    """
    state = np.zeros(np.shape(parts[0]), np.uint32)
    for k, part in enumerate(parts):
        # multiplicative hashing (Knuth's 2654435761, close to 2**32 times the golden ratio)
        state = (state ^ part.astype(np.int64).astype(np.uint32)) * np.uint32(2654435761 + 2 * k)
        state ^= state >> np.uint32(15)
    # the upper 24 bits, as many as float32 holds exactly
    return (state >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
