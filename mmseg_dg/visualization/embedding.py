"""Pixel features in the plane, and how well they separate into classes.

Shapes: N pixels, D channels, H x W pixels.
"""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 512  # pixels whose distances to all others are held at once


class Separation(NamedTuple):
    """How far classes lie apart in feature space; higher is better in all three.

    Attributes:
        silhouette: Mean silhouette in [-1, 1], cosine distance, every class with equal weight.
        between_within: Variance between class means over mean variance within classes, every class
            with equal weight.
        nearest_mean: Share of pixels whose nearest class mean (of all given pixels) is that of
            their class.
    """
    silhouette: float
    between_within: float
    nearest_mean: float


def choose_pixels(labels: Sequence[Tensor], per_class: int,
                  seed: int = 0) -> list[tuple[int, Tensor]]:
    """Draw pixels for a picture: of every class the same number, from all images together.

    Args:
        labels: Per image (h, w) int64, 255 ignored.
        per_class: Pixels per class at most; a class with fewer gives all it has.
        seed: Of the choice.

    Returns:
        Per image with chosen pixels: (number of the image, flat indices int64, ascending).

    Raises:
        ValueError: No pixel has a label.
    """
    generator = torch.Generator().manual_seed(seed)
    flat = [x.flatten().cpu() for x in labels]  # (h, w) -> (h * w,) each
    # of the pixels of all images, one after the other: image, flat index in it, class
    images = torch.cat([torch.full_like(x, i) for i, x in enumerate(flat)])
    flat_indices = torch.cat([torch.arange(len(x)) for x in flat])
    classes = torch.cat(flat)
    chosen = []
    for c in torch.unique(classes[classes != 255]).tolist():
        places = (classes == c).nonzero().flatten()  # (n,): places among the pixels of all images
        chosen.append(places[torch.randperm(len(places), generator=generator)[:per_class]])
    if not chosen:
        raise ValueError('no pixel of the chosen images has a label')
    positions = torch.cat(chosen).sort().values
    return [(i, flat_indices[positions[images[positions] == i]])
            for i in torch.unique(images[positions]).tolist()]


def principal_plane(features: Tensor) -> Tensor:
    """The features' first two principal components, (N, 2); signs are fixed, so that two calls
    agree.

    Args:
        features: (N, D), N >= 2 and D >= 2.
    """
    if features.dim() != 2 or min(features.shape) < 2:
        raise ValueError(
            f'features are (N, D) with N and D at least 2, got {tuple(features.shape)}')
    centered = features.double() - features.double().mean(dim=0)
    _, axes = torch.linalg.eigh(centered.T @ centered)  # (D, D), by rising eigenvalue
    axes = axes[:, -2:].flip(1)  # (D, 2)
    # each axis points so that its largest component is positive
    largest = axes.abs().argmax(dim=0)
    axes = axes * torch.sign(axes[largest, torch.arange(2)])
    return centered @ axes


def separation(features: Tensor, labels: Tensor) -> Separation:
    """How well L2-normalized features separate into classes.

    Args:
        features: (N, D); they are normalized here.
        labels: (N,) int64, at least two classes. Classes with a single pixel are left out of the
            silhouette.

    Returns:
        Mean silhouette of the classes, distance of class means relative to the spread within
        classes, and the share of pixels that are nearest to the mean of their own class.

    Raises:
        ValueError: Fewer than two classes.
    """
    classes, index = torch.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f'separation needs pixels of at least two classes, got {classes.tolist()}')
    features = F.normalize(features.double(), dim=1)
    member = F.one_hot(index, len(classes)).double()  # (N, classes)
    count = member.sum(dim=0)
    means = (member.T @ features) / count[:, None]  # (classes, D)
    within = (member.T @ (features - means[index]).square().sum(dim=1)) / count  # (classes,)
    between = (means - means.mean(dim=0)).square().sum(dim=1).mean()
    nearest = torch.cdist(features, means).argmin(dim=1)
    return Separation(_silhouette(features, index, member),
                      float(between / within.mean().clamp_min(1e-12)),
                      float((nearest == index).double().mean()))


def _silhouette(features: Tensor, index: Tensor, member: Tensor) -> float:
    """Mean over classes of the mean silhouette of their pixels, by cosine distance.

    A pixel's silhouette is ``(outer - inner) / max(outer, inner)``: its mean distance to the
    nearest other class and to its own (without itself). Chunk by chunk, for the memory.

    Args:
        features: (N, D) unit vectors.
        index: (N,) class of each pixel, 0 and on.
        member: One-hot (N, classes) of it.
    """
    count = member.sum(dim=0)
    values = []
    for rows in torch.arange(len(features), device=features.device).split(_CHUNK):
        # sums of distances to the pixels of each class, (chunk, classes)
        total = (1 - features[rows] @ features.T) @ member
        own_class = index[rows, None]
        # - 1: the pixel itself, whose distance is 0
        inner = total.gather(1, own_class).squeeze(1) / (count[index[rows]] - 1).clamp_min(1)
        # the pixel's own class at infinity, so that the nearest is another one
        outer = (total / count).scatter(1, own_class, float('inf')).min(dim=1).values
        values.append((outer - inner) / torch.maximum(inner, outer).clamp_min(1e-12))
    silhouette = torch.cat(values)
    # a class of a single pixel has no distances within
    kept = [silhouette[index == c].mean() for c in range(len(count)) if count[c] > 1]
    return float(torch.stack(kept).mean()) if kept else 0.0


def embedding_picture(features: Mapping[str, Tensor], labels: Tensor, classes: Sequence[str],
                      palette: Sequence[Sequence[int]], size: int = 640) -> np.ndarray:
    """One scatter plot per network, of the same pixels, in the colors of their classes.

    Args:
        features: Name of the network to (N, D); D may differ.
        labels: (N,) int64, the same pixels for all.
        classes: Class names.
        palette: RGB per class.
        size: Side of one plot in pixels.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    dpi = 100
    # 0.35 of a plot for the legend on the right
    figure = Figure(figsize=((len(features) + 0.35) * size / dpi, size / dpi), dpi=dpi,
                    layout='constrained')
    plots = figure.subplots(1, len(features), squeeze=False)[0]
    colors = np.asarray(palette, np.float64) / 255
    ids, present = labels.cpu().numpy(), torch.unique(labels).tolist()
    for plot, (name, values) in zip(plots, features.items()):
        plane = principal_plane(F.normalize(values.double(), dim=1)).cpu().numpy()
        score = separation(values, labels)
        for c in present:
            plot.scatter(*plane[ids == c].T, s=5, color=colors[c], label=classes[c], linewidths=0)
        plot.set_title(
            f'{name}: silhouette {score.silhouette:.3f}, between/within '
            f'{score.between_within:.2f}', fontsize=10)
        plot.set_xticks([])
        plot.set_yticks([])
    plots[-1].legend(loc='center left', bbox_to_anchor=(1.0, 0.5), fontsize=9, markerscale=3,
                     frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
