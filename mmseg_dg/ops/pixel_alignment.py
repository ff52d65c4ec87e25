"""Prototypes of reliable pixels, and the loss that draws unreliable ones to them.

Source: PiXL, adaptive prototype generation and drift pixel alignment
(docs/behavior/pixl.md#alignment-loss). Formulas and defaults are a reconstruction: the paper's
equations are not public.

Shapes: B images, G groups of images, R resolutions, N pixels, C classes, D channels, H x W pixels,
h x w places of a smaller map.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .crop_boxes import CropBox, cut_box
from .precision import at_least_float32

#: How one prototype per class is chosen from those of several resolutions (context first, detail
#: last).
SELECTIONS = ('entropy', 'prefer_hr', 'lr', 'hr', 'mean')
#: Images that share prototypes.
GROUPINGS = ('pair', 'batch', 'step', 'image')
#: Feature vectors are divided by their length, or by this if they are shorter: zeros stay zeros.
EPS = 1e-6
#: Likewise for float16 features: a gradient divided by less would leave the type's range (65504).
HALF_EPS = 1e-3


class PixelView(NamedTuple):
    """One resolution of one forward pass, as its decoder sees it.

    Attributes:
        features: (B, D, h, w) before the head's dropout and classifier, with a graph.
        logits: (B, C, h, w) of the same pixels.
        crop_box: The region of the training image it covers: None for all of it, one box (y1, y2,
            x1, x2) in pixels, or one box per image.
    """
    features: Tensor
    logits: Tensor
    crop_box: CropBox | Sequence[CropBox] | None = None


def boxes_per_image(box: CropBox | Sequence[CropBox] | None, count: int) -> list[CropBox] | None:
    """Crop boxes as a list of one (y1, y2, x1, x2) per image.

    Args:
        box: One box for all images, one per image, or None for the whole images.
        count: Number of images.

    Returns:
        ``count`` boxes, or None for None.

    Raises:
        ValueError: Neither one box nor ``count`` of them; the message has the value.
    """
    if box is None:
        return None
    boxes: Sequence[Any] = box
    if len(box) == 4 and not isinstance(box[0], (tuple, list)):  # four numbers, not four boxes
        boxes = [box] * count
    if len(boxes) != count or any(len(b) != 4 for b in boxes):
        raise ValueError(f'{count} images need one crop box (y1, y2, x1, x2), or one each, got '
                         f'{box}')
    return [(y1, y2, x1, x2) for y1, y2, x1, x2 in boxes]


def cut_boxes(maps: Tensor, box: CropBox | Sequence[CropBox] | None) -> Tensor:
    """The region of ``maps`` (B, ..., H, W) inside a box (y1, y2, x1, x2), or inside one of equal
    size per image: (B, ..., height, width) of the boxes; the maps themselves for None.
    """
    boxes = boxes_per_image(box, len(maps))
    if boxes is None:
        return maps
    if len(set(boxes)) == 1:
        return cut_box(maps, boxes[0])
    return torch.stack([cut_box(x, b) for x, b in zip(maps, boxes)])


def check_alignable(map_size: Sequence[int], label_size: Sequence[int]) -> None:
    """Refuse a feature map that cannot lie on a label map: their strides along the two axes differ
    by more than the rounding of one cell.

    Args:
        map_size: (h, w) in cells.
        label_size: (H, W) in pixels.

    Raises:
        ValueError: It cannot; the message has both sizes.
    """
    (h, w), (height, width) = map_size, label_size
    fits = 0 < h <= height and 0 < w <= width
    if fits:
        # strides s with |H / s - h| < 1 and |W / s - w| < 1 at once
        low = max(height / (h + 1), width / (w + 1))
        # one cell may be of any stride that is large enough
        high = min(height / (h - 1) if h > 1 else float('inf'), width /
                   (w - 1) if w > 1 else float('inf'))
        fits = low < high
    if not fits:
        raise ValueError(f'a feature map of {h}x{w} cannot be aligned with labels of '
                         f'{height}x{width} (height x width): both sides must be smaller by the '
                         'same stride. Labels must cover what the network saw: check crop_box and '
                         'the sizes of the crops')


def nearest(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Labels or weights (B, H, W) on a grid of ``size`` cells (h, w), by nearest neighbor; result
    (B, h, w) of the same dtype.

    Cell i of an axis takes pixel ``floor(i H / h)``: the values of
    ``F.interpolate(mode='nearest')``, which refuses integers.
    """
    rows, columns = (torch.arange(n, device=maps.device) * side // n
                     for n, side in zip(size, maps.shape[-2:]))
    return maps.index_select(1, rows).index_select(2, columns)


