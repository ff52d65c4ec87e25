"""PiXL's alignment term: unreliable pixels are drawn to class prototypes of reliable ones.

Shapes: B images, D channels, h x w places of a smaller map.
"""
import math
from collections.abc import Sequence
from typing import Callable, Optional, Union

import torch
from torch import Tensor, nn

from mmseg_dg.ops.entropy import check_fraction, highest_pixels, linear_schedule, pixel_entropy
from mmseg_dg.ops.labels import check_ignore_index
from mmseg_dg.ops.pixel_alignment import (
    GROUPINGS,
    SELECTIONS,
    ClassSums,
    PixelView,
    Prototypes,
    class_prototypes,
    class_sums,
    gather_pixels,
    group_images,
    info_nce,
    select_prototypes,
)
from mmseg_dg.registry import MODELS

from .alignment import (
    AlignmentImages,
    AlignmentResult,
    DecoderFacts,
    build_projection,
    check_choice,
    check_passes,
    check_term,
    labels_on,
    resized,
    without_autocast,
    without_detail,
)
from .alignment_parts import Ahead, Partition, Settled

#: What the term may do with the graph of the first of two passes.
PAIRS = ('joint', 'recompute', 'streaming')
PARTITIONS = ('entropy', 'random', 'all')
ETA_MEANINGS = ('drift_fraction', 'joint_fraction', 'threshold')


