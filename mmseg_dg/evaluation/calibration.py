"""Whether a network's confidence can be trusted: calibration error, and errors left when unsure
pixels are set aside.

Pure functions on histograms over confidence, so that a domain of any size needs the memory of one
image. Sources: expected calibration error with equal bins: Naeini et al., AAAI 2015; Guo et al.,
"On Calibration of Modern Neural Networks", ICML 2017. Risk and coverage: Geifman and El-Yaniv,
"Selective Classification for Deep Neural Networks", NeurIPS 2017; the area under the curve:
Geifman, Uziel and El-Yaniv, ICLR 2019.

Shapes: N pixels.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor


class Histogram(NamedTuple):
    """Pixels by confidence; bin i of n holds confidences in (i / n, (i + 1) / n], the first one 0
    as well.

    Attributes:
        count: (n,) pixels.
        correct: (n,) pixels whose class is right.
        confidence: (n,) sum of their confidences.
    """
    count: np.ndarray  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    correct: np.ndarray
    confidence: np.ndarray

    # unlike those of tuples, + and - work number by number: histograms of several images add up
    def __add__(self, other: 'Histogram') -> 'Histogram':  # type: ignore[override]
        return Histogram(*(a + b for a, b in zip(self, other)))

    def __sub__(self, other: 'Histogram') -> 'Histogram':
        return Histogram(*(a - b for a, b in zip(self, other)))


def confidence_histogram(confidence: Tensor, correct: Tensor, bins: int) -> Histogram:
    """Count pixels, and add up confidence and right ones, per bin of confidence.

    Args:
        confidence: Floating point, any shape, in [0, 1].
        correct: bool, same shape.
        bins: At least 1.

    Returns:
        For each bin the number of pixels, of those that are right, and the sum of confidences.

    Raises:
        ValueError: Shapes or dtypes that do not fit, or a confidence outside [0, 1] or NaN.
    """
    fits = confidence.is_floating_point() and correct.dtype == torch.bool
    if not fits or confidence.shape != correct.shape:
        raise ValueError(
            'confidence (floating point) and correct (bool) of one shape are needed, got '
            f'{tuple(confidence.shape)} {confidence.dtype} and {tuple(correct.shape)} '
            f'{correct.dtype}')
    values, right = confidence.flatten().double(), correct.flatten().double()  # any shape -> (N,)
    if not bool(((values >= 0) & (values <= 1 + 1e-6)).all()):  # a softmax may round to above 1
        raise ValueError('confidences must lie in [0, 1]')
    # the inner edges only, so that 0 and what is above 1 fall into the first and last bin
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=values.device)[1:-1]
    index = torch.bucketize(values, edges)  # edges[i - 1] < value <= edges[i]
    return Histogram(*(torch.bincount(index, weights=w, minlength=bins).cpu().numpy()
                       for w in (torch.ones_like(values), right, values)))


def calibration_error(histogram: Histogram, bins: int = 15) -> float:
    """Expected calibration error in percent: mean over pixels of ``|accuracy - mean confidence|``
    of their bin.

    Args:
        histogram: Of a multiple of ``bins`` bins.
        bins: 15 as in Guo et al.

    Returns:
        In [0, 100]; nan without pixels.

    Raises:
        ValueError: The histogram's bins cannot be joined to ``bins``.
    """
    if len(histogram.count) % bins:
        raise ValueError(f'{len(histogram.count)} bins cannot be joined to {bins}')
    # (bins * n,) -> (bins, n) -> (bins,)
    correct, confidence = (part.reshape(bins, -1).sum(1)
                           for part in (histogram.correct, histogram.confidence))
    total = histogram.count.sum()
    # of a bin with n pixels: n * |accuracy - mean confidence| = |right pixels - sum of confidences|
    return 100 * float(np.abs(correct - confidence).sum() / total) if total else math.nan


class RiskCoverage(NamedTuple):
    """Errors among the most confident pixels; entries from the highest confidence down, empty bins
    left out.

    Attributes:
        threshold: Lower edge of the confidences that are kept.
        coverage: Share of pixels kept, in (0, 1].
        risk: Share of wrong pixels among them, in [0, 1].
        area: Area under the curve (AURC) in percent; nan without pixels.
    """
    threshold: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray
    area: float

    def risk_at(self, coverage: float) -> float:
        """Error rate in percent among the most confident pixels, of which ``coverage`` is the share
        of all, in (0, 1]; nan without pixels.
        """
        if not len(self.coverage):
            return math.nan
        # wrong pixels among those kept, as a share of all: grows linearly within a bin, from 0
        wrong = np.interp(coverage, np.r_[0, self.coverage], np.r_[0, self.risk * self.coverage])
        return 100 * float(wrong) / coverage


def risk_coverage(histogram: Histogram) -> RiskCoverage:
    """The curve of a histogram: which share of the pixels is kept, the most confident ones first,
    and the share of errors among them (risk); and the area below it in percent.

    Pixels of one bin count as equally confident, their errors as evenly spread.
    """
    bins = len(histogram.count)
    kept = np.flatnonzero(histogram.count)[::-1]  # bins with pixels, the most confident first
    count = histogram.count[kept]
    wrong = count - histogram.correct[kept]
    total = count.sum()
    if not total:
        return RiskCoverage(*(np.zeros(0), ) * 3, math.nan)
    # pixels kept, and errors among them, once a bin is added; and those before it
    after, errors = np.cumsum(count), np.cumsum(wrong)
    before, earlier = after - count, errors - wrong
    # The area is the mean over all pixels of the risk when a pixel is the last one kept. For pixel
    # j = 1..k of a bin that is (W + w j / k) / (N + j), with k and w the bin's pixels and errors,
    # N and W those before it; the sum over j is w + (W - w N / k) (psi(N + k + 1) - psi(N + 1))
    # with the digamma function psi
    ends, starts = (torch.digamma(torch.from_numpy(n + 1)).numpy() for n in (after, before))
    area = (wrong + (earlier - wrong * before / count) * (ends - starts)).sum() / total
    return RiskCoverage(kept / bins, after / total, errors / after, 100 * float(area))


def calibration_scores(histogram: Histogram, bins: int = 15,
                       coverages: Sequence[float] = (0.9, 0.5),
                       curve: Optional[RiskCoverage] = None) -> dict[str, float]:
    """``ECE``, ``confidence`` (mean), ``accuracy``, ``AURC`` and ``risk.<percent>``, all in
    percent; nan without pixels.

    Args:
        histogram: Of a multiple of ``bins`` bins.
        bins: Of the calibration error.
        coverages: Shares of kept pixels at which the risk is told.
        curve: Of the histogram, where it is known.
    """
    total = histogram.count.sum()
    curve = risk_coverage(histogram) if curve is None else curve
    return dict(ECE=calibration_error(histogram, bins),
                confidence=100 * float(histogram.confidence.sum() / total) if total else math.nan,
                accuracy=100 * float(histogram.correct.sum() / total) if total else math.nan,
                AURC=curve.area, **{f'risk.{round(100 * c)}': curve.risk_at(c)
                                    for c in coverages})
