"""What predictions alone say about a network on images without labels; pure functions.

Nothing here knows the truth: a network that is wrong with confidence scores well on most of these
numbers, which is why they are several, and why docs/choosing_without_labels.md asks for a measured
regret before one is relied on. Sources, by score:

- entropy: Grandvalet and Bengio, "Semi-supervised Learning by Entropy Minimization", NeurIPS 2004;
  to choose settings of domain adaptation: Morerio, Cavazza and Murino, "Minimal-Entropy Correlation
  Alignment", ICLR 2018.
- information maximization: Krause, Perona and Gomes, "Discriminative Clustering by Regularized
  Information Maximization", NeurIPS 2010; as a validator: Musgrave, Belongie and Lim,
  arXiv:2208.07360.
- soft neighborhood density: Saito et al., "Tune it the Right Way", ICCV 2021, arXiv:2108.10860.
- flip agreement: Deng, Gould and Zheng, "On the Strong Correlation Between Model Invariance and
  Generalization", NeurIPS 2022 (effective invariance; here without its confidence factor).
- student-teacher agreement: Jiang et al., "Assessing Generalization of SGD via Disagreement",
  ICLR 2022 (between two trainings there, between a network and its average here).
- confident share: the weight of self-training in DACS and DAFormer
  (docs/behavior/daformer_hrda.md); as an estimate of accuracy: Garg et al., "Leveraging Unlabeled
  Data to Predict Out-of-Distribution Performance", ICLR 2022.
- class balance: class-ratio priors of ADVENT (Vu et al., CVPR 2019); the divergence
  (Jensen-Shannon) is ours.

Shapes: C classes, H x W pixels.
"""
import math
from typing import NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor

from mmseg_dg.ops.precision import at_least_float32

#: All scores, in the order of reports.
SCORES = ('info_max', 'flip_agreement', 'class_balance', 'density', 'teacher_agreement',
          'confident', 'entropy')
#: Temperature of soft neighborhood density in its paper.
TEMPERATURE = 0.05
#: Elements of a class map that are worked on at once; bounds the memory for large images.
_BLOCK = 1 << 22


class ImageStatistics(NamedTuple):
    """Sums over the pixels of one image or, added up, of many; every score follows from them.

    Attributes:
        images: Number of images.
        pixels: Number of pixels.
        entropy: Sum of the pixels' entropies in nats.
        confident: Pixels whose highest probability reaches the threshold.
        density: Sum over images of their normalized soft neighborhood density in [0, 1].
        density_images: Images that have one (of three sampled pixels or more).
        flip_pixels, flip_same: Pixels compared with the mirrored prediction, and those of equal
            class.
        other_pixels, other_same: The same for the other network.
        probability: (C,) sum of the class probabilities over pixels.
        predicted: (C,) pixels by predicted class.
    """
    images: float
    pixels: float
    entropy: float
    confident: float
    density: float
    density_images: float
    flip_pixels: float
    flip_same: float
    other_pixels: float
    other_same: float
    probability: np.ndarray
    predicted: np.ndarray

    def vector(self) -> np.ndarray:
        """All numbers in one float64 array (10 + 2 C,), which can be added over images and
        processes."""
        # the first ten fields are numbers
        return np.concatenate([np.asarray(self[:10], np.float64), self.probability, self.predicted])

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> 'ImageStatistics':
        """The inverse of :meth:`vector`."""
        classes = (len(vector) - 10) // 2
        return cls._make(
            [*(float(v) for v in vector[:10]), vector[10:10 + classes], vector[10 + classes:]])