@MODELS.register_module()
class PixelAlignment(nn.Module):
    """Pixel-level sub-domain partition, adaptive prototypes and drift pixel alignment.

    In every image and resolution the share ``eta`` of valid pixels with the highest entropy are
    *drift* pixels, the others *joint* pixels. Class prototypes are means of the joint pixels of two
    images; drift pixels are drawn to the prototype of their class by InfoNCE, and prototypes stay
    where they are. Source: PiXL (Gan et al., ICLR 2024). The paper's equations are not public: what
    follows is the reconstruction of docs/behavior/pixl.md#alignment-loss with the defaults of
    docs/behavior/pixl.md#unknown-settings.

    The loss is the mean over the drift pixels of all images and resolutions whose class has a
    prototype, times ``weight``. Pixel weights multiply the terms, not the number of pixels. Without
    such a pixel it is exactly 0.

    Args:
        weight: Factor of the loss.
        temperature: Of InfoNCE.
        eta: Share of drift pixels at the first and the last iteration, linear between (the paper's
            numbers).
        eta_meaning: ``'drift_fraction'``; or ``'joint_fraction'``, the share of joint pixels (those
            of lowest entropy); or ``'threshold'``, drift pixels are those with entropy / log C
            above eta.
        partition: ``'entropy'``; ``'random'`` draws as many drift pixels at random (where eta is a
            share); with ``'all'`` every valid pixel is in both sets.
        selection: Which resolution's prototype a class gets
            (:func:`mmseg_dg.ops.pixel_alignment.select_prototypes`). Without meaning for one
            resolution.
        prototypes: Images that share prototypes: ``'pair'`` (slot i of both passes; two neighbors
            of the batch where there is one pass), ``'batch'`` (the images of one pass), ``'step'``
            (all of them) or ``'image'``.
        pair: ``'joint'`` holds the graph of the first pass until the second, then aligns both.
            ``'recompute'`` has the same gradients with one graph alive: the images of the second
            pass first go through the network without gradients, for their prototypes and drift
            pixels, and once more in their own pass (time for memory). ``'streaming'`` aligns the
            first pass to its own prototypes at once and the second to those of both, each with half
            of the weight.
        min_pixels: Joint pixels a class needs for a prototype.
        agreement: Joint pixels must also be predicted as their label.
        start: First iteration with the term.
        resolution: Side of square maps everything is resized to, as CLUDA does (65); None keeps the
            decoder's maps.
        projection: ``dict(channels=256)`` for a projection head
            (:func:`mmseg_dg.models.losses.alignment.build_projection`); None for the decoder's
            features themselves.
        drop_covered: Leave out the pixels of the context map that the detail crop covers.
        ignore_zero_weight: Pixels of weight 0 are ignored as if they had no label: eta counts the
            others, and they make no prototypes. False keeps them as pixels whose terms are 0.
            (``FixMatch`` and ``UniMatch`` set True: their unsure pixels weigh 0, and drift pixels
            are the unsure ones.)
        ignore_index: Label to leave out.
        decoder: Facts about the network, for a projection; methods fill it in.

    Raises:
        ValueError: Unknown or out-of-range arguments; the message has name and value.
    """

    #: Log name of the term.
    loss_name = 'loss_pixel_alignment'

    def __init__(self, weight: float = 0.1, temperature: float = 0.1,
                 eta: Sequence[float] = (0.2, 0.001), eta_meaning: str = 'drift_fraction',
                 partition: str = 'entropy', selection: str = 'entropy', prototypes: str = 'pair',
                 pair: str = 'joint', min_pixels: int = 1, agreement: bool = False, start: int = 0,
                 resolution: Optional[int] = None, projection: Optional[dict] = None,
                 drop_covered: bool = False, ignore_zero_weight: bool = False,
                 ignore_index: int = 255, decoder: Optional[DecoderFacts] = None) -> None:
        super().__init__()
        name = type(self).__name__
        check_term(name, weight, temperature, start, resolution)
        if not isinstance(eta, (list, tuple)) or len(eta) != 2:
            raise ValueError(f'{name}: eta is two numbers, at the first and the last iteration, '
                             f'got {eta!r}')
        if min_pixels < 1:
            raise ValueError(f'{name}: min_pixels={min_pixels} must be at least 1')
        self.eta = (check_fraction(f'{name}: eta', eta[0]), check_fraction(f'{name}: eta', eta[1]))
        self.weight, self.temperature = weight, temperature
        self.eta_meaning = check_choice(name, 'eta_meaning', eta_meaning, ETA_MEANINGS)
        self.partition = check_choice(name, 'partition', partition, PARTITIONS)
        self.selection = check_choice(name, 'selection', selection, SELECTIONS)
        if partition == 'random' and eta_meaning == 'threshold':
            raise ValueError(f"{name}: partition='random' draws a share of the pixels, "
                             "eta_meaning='threshold' gives none: use 'drift_fraction' or "
                             "'joint_fraction'")
        self.prototypes = check_choice(name, 'prototypes', prototypes, GROUPINGS)
        self.pair = check_choice(name, 'pair', pair, PAIRS)
        self.min_pixels, self.agreement = min_pixels, agreement
        self.start, self.resolution = start, resolution
        self.drop_covered, self.ignore_zero_weight = drop_covered, ignore_zero_weight
        self.ignore_index = ignore_index
        # the attribute's name has "head", so that it gets the learning rate of decoders
        self.projection_head = None if projection is None else build_projection(
            name, decoder, **projection)

    @property
    def needs_seed(self) -> bool:
        """Whether a step needs a drawn seed."""
        return self.partition == 'random'

    def eta_at(self, iteration: int, total: Optional[int]) -> float:
        """eta at a 0-based iteration of a run of ``total`` iterations (None, unknown: the first
        value).
        """
        return linear_schedule(self.eta[0], self.eta[1], iteration, total)

    def forward(self, images: Sequence[AlignmentImages], iteration: int = 0,
                total: Optional[int] = None, memory: Union[list, Settled,
                                                           None] = None, pass_follows: bool = False,
                seed: Optional[int] = None, reduce_count: Optional[Callable[[Tensor],
                                                                            Tensor]] = None,
                ahead: Optional[Ahead] = None) -> AlignmentResult:
        """The alignment loss of one pass of a training step.

        Args:
            images: One entry per pass (labeled; mixed or unlabeled), slot i of each forming a
                pair. One entry without ``memory`` and ``pass_follows`` pairs neighbors within the
                batch.
            iteration, total: Position in the run, for eta.
            memory: ``AlignmentResult.memory`` of the step's earlier pass, if any: class sums, which
                count for the prototypes, or :class:`Settled` (``pair='recompute'``).
            pass_follows: Another pass of the step follows, which gets this one's memory.
            seed: For ``partition='random'``.
            ahead: What :meth:`look_ahead` saw of the later pass (``pair='recompute'``): both passes
                then give their parts of the loss that both together have.
            reduce_count: Maps this process's number of aligned pixels to the mean number per
                process, where statistics are shared between processes; None keeps the process's
                own.

        Returns:
            The loss, 0-d; what a later pass gets as ``memory``; values for the log, 0-d.

        Raises:
            ValueError: Maps and labels that cannot be aligned, passes of different batch sizes or
                resolutions.
        """
        check_passes(images)
        eta = self.eta_at(iteration, total)
        with without_autocast(images[0].labels.device):
            if isinstance(memory, Settled):  # the second pass of pair='recompute'
                return self._keep_to(memory, images, eta, seed)
            return self._of_pass(images, eta, memory or [], pass_follows, seed, reduce_count, ahead)

    def _of_pass(self, images: Sequence[AlignmentImages], eta: float, memory: list[list[ClassSums]],
                 pass_follows: bool, seed: Optional[int], reduce_count: Optional[Callable[[Tensor],
                                                                                          Tensor]],
                 ahead: Optional[Ahead]) -> AlignmentResult:
        """The loss of a pass whose prototypes are made now; arguments as of :meth:`forward`, with
        the class sums of the passes before as ``memory``.
        """
        parts = self.partitions(images, eta, seed, len(memory))  # [set of images][resolution]
        sums = [[self._sums(part) for part in views] for views in parts]
        later = [] if ahead is None else ahead.sums
        # prototypes of all passes known by now; only this pass's pixels are drawn to them
        chosen, groups = self._prototypes(memory + sums + later, only_pass=not pass_follows)
        first, last = len(memory), len(memory) + len(sums)  # this pass's sets among all
        loss, count = self._aligned(parts, groups[first:last], chosen)
        drifting = [part.drift.sum() for views in parts for part in views]
        if ahead is not None:  # the mean is over the drift pixels of both passes
            drifting += [x.sum() for views in ahead.drift for x in views]
            count = count + _alignable(ahead, groups[last:], chosen)
        # two passes of a step give half of the loss each; 'recompute' divides by the pixels of both
        share = 0.5 if ahead is None and (memory or pass_follows) else 1.
        mean = count if reduce_count is None else reduce_count(count)
        loss = self._divided(loss, mean) * share
        log = dict(eta=loss.new_tensor(eta), drift_pixels=torch.stack(drifting).sum().double(),
                   aligned_pixels=count.double(), prototypes=chosen.present.sum(1).double().mean())
        # what the next pass of the step gets as its memory
        memory_after: Union[list, Settled] = sums if ahead is None else Settled(
            chosen=chosen, groups=groups[last:], drift=ahead.drift, mean=mean, log=log)
        return AlignmentResult(loss, memory_after, log)

    @torch.no_grad()
    def look_ahead(self, images: Sequence[AlignmentImages], iteration: int = 0,
                   total: Optional[int] = None, seed: Optional[int] = None,
                   first: int = 1) -> Ahead:
        """What the images of a later pass add to this one's prototypes and mean; nothing of them
        keeps a graph.

        Args:
            images: Of the later pass, from a forward pass without gradients.
            iteration, total, seed: As of :meth:`forward`.
            first: Number of sets of images in the passes before.

        Returns:
            Class sums, labels and drift pixels of every set and view.
        """
        check_passes(images)
        with without_autocast(images[0].labels.device):
            parts = self.partitions(images, self.eta_at(iteration, total), seed, first)
            return Ahead([[self._sums(part) for part in views] for views in parts],
                         [[part.labels for part in views] for views in parts],
                         [[part.drift for part in views] for views in parts])

    def _keep_to(self, settled: Settled, images: Sequence[AlignmentImages], eta: float,
                 seed: Optional[int]) -> AlignmentResult:
        """The second pass of ``pair='recompute'``: the terms of its drift pixels, all else as
        decided before.
        """
        # 1: one set of images, that of the labeled pass, came before
        parts = self.partitions(images, eta, seed, 1, settled.drift)
        loss, _ = self._aligned(parts, settled.groups, settled.chosen)
        return AlignmentResult(self._divided(loss, settled.mean), None, settled.log)

    def _divided(self, loss: Tensor, mean: Tensor) -> Tensor:
        """The weighted mean: ``loss`` over the number ``mean`` (0-d each), which may be 0."""
        return loss / torch.where(mean > 0, mean, 1).to(loss.dtype) * self.weight

    # ------------------------------------------------------------------ parts
    def partitions(self, images: Sequence[AlignmentImages], eta: float, seed: Optional[int],
                   first: int,
                   drift: Optional[Sequence[Sequence[Tensor]]] = None) -> list[list[Partition]]:
        """Divide the pixels of several sets of images (:meth:`divide`), one list of views each.

        Args:
            images, eta: See there.
            seed: Of the step; every set of images draws numbers of its own.
            first: Number of sets of images in the step's passes before.
            drift: ``[set][view]`` drift pixels, bool (B, h, w), where they were decided before.
        """
        result = []
        for i, pass_images in enumerate(images):  # seeds by the position in the whole step
            rng = None if seed is None else torch.Generator().manual_seed(seed + first + i)
            result.append(self.divide(pass_images, eta, rng, None if drift is None else drift[i]))
        return result

    def divide(self, pass_images: AlignmentImages, eta: float,
               rng: Optional[torch.Generator] = None,
               drift: Optional[Sequence[Tensor]] = None) -> list[Partition]:
        """Bring every resolution to its grid and divide its valid pixels into joint and drift
        pixels.

        Args:
            pass_images: The images.
            eta: As of this iteration, read by ``eta_meaning``.
            rng: CPU generator for ``partition='random'``.
            drift: The drift pixels of each resolution, bool (B, h, w), where they were decided
                before (:meth:`look_ahead`).
        """
        # for views of the whole image: labels ignored where a detail crop covers them, if asked for
        whole = without_detail(pass_images, self.ignore_index) if self.drop_covered else pass_images
        masks = [None] * len(pass_images.views) if drift is None else drift
        return [
            self._divide(view, whole if view.crop_box is None else pass_images, eta, rng, mask)
            for view, mask in zip(pass_images.views, masks)
        ]

    def _divide(self, view: PixelView, pass_images: AlignmentImages, eta: float,
                rng: Optional[torch.Generator], decided: Optional[Tensor]) -> Partition:
        """One view's pixels on the grid of the term, divided into joint and drift pixels.
        ``decided``: drift pixels as of :meth:`divide`, bool (B, h, w); None: they are chosen now.
        """
        features = resized(view.features, self.resolution)
        logits = resized(view.logits.detach(), self.resolution)
        size = features.shape[-2:]
        labels = labels_on(view, pass_images.labels, size)
        weight = None if pass_images.weight is None else labels_on(view, pass_images.weight, size)
        if self.projection_head is not None:
            features = self.projection_head(
                features.to(next(self.projection_head.parameters()).dtype))
        entropy = pixel_entropy(logits)
        check_ignore_index(logits.shape[1], self.ignore_index)
        valid = labels != self.ignore_index
        if self.ignore_zero_weight and weight is not None:
            valid = valid & (weight != 0)
        if decided is not None:
            joint, drift = valid & ~decided, decided
        else:
            joint, drift = self.sub_domains(entropy, valid, eta, logits.shape[1], rng)
        if self.agreement:
            # a prototype is made only of pixels that are predicted right
            joint = joint & (logits.argmax(1) == labels)
        return Partition(features, labels, weight, entropy, joint, drift, logits.shape[1])

    def sub_domains(self, entropy: Tensor, valid: Tensor, eta: float, num_classes: int,
                    rng: Optional[torch.Generator] = None) -> tuple[Tensor, Tensor]:
        """Joint and drift pixels, bool (B, h, w) each, of entropies (B, h, w) and valid pixels
        (bool). ``rng`` draws the random partition; ValueError where that has none.
        """
        if self.partition == 'all':
            return valid, valid
        if self.partition == 'random':
            if rng is None:
                raise ValueError("partition='random' needs a seed")
            # random numbers in the place of entropies: the highest ones are at random places
            entropy = torch.rand(entropy.shape, generator=rng).to(entropy.device)
        elif self.eta_meaning == 'threshold':
            joint = valid & (entropy <= eta * math.log(num_classes))
            return joint, valid & ~joint
        if self.eta_meaning == 'joint_fraction':
            joint = highest_pixels(-entropy, valid, eta)
            return joint, valid & ~joint
        drift = highest_pixels(entropy, valid, eta)
        return valid & ~drift, drift

    @staticmethod
    def _sums(part: Partition) -> ClassSums:
        """Sums over the joint pixels by image and class, without a graph."""
        return class_sums(part.features.detach(), part.labels, part.joint, part.entropy,
                          part.num_classes)

    def _prototypes(self, sums: list[list[ClassSums]],
                    only_pass: bool) -> tuple[Prototypes, list[list[int]]]:
        """The prototypes of all groups of images (``prototypes`` says which images share some), and
        ``groups[set][image]``; ``sums[set][view]`` are of all sets of images, ``only_pass`` as of
        :func:`group_images`.
        """
        groups, count = group_images(self.prototypes, [len(views[0].counts) for views in sums],
                                     only_pass)
        # the group of each image, all sets in a row, int64 (B,)
        member = torch.tensor([g for group in groups for g in group],
                              device=sums[0][0].counts.device)
        # per resolution: the class sums of all images, added up by group
        candidates = [
            class_prototypes(ClassSums.joined(sets).pooled(member, count), self.min_pixels)
            for sets in zip(*sums)
        ]
        return select_prototypes(candidates, self.selection), groups

    def _aligned(self, parts: list[list[Partition]], groups: list[list[int]],
                 chosen: Prototypes) -> tuple[Tensor, Tensor]:
        """Sum of the terms, and number of the drift pixels that have one, of several sets of images
        (0-d each): ``parts[set][view]``, ``groups[set][image]``."""
        (loss, count), *others = (self._align(part, slots, chosen)
                                  for views, slots in zip(parts, groups) for part in views)
        for value, counted in others:
            loss, count = loss + value, count + counted
        return loss, count

    def _align(self, part: Partition, groups: list[int],
               chosen: Prototypes) -> tuple[Tensor, Tensor]:
        """:meth:`_aligned` of one resolution; ``groups`` says whose prototypes each image takes."""
        terms = []
        for i, (rows, group) in enumerate(zip(gather_pixels(part.features, part.drift), groups)):
            weight = None if part.weight is None else part.weight[i][part.drift[i]]
            terms.append(
                info_nce(rows, part.labels[i][part.drift[i]], chosen.vectors[group],
                         chosen.present[group], self.temperature, weight))
        sums, counted = zip(*terms)
        return torch.stack(sums).sum(), torch.stack(counted).sum()


def _alignable(ahead: Ahead, groups: list[list[int]], chosen: Prototypes) -> Tensor:
    """Number of the drift pixels of the later pass (0-d int64) whose class has a prototype in the
    image's group: the others have no term.
    """
    count = torch.zeros((), dtype=torch.int64, device=chosen.present.device)
    for labels, masks, slots in zip(ahead.labels, ahead.drift, groups):
        for label, mask in zip(labels, masks):
            for i, group in enumerate(slots):
                count = count + chosen.present[group][label[i][mask[i]]].sum()
    return count