class ClassSums(NamedTuple):
    """Sums over the joint pixels of each image and class; they can be added to pool images and
    resolutions.

    Attributes:
        features: (B, C, D) sums of unit feature vectors.
        counts: (B, C) numbers of pixels.
        entropy: (B, C) sums of entropies.
    """
    features: Tensor
    counts: Tensor
    entropy: Tensor

    def pooled(self, groups: Tensor, count: int) -> ClassSums:
        """Sums per group of images instead of per image.

        Args:
            groups: (B,) int64, the group of each image, in 0..count-1.
            count: Number of groups G.

        Returns:
            Sums whose first dimension is G: (G, C, D), (G, C), (G, C).
        """
        # a matrix product, not index_add: the same on every run on CUDA
        member = F.one_hot(groups, count).to(self.features.dtype).T
        # (G, B) x (B, C * ...) -> (G, C, ...), the shape of each sum but for the groups
        return ClassSums(*((member @ x.flatten(1)).view(count, *x.shape[1:]) for x in self))

    @staticmethod
    def joined(parts: Sequence[ClassSums]) -> ClassSums:
        """Sums of several sets of images as those of one set: the first dimension, of the images,
        is joined; (B_1 + B_2 + ..., C, D) and (B_1 + B_2 + ..., C).
        """
        return ClassSums(*(torch.cat(x) for x in zip(*parts)))


class Prototypes(NamedTuple):
    """One vector per group of images and class.

    Attributes:
        vectors: (G, C, D) of unit length, zero where absent; no gradient.
        present: bool (G, C).
        entropy: (G, C) mean entropy of the pixels behind each; 0 where absent.
    """
    vectors: Tensor
    present: Tensor
    entropy: Tensor


@torch.no_grad()
def class_sums(features: Tensor, labels: Tensor, joint: Tensor, entropy: Tensor,
               num_classes: int) -> ClassSums:
    """Add up the unit feature vectors and entropies of joint pixels by image and class.

    Neither a normalized copy of the map nor a copy of the joint pixels is made: the norms go into
    the weights of one matrix product.

    Args:
        features: (B, D, h, w), any length; half precision is added up in float32.
        labels: Integer (B, h, w); labels outside 0..num_classes-1 belong to no class.
        joint: bool (B, h, w), pixels that count.
        entropy: (B, h, w).
        num_classes: C.

    Returns:
        Sums of unit vectors (B, C, D), numbers of pixels (B, C) and sums of entropies (B, C).
    """
    features = at_least_float32(features).flatten(2)  # (B, D, N), N = h * w
    # 1 / length of each pixel's vector, (B, N); not vector_norm, which takes 30 times as long along
    # dim 1
    inverse = features.square().sum(1).clamp_(min=EPS**2).rsqrt_()
    classes = torch.arange(num_classes, device=labels.device)
    # (B, N, 1) == (C,) -> bool (B, N, C)
    member = (labels.flatten(1).unsqueeze(-1) == classes) & joint.flatten(1).unsqueeze(-1)
    member = member.to(features.dtype)  # (B, N, C)
    # (B, D, N) x (B, N, C) -> (B, D, C) -> (B, C, D)
    sums = torch.bmm(features, member * inverse.unsqueeze(-1)).transpose(1, 2)
    # (B, 1, N) x (B, N, C) -> (B, 1, C) -> (B, C)
    entropies = torch.bmm(entropy.flatten(1).to(features.dtype).unsqueeze(1), member).squeeze(1)
    return ClassSums(sums, member.sum(1), entropies)


@torch.no_grad()
def class_prototypes(sums: ClassSums, min_pixels: int = 1) -> Prototypes:
    """Class means of unit vectors, normalized again; a class with fewer than ``min_pixels`` joint
    pixels is absent.

    Args:
        sums: Of G groups of images, see :meth:`ClassSums.pooled`.
        min_pixels: Joint pixels that a class needs for a prototype, at least 1.

    Returns:
        Vectors (G, C, D), which classes have one (G, C), and mean entropies (G, C).

    Raises:
        ValueError: ``min_pixels`` below 1.
    """
    if min_pixels < 1:
        raise ValueError(f'min_pixels must be at least 1, got {min_pixels}')
    present = sums.counts >= min_pixels
    vectors = F.normalize(sums.features, dim=-1, eps=EPS) * present.unsqueeze(-1)
    return Prototypes(vectors, present, sums.entropy / sums.counts.clamp(min=1) * present)


