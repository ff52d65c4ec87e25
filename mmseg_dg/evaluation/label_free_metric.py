"""An evaluator for domains without masks.

Shapes: C classes, H x W pixels.
"""
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Callable, Optional, Union

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmseg_dg.registry import METRICS
from mmseg_dg.utils.method import method_of
from mmseg_dg.utils.modules import HasNetworks
from mmseg_dg.utils.rounding import ceil_div

from .class_maps import class_id
from .label_free import (
    SCORES,
    TEMPERATURE,
    ImageStatistics,
    image_statistics,
    label_free_scores,
)
from .score_direction import less_is_better

#: What makes up ``label_free`` where nothing else is said, as far as the evaluation has it.
COMBINED = ('info_max', 'flip_agreement', 'class_balance')
Prior = Union[str, Sequence[float], Mapping[Union[str, int], float]]


@METRICS.register_module()
class LabelFreeMetric(BaseMetric):
    """Scores of a domain's predictions without a label: :mod:`mmseg_dg.evaluation.label_free` says
    which and whence.

    Works as the evaluator of a domain whose dataset has no masks, and beside
    :class:`ConfusionMatrixMetric` of one that has. In percent: ``label_free`` (the mean of
    ``combine``; greater is better), then what it is made of and the other scores. Choose the best
    checkpoint by it: ``save_best='<domain>/label_free'``.

    A domain of N images needs N forward passes more for ``flip``, and N more for ``teacher``.
    Memory does not grow with the dataset. Repeated images of ``DefaultSampler`` are subtracted as
    in :class:`ConfusionMatrixMetric`.

    Args:
        prior: Class shares of the source: a list in the order of the classes, a dict by class name,
            or the name of a labeled training stream of the run (``'source'``), whose label files
            are then counted (and kept in the cache of class statistics). None: no
            ``class_balance``.
        combine: Scores whose mean is ``label_free``; None: information maximization, flip agreement
            and class balance as far as ``flip`` and ``prior`` allow. ``entropy`` enters as 100 -
            entropy. Compare only numbers of one choice.
        flip: Predict each image mirrored as well.
        teacher: Compare with another network of the method: True takes the teacher where the
            student is evaluated and the student where the teacher is, and nothing where a method
            has no such pair; a name (``'adaptive'`` of DeFT) must exist.
        threshold: Lowest probability that counts as confident.
        density_pixels: Pixels per image of the neighborhood density; 0: none.
        temperature: Of the neighborhood density.
        prefix: Put before every key.
        collect_device: Kept for mmengine's interface.

    Raises:
        ValueError: Unknown or unavailable scores in ``combine``, a number out of range, a prior
            that does not fit.

    Attributes:
        image_scores: One dict per image this process judged, ``img_path`` and the image's own
            scores, until the next evaluation begins.
    """
    def __init__(self, prior: Optional[Prior] = None, combine: Optional[Sequence[str]] = None,
                 flip: bool = True, teacher: Union[bool, str] = True, threshold: float = 0.968,
                 density_pixels: int = 256, temperature: float = TEMPERATURE,
                 prefix: Optional[str] = None, collect_device: str = 'cpu') -> None:
        # None makes mmengine warn
        super().__init__(collect_device=collect_device, prefix=prefix or 'unset')
        self.prefix = prefix
        if not 0 <= threshold <= 1 or not temperature > 0 or density_pixels < 0:
            raise ValueError(
                'LabelFreeMetric: threshold in [0, 1], temperature > 0 and density_pixels >= 0 '
                f'are needed, got {threshold}, {temperature}, {density_pixels}')
        self.flip, self.teacher, self.threshold = flip, teacher, threshold
        self.density_pixels, self.temperature = density_pixels, temperature
        self.prior_of = prior
        self.combine = self._checked(combine)
        self.image_scores: list[dict] = []
        # given by use_run: predicts a batch; the method; name of the network to compare with
        self._step: Optional[Callable[[dict], Sequence]] = None
        self._method: Any = None
        self._other = ''
        # class shares (C,): given by set_prior, or made of ``prior_of`` when they are needed
        self._prior: Optional[np.ndarray] = None
        self._reset()

    def _checked(self, combine: Optional[Sequence[str]]) -> tuple[str, ...]:
        """Names of the scores that are averaged to ``label_free``: those of ``COMBINED`` that are
        computed, or those asked for; ValueError for one that is not computed.
        """
        asked = dict(flip_agreement=self.flip, teacher_agreement=self.teacher,
                     class_balance=self.prior_of is not None, density=self.density_pixels)
        off = {name for name, on in asked.items() if not on}
        if combine is None:
            return tuple(name for name in COMBINED if name not in off)
        wrong = [name for name in combine if name not in SCORES or name in off]
        if wrong or not combine:
            raise ValueError(
                f'LabelFreeMetric: combine={list(combine)} needs scores that are computed; '
                f'{wrong} are not. There are {[name for name in SCORES if name not in off]}; '
                'flip_agreement needs flip=True, teacher_agreement teacher, class_balance prior, '
                'density density_pixels')
        return tuple(combine)

    def _reset(self) -> None:
        """Forget the images of this evaluation."""
        # vectors of :class:`ImageStatistics`: of the images so far, of the last one alone
        self._sum: Optional[np.ndarray] = None
        self._last: Optional[np.ndarray] = None
        self._count = 0  # images so far

    @property
    def note(self) -> str:
        """A sentence for the written report."""
        said = f'label_free is the mean of {", ".join(self.combine)}; no label was read for it'
        if self.prior_of is not None:
            return said
        return f'{said}, and no prior is given, with which class_balance would be part of it'

    @property
    def score_names(self) -> tuple[str, ...]:
        """Keys an evaluation can have, without prefix; what ``save_best`` may name."""
        names = ('label_free', *self._checked(None), *self.combine, 'confident', 'entropy',
                 *(['density'] if self.density_pixels else []),
                 *(['teacher_agreement'] if self._other else []))
        return tuple(dict.fromkeys(names))

    # ------------------------------------------------------------------ what the run gives
    def use_run(self, runner: Any, step: Callable[[dict], Sequence], domain: str = '') -> None:
        """Take the run's network; the evaluation loops call it before the first image.

        Args:
            runner: Whose method is evaluated.
            step: Predicts a batch as the evaluation does.
            domain: Not used.

        Raises:
            ValueError: Test-time augmentation with ``flip`` or ``teacher``, or a network that does
                not exist.
        """
        self.use_model(method_of(runner), step)

    def use_model(self, model: Any, step: Callable[[dict], Sequence]) -> None:
        """Take the network to predict with.

        :meth:`use_run` calls it for a run. Called alone, without a run, nobody counts the classes
        of a training stream: a prior must then be given as numbers.
        """
        # the wrapper of test-time augmentation hides the method, whose evaluated network would be
        # exchanged for a comparison with the teacher
        if isinstance(model, BaseTTAModel) and (self.flip or self.teacher):
            raise ValueError(
                'LabelFreeMetric: test-time augmentation mirrors the images itself: set '
                'flip=False and teacher=False, or test without it')
        self._step, self._method = step, model
        self._other = self._other_network(model)
        if 'teacher_agreement' in self.combine and not self._other:
            raise ValueError(
                f'LabelFreeMetric: combine names teacher_agreement, but {type(model).__name__} '
                'has no teacher and student: choose other scores')

    def _other_network(self, model: Any) -> str:
        """Name of the network that the evaluated one is compared with; '' for none."""
        if not self.teacher or not isinstance(model, HasNetworks):
            return ''
        names = list(model.networks())
        if isinstance(self.teacher, str):
            if self.teacher not in names:
                raise ValueError(f'LabelFreeMetric: teacher={self.teacher!r} is not a network of '
                                 f'{type(model).__name__}: use one of {names}')
            # ``evaluate``: name of the network whose predictions are scored
            return '' if self.teacher == model.evaluate else self.teacher
        pair = dict(student='teacher', teacher='student')
        other = pair.get(model.evaluate, '')
        return other if other in names else ''

    def set_prior(self, shares: np.ndarray) -> None:
        """Class shares (or pixel counts) of the stream that ``prior`` names, (C,); the evaluation
        loops count them."""
        self._prior = np.asarray(shares, np.float64)

    def _shares(self, classes: int) -> Optional[np.ndarray]:
        """The prior (C,) as non-negative numbers, None without one; ValueError for one that does
        not fit ``classes`` classes.
        """
        if self._prior is None and self.prior_of is not None:
            if isinstance(self.prior_of, str):
                raise ValueError(
                    f'LabelFreeMetric: prior={self.prior_of!r} names a training stream, but there '
                    'is no run: give the shares themselves')
            if isinstance(self.prior_of, Mapping):
                names = (self.dataset_meta or {}).get('classes') or ()
                by_class = {
                    class_id(key, names, 'prior'): float(share)
                    for key, share in self.prior_of.items()
                }
                self._prior = np.array([by_class.get(i, 0.) for i in range(classes)])
            else:
                self._prior = np.asarray(self.prior_of, np.float64)
        if self._prior is not None and (self._prior.shape != (classes, )
                                        or not self._prior.sum() > 0 or self._prior.min() < 0):
            raise ValueError(
                f'LabelFreeMetric: prior needs one number >= 0 for each of the {classes} '
                f'predicted classes and a positive sum, got {self._prior.tolist()}')
        return self._prior

    # ------------------------------------------------------------------ images
    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add up a batch.

        Args:
            data_batch: What was predicted: ``inputs`` (B images (3, h, w)) and ``data_samples``;
                used by ``flip`` and ``teacher``.
            data_samples: Dicts with ``seg_logits.data`` (C, H, W) and ``img_path``.

        Raises:
            ValueError: No logits, or such that are not finite; the message names the file.
        """
        if self._count == 0:
            self.image_scores = []
        mirrored, others = self._predict_again(data_batch, len(data_samples))
        for index, sample in enumerate(data_samples):
            path = str(sample.get('img_path') or 'a sample without img_path')
            logits = _map(sample, 'seg_logits')
            if logits is None:
                raise ValueError(
                    f'{path}: the network gives classes without logits, so that LabelFreeMetric '
                    'has no probabilities')
            try:
                found = image_statistics(two_channels(logits), mirrored[index], others[index],
                                         self.threshold, self.density_pixels, self.temperature)
            except ValueError as error:
                raise ValueError(f'{path}: {error}') from error
            self._count += 1
            # kept because several processes may judge the last image twice: it is taken off again
            self._last = found.vector()
            self._sum = self._last if self._sum is None else self._sum + self._last
            self.image_scores.append(
                dict(img_path=str(sample.get('img_path') or ''), **self._scores(found)))

    def _predict_again(self, batch: Any,
                       size: int) -> tuple[Sequence[Optional[Tensor]], Sequence[Optional[Tensor]]]:
        """Two lists with class ids (H, W) for each of the ``size`` images: those of the mirrored
        images, mirrored back, and those of the other network; None where not asked."""
        nothing: list[Optional[Tensor]] = [None] * size
        if not (self.flip or self._other):
            return nothing, nothing
        step = self._step
        if step is None:
            raise ValueError(
                'LabelFreeMetric: flip and teacher predict again, but nothing gave it a network: '
                'use it in MultiDomainValLoop or MultiDomainTestLoop, or set flip=False and '
                'teacher=False')
        mirrored: Sequence[Optional[Tensor]] = nothing
        others: Sequence[Optional[Tensor]] = nothing
        if self.flip:
            # (C, H, W) and (H, W) alike: width comes last
            mirrored = [ids.flip(-1) for ids in _classes(step, _fresh(batch, mirror=True))]
        if self._other:
            with evaluating(self._method, self._other):
                others = _classes(step, _fresh(batch))
        return mirrored, others

    # ------------------------------------------------------------------ the domain
    def evaluate(self, size: int) -> dict[str, float]:
        """Sum over the processes and score; every process gets the same result.

        Args:
            size: Number of images of the dataset, without the sampler's padding.

        Raises:
            ValueError: A process judged more images than padding explains, or processes without an
                image.
        """
        rank, world_size = get_dist_info()
        # this rank's images: numbers rank, rank + world_size, ...
        share = max(0, ceil_div(size - rank, world_size))
        surplus = self._count - share
        if surplus > 1:
            raise ValueError(
                f'process {rank} of {world_size} judged {self._count} images, its share of a '
                'dataset of '
                f"{size} is {share}: evaluate with sampler=dict(type='DefaultSampler', "
                "shuffle=False)")
        if self._sum is None:
            raise ValueError(f'process {rank} of {world_size} judged no image')
        # a surplus image is one that the sampler repeats to divide the images evenly: the last
        total = torch.from_numpy(self._sum - (self._last if surplus == 1 else 0))
        all_reduce(total)
        self._reset()
        sums = ImageStatistics.from_vector(total.numpy())
        if sums.images < size:
            print_log(
                f'only {sums.images:.0f} of {size} images were evaluated: does the dataloader '
                'drop its last batch?', logger='current', level=logging.WARNING)
        found = self._scores(sums)
        return {f'{self.prefix}/{k}': v for k, v in found.items()} if self.prefix else found

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores of the sum of statistics vectors."""
        return self._scores(ImageStatistics.from_vector(sum(results)))

    def _scores(self, sums: ImageStatistics) -> dict[str, float]:
        """All scores of the given sums by name, ``label_free`` (the mean of those combined, higher
        is better) first.
        """
        found = label_free_scores(sums, self._shares(len(sums.probability)))
        parts = [
            100 - found[name] if less_is_better(name) else found[name] for name in self.combine
        ]
        ordered = {name: found[name] for name in SCORES if name in found}
        return dict(label_free=sum(parts) / len(parts), **ordered)