@torch.no_grad()
def image_statistics(logits: Tensor, mirrored: Optional[Tensor] = None,
                     other: Optional[Tensor] = None, threshold: float = 0.968,
                     density_pixels: int = 256,
                     temperature: float = TEMPERATURE) -> ImageStatistics:
    """Sums of one image.

    Args:
        logits: Floating point (C, H, W), C >= 2, before the softmax.
        mirrored: int64 (H, W), classes predicted for the mirrored image, mirrored back; None: not
            compared.
        other: int64 (H, W), classes of another network for the same image; None: not compared.
        threshold: Lowest probability that counts as confident (``>=``), in [0, 1].
        density_pixels: At most so many pixels, on a regular grid, take part in the neighborhood
            density; 0: none.
        temperature: Of the neighborhood density.

    Returns:
        :class:`ImageStatistics` of one image; sums in float64, probabilities in float32 (float64
        for float64 logits).

    Raises:
        ValueError: Wrong shape or dtype, a single class, numbers that are not finite, or maps of
            another size.
    """
    if logits.dim() != 3 or not logits.is_floating_point() or logits.shape[0] < 2:
        raise ValueError('logits must be floating point (C, H, W) of at least two classes, got '
                         f'{tuple(logits.shape)} {logits.dtype}')
    classes, height, width = logits.shape
    for name, ids in (('mirrored', mirrored), ('other', other)):
        if ids is not None and tuple(ids.shape) != (height, width):
            raise ValueError(f'{name} must be class ids ({height}, {width}) as the logits, got '
                             f'{tuple(ids.shape)}')
    entropy, confident, probability = _pixel_sums(logits, threshold)
    ids = logits.argmax(0)
    density = None
    if density_pixels:
        density = neighborhood_density(grid_probabilities(logits, density_pixels), temperature)
    flip_pixels, flip_same = _agreement(ids, mirrored)
    other_pixels, other_same = _agreement(ids, other)
    # pixels of each predicted class, (H, W) -> (C,)
    predicted = torch.bincount(ids.flatten(), minlength=classes).double()
    return ImageStatistics(images=1, pixels=height * width, entropy=entropy, confident=confident,
                           density=density or 0., density_images=float(density is not None),
                           flip_pixels=flip_pixels, flip_same=flip_same, other_pixels=other_pixels,
                           other_same=other_same, probability=probability.cpu().numpy(),
                           predicted=predicted.cpu().numpy())