@torch.no_grad()
def select_prototypes(candidates: Sequence[Prototypes], rule: str = 'entropy') -> Prototypes:
    """One prototype per class of those of several resolutions.

    Args:
        candidates: Context resolution first, detail last. With one, that one is taken.
        rule: ``'entropy'`` the one whose pixels have the lower mean entropy (context wins a tie),
            ``'prefer_hr'`` detail where it has the class, ``'lr'`` context only, ``'hr'`` detail
            only, ``'mean'`` the normalized mean of those that have the class.

    Returns:
        Vectors (G, C, D), which classes have one (G, C), and their mean entropies (G, C).

    Raises:
        ValueError: An unknown rule.
    """
    if rule not in SELECTIONS:
        raise ValueError(f'unknown selection {rule!r} of prototypes: use one of {SELECTIONS}')
    if len(candidates) == 1 or rule == 'lr':
        return candidates[0]
    if rule == 'hr':
        return candidates[-1]
    vectors, present, entropy = (torch.stack(x) for x in zip(*candidates))  # (R, G, C, ...)
    if rule == 'mean':
        # vectors and entropies of absent classes are 0 and add nothing
        count = present.sum(0).clamp(min=1)
        mean = F.normalize(vectors.sum(0) / count.unsqueeze(-1), dim=-1, eps=EPS)
        return Prototypes(mean, present.any(0), entropy.sum(0) / count)
    # the candidate with the lowest number is taken: of equal ones the first, which is the context
    order = entropy.masked_fill(~present, float('inf'))
    if rule == 'prefer_hr':
        rank = torch.arange(len(candidates), 0, -1, device=order.device, dtype=order.dtype)
        # (R, 1, 1) against (R, G, C): detail, which comes last, has the lowest rank
        order = torch.where(present, rank.view(-1, 1, 1), float('inf'))
    best = order.argmin(0)  # (G, C)
    index = best.unsqueeze(0)
    # (R, G, C, D) -> (G, C, D)
    chosen = vectors.gather(0, index.unsqueeze(-1).expand(-1, -1, -1, vectors.shape[-1])).squeeze(0)
    return Prototypes(chosen, present.any(0), entropy.gather(0, index).squeeze(0))


def group_images(kind: str, sizes: Sequence[int],
                 only_pass: bool = True) -> tuple[list[list[int]], int]:
    """Divide the images of all passes into groups that share prototypes.

    Args:
        kind: ``'pair'``, ``'batch'``, ``'step'`` or ``'image'`` (:data:`GROUPINGS`).
        sizes: Number of images of each pass.
        only_pass: A single pass is all there is, so that ``'pair'`` takes neighbors (an odd last
            image joins the pair before it); False: its images have their partners in another pass.

    Returns:
        For each pass the group of each image, 0-based, and the number of groups.

    Raises:
        ValueError: An unknown kind, or pairs of passes of different sizes.
    """
    if kind not in GROUPINGS:
        raise ValueError(f'unknown grouping {kind!r} of images: use one of {GROUPINGS}')
    if kind == 'step':
        return [[0] * n for n in sizes], 1
    if kind == 'batch':
        return [[i] * n for i, n in enumerate(sizes)], len(sizes)
    if kind == 'image':  # images are numbered through all passes
        first = [sum(sizes[:i]) for i in range(len(sizes))]
        return [list(range(a, a + n)) for a, n in zip(first, sizes)], sum(sizes)
    # 'pair' is left
    if len(set(sizes)) != 1:
        raise ValueError(
            f'image i of one pass is paired with image i of the other, but they have {list(sizes)} '
            "images: use equal batch sizes, or prototypes='step'")
    count = sizes[0]
    if len(sizes) == 1 and only_pass:
        pairs = max(count // 2, 1)
        return [[min(i // 2, pairs - 1) for i in range(count)]], pairs
    return [list(range(count)) for _ in sizes], count


def gather_pixels(features: Tensor, mask: Tensor) -> list[Tensor]:
    """Unit feature vectors of the marked pixels of each image, row by row.

    Args:
        features: (B, D, h, w); gradients flow to the marked pixels. Vectors shorter than 1e-6
            (float16: 1e-3) stay short.
        mask: bool (B, h, w).

    Returns:
        B tensors (n_i, D), float32 or float64; only they are kept for the backward pass, not the
        map.
    """
    # columns of each image's map (D, N), N = h * w: forward and backward much quicker than picking
    # pixels from all images at once; -> (D, n_i)
    picked = [
        image.index_select(1,
                           marked.nonzero().flatten())
        for image, marked in zip(features.flatten(2).unbind(0), mask.flatten(1))
    ]
    least = HALF_EPS if features.dtype == torch.float16 else EPS
    picked = [at_least_float32(x) for x in picked]
    # by their lengths, and (D, n_i) -> (n_i, D)
    return [(x * x.square().sum(0).clamp(min=least**2).rsqrt()).T for x in picked]


def info_nce(queries: Tensor, labels: Tensor, prototypes: Tensor, present: Tensor,
             temperature: float, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum of ``-w_q log( exp(<q, z_y> / tau) / sum_c exp(<q, z_c> / tau) )`` over pixels whose
    class has a prototype.

    Args:
        queries: (n, D) unit vectors.
        labels: (n,) int64 in 0..C-1.
        prototypes: (C, D) unit vectors, no gradient.
        present: bool (C,); absent classes are in no denominator.
        temperature: tau.
        weight: (n,) factors of the terms.

    Returns:
        The 0-d sum, with a graph also where no pixel counts (then it is exactly 0 and so is its
        gradient), and the 0-d number of pixels that count, whatever their weights.
    """
    similar = queries @ prototypes.to(queries.dtype).T / temperature
    # with no class present nothing is masked: rows of -inf would give NaN gradients to ignored rows
    similar = similar.masked_fill(~present & present.any(), float('-inf'))
    counted = present[labels]
    terms = F.cross_entropy(similar, torch.where(counted, labels, -100), ignore_index=-100,
                            reduction='none')
    if weight is not None:
        terms = terms * weight.to(terms.dtype)
    return terms.sum(), counted.sum()
