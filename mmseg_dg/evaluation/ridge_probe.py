"""What frozen features know of classes: ridge regression onto one-hot labels, in closed form.

Shapes: K classes, C channels, h x w places of a smaller map.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class RidgeProbe:
    """Linear regression from features to one-hot classes with a penalty, over any number of images.

    Only sums over pixels are kept (per class a matrix of ``(channels + 1) ** 2`` numbers), so no
    image is kept and no training is needed. It orders encoders; it is no segmentation network.

    Args:
        channels: Of the features.
        num_classes: Of the labels.
        penalty: Added to the diagonal, in the unit of a pixel's squared feature.

    Attributes:
        grams, sums: Per class the sums over its pixels of x x^T, (K, C + 1, C + 1), and of x,
            (K, C + 1), where x is a pixel's feature with a 1 appended (for the offset).
    """
    def __init__(self, channels: int, num_classes: int, penalty: float = 1.) -> None:
        self.penalty = penalty
        self.grams = torch.zeros(num_classes, channels + 1, channels + 1, dtype=torch.float64)
        self.sums = torch.zeros(num_classes, channels + 1, dtype=torch.float64)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Take the pixels of one image.

        Args:
            features: (C, h, w).
            labels: (h, w) class ids; others (255) are left out.
        """
        pixels, labels = _with_one(features), labels.flatten()  # (h * w, C + 1) and (h * w,)
        for index in labels.unique().tolist():
            if 0 <= index < len(self.grams):
                chosen = pixels[labels == index]
                self.grams[index] += (chosen.T @ chosen).double()
                self.sums[index] += chosen.sum(0).double()

    def solve(self, balance: float = 0.) -> Tensor:
        """Weights (channels + 1, num_classes) of the regression; the last row is the offset.

        Args:
            balance: A pixel of a class with share s counts ``s ** -balance``: 0 all alike, 1 all
                classes alike.
        """
        counts = self.sums[:, -1]  # pixels per class: sums of the appended 1
        weight = (counts / counts.sum()).clamp(min=1e-12)**-balance
        # weighted sum over classes: (K,) x (K, C + 1, C + 1) -> (C + 1, C + 1)
        gram = torch.einsum('c,cij->ij', weight, self.grams)
        gram += self.penalty * torch.eye(len(gram), dtype=gram.dtype)
        return torch.linalg.solve(gram, (self.sums * weight[:, None]).T)  # (K, C + 1) -> (C + 1, K)


def _with_one(features: Tensor) -> Tensor:
    """(C, h, w) -> (h * w, C + 1), the last column one."""
    flat = features.flatten(1).T  # (C, h, w) -> (h * w, C)
    return torch.cat([flat, flat.new_ones(len(flat), 1)], dim=1)


def ridge_logits(features: Tensor, weights: Tensor) -> Tensor:
    """Scores (num_classes, h, w) of features (C, h, w)."""
    scores = _with_one(features) @ weights.to(features.dtype)
    return scores.T.unflatten(1, features.shape[1:])  # (h * w, K) -> (K, h, w)


def stacked_maps(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Maps (1, C_i, h_i, w_i) of one image brought to one size bilinearly and stacked: (sum C_i,
    *size).
    """
    resized = [F.interpolate(x, size, mode='bilinear', align_corners=False) for x in maps]
    return torch.cat(resized, dim=1)[0]