def _classes(step: Callable[[dict], Sequence], batch: dict) -> list[Tensor]:
    """Predicted ids (H, W) of a batch's images."""
    # of the logits, as the first prediction's: a network may post-process its classes
    return [two_channels(sample.seg_logits.data).argmax(0) for sample in step(batch)]


@contextmanager
def evaluating(method: Any, name: str) -> Iterator[None]:
    """Inside, the method predicts with its network ``name``: with the one that ``method.evaluate``
    names, which is set back afterwards.
    """
    before, method.evaluate = method.evaluate, name
    try:
        yield
    finally:
        method.evaluate = before


def two_channels(logits: Tensor) -> Tensor:
    """Logits (C, H, W) as they are; of one channel, where mmseg has applied the sigmoid, logits of
    two classes."""
    if logits.shape[0] != 1:
        return logits
    p = logits.clamp(torch.finfo(logits.dtype).tiny, 1 - torch.finfo(logits.dtype).eps)
    return torch.cat([(1 - p).log(), p.log()])


def _map(sample: Any, key: str) -> Optional[Tensor]:
    """The tensor of a pixel map by its key, of a sample given as a dict or as a data element; None
    if it has no such map.
    """
    if key not in sample:
        return None
    entry = sample[key] if isinstance(sample, dict) else sample.get(key)
    return entry['data'] if isinstance(entry, dict) else entry.data


def _fresh(batch: dict, mirror: bool = False) -> dict:
    """The batch with new samples of the same meta information (a prediction is written into them,
    and must not replace the first one), its images mirrored left to right if asked."""
    inputs = batch['inputs']
    if mirror:
        inputs = inputs.flip(-1) if isinstance(inputs,
                                               Tensor) else [image.flip(-1) for image in inputs]
    samples = [
        type(s)(metainfo=dict(s.metainfo)) if isinstance(s, BaseDataElement) else s
        for s in batch['data_samples']
    ]
    return dict(batch, inputs=inputs, data_samples=samples)