def _pixel_sums(logits: Tensor, threshold: float) -> tuple[float, float, Tensor]:
    """Sums over the pixels of logits (C, H, W): entropy, number of confident ones, and class
    probabilities, float64 (C,). A few rows at a time, for large images.

    Raises:
        ValueError: Logits that are not finite.
    """
    classes, height, width = logits.shape
    entropy, confident = 0., 0.
    probability = torch.zeros(classes, dtype=torch.float64, device=logits.device)
    rows = max(1, _BLOCK // max(1, classes * width))  # of a block
    for start in range(0, height, rows):
        log_p = at_least_float32(logits[:, start:start + rows]).log_softmax(0)  # (C, rows, W)
        if not torch.isfinite(log_p.amax(0)).all():
            raise ValueError(
                'the logits are not finite (NaN or infinite), so that there are no probabilities')
        p = log_p.exp()
        # p = 0 with log p = -inf counts as 0, its limit
        terms = log_p.clamp_(min=torch.finfo(log_p.dtype).min) * p
        entropy -= float(terms.sum(dtype=torch.float64))
        confident += float((p.amax(0) >= threshold).sum())
        probability += p.sum((1, 2), dtype=torch.float64)
    return entropy, confident, probability


def _agreement(ids: Tensor, other: Optional[Tensor]) -> tuple[float, float]:
    """Number of pixels compared and of equal class, for two (H, W) maps; 0 and 0 without one."""
    if other is None:
        return 0., 0.
    return float(ids.numel()), float((ids == other.to(ids.device)).sum())


def grid_probabilities(logits: Tensor, count: int) -> Tensor:
    """Class probabilities of at most ``count`` pixels on a regular grid over the image.

    Args:
        logits: Floating point (C, H, W).
        count: At least 1.

    Returns:
        (n, C), n <= count, row by row; all pixels of a map that has no more.
    """
    height, width = logits.shape[1:]
    # rows x columns <= count, in about the image's proportions; every pixel of a small map
    rows = height
    if height * width > count:
        rows = max(1, min(height, int(math.sqrt(count * height / width))))
    columns = max(1, min(width, count // rows))
    # centers of ``rows`` and ``columns`` equal parts of the image's sides
    y, x = ((torch.arange(n, device=logits.device) * 2 + 1) * size // (2 * n)
            for n, size in ((rows, height), (columns, width)))
    chosen = at_least_float32(logits[:, y][:, :, x])  # (C, r, c)
    return chosen.flatten(1).t().softmax(1)  # (r c, C)


def neighborhood_density(probabilities: Tensor,
                         temperature: float = TEMPERATURE) -> Optional[float]:
    """Mean entropy of the soft neighborhoods of pixels, as a share of the highest possible.

    Each pixel's neighborhood is the softmax over all *other* pixels of the cosine similarity of
    class probabilities divided by the temperature (arXiv:2108.10860, equations 1 to 3). The paper
    takes the samples of the whole target set; here pixels of one image are compared, and images
    averaged.

    Args:
        probabilities: Floating point (n, C), n pixels.
        temperature: Above 0.

    Returns:
        In [0, 1], log(n - 1) being 1; None for fewer than three pixels.
    """
    n = len(probabilities)
    if n < 3:
        return None
    unit = torch.nn.functional.normalize(probabilities, dim=1)
    similarity = unit @ unit.t() / temperature  # (n, n)
    similarity.fill_diagonal_(-math.inf)  # a pixel is no neighbor of its own
    log_p = similarity.log_softmax(1)
    # log p = -inf is raised to the lowest number, so that p log p is 0 there and not nan
    entropy = -(log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(1)
    return float(entropy.double().mean()) / math.log(n - 1)


def label_free_scores(sums: ImageStatistics,
                      prior: Optional[np.ndarray] = None) -> dict[str, float]:
    """Scores of the sums over a domain, in percent, unrounded.

    Args:
        sums: Of all images.
        prior: (C,) class shares the domain is expected to have (the source's); None: no class
            balance.

    Returns:
        ``entropy`` (0: sure, 100: uniform; less is better), ``info_max`` (entropy of the mean
        prediction less the mean entropy), ``density``, ``confident``, ``flip_agreement``,
        ``teacher_agreement``, ``class_balance`` (100: the mean prediction has the prior's shares).
        Scores without material are left out; nan without pixels.
    """
    log_classes = math.log(len(sums.probability))
    mean = sums.probability / max(sums.pixels, 1.)
    entropy = _share(sums.entropy, sums.pixels) / log_classes
    # sure about each pixel and unsure about the whole: high where all classes are predicted
    found = dict(entropy=entropy, info_max=100 * entropy_of(mean) / log_classes - entropy,
                 confident=_share(sums.confident, sums.pixels))
    if sums.density_images:
        found['density'] = _share(sums.density, sums.density_images)
    if sums.flip_pixels:
        found['flip_agreement'] = _share(sums.flip_same, sums.flip_pixels)
    if sums.other_pixels:
        found['teacher_agreement'] = _share(sums.other_same, sums.other_pixels)
    if prior is not None:
        found['class_balance'] = 100 * (1 - jensen_shannon(mean, prior / prior.sum()))
    return found


def _share(part: float, whole: float) -> float:
    """100 * part / whole; nan where ``whole`` is 0."""
    return 100 * part / whole if whole else math.nan


def entropy_of(p: np.ndarray) -> float:
    """Entropy of a distribution (C,) in nats; zeros count as 0."""
    kept = p[p > 0]
    return float(-(kept * np.log(kept)).sum())


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of two distributions (C,) in bits: 0 for equal ones, 1 for disjoint
    ones."""
    return (entropy_of((p + q) / 2) - (entropy_of(p) + entropy_of(q)) / 2) / math.log(2)
