"""Where a training step stands, what its passes leave for one another, and the record of a step.

Shapes: B images, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import torch
from torch import Tensor

from mmseg_dg.ops.crop_boxes import CropBox
from mmseg_dg.utils.seeding import derive_seed

if TYPE_CHECKING:  # what a state holds need not be loaded to make one
    from mmseg_dg.models.losses.alignment import AlignmentImages
    from mmseg_dg.ops import PseudoLabels


@dataclass(frozen=True)
class StepContext:
    """Where a step stands in the run; every random decision of the step derives from it.

    Attributes:
        seed: Seed of the run.
        rank: Process number.
        iteration: 0-based iteration of the run.
        total: Iterations of the run, None where unknown.
    """
    seed: int
    rank: int = 0
    iteration: int = 0
    total: Optional[int] = None

    def derive(self, *purpose: Any) -> int:
        """A seed for one purpose (words and numbers) in this step of this process."""
        return derive_seed(self.seed, self.rank, self.iteration, *purpose)

    @classmethod
    def from_global_state(cls) -> 'StepContext':
        """A context for callers outside a training loop: drawn from torch's global generator."""
        return cls(seed=int(torch.randint(2**31, ())))


@dataclass
class StepState:
    """What one pass leaves for a later one, for hooks and for pictures; one object per micro-batch.

    None: no pass of this method leaves it, or a later pass has used it up. A method that needs
    another field subclasses this and names its class as ``state_type``.

    Attributes:
        context: Position of the step in the run, for terms that change over training; None outside
            of a run, which counts as iteration 0.
        pseudo_label: Classes of the unlabeled images, (B, H, W) int64.
        pseudo_weight: Their weights, (B, H, W) float in [0, 1]; 0 is not learned from.
        own_pseudo: Pseudo-labels of the unlabeled images with confidence and padding.
        mix_pseudo: Likewise of the images that CutMix pastes.
        mixed_image: What is learned from pseudo-labels, normalized (B, 3, H, W): mixed images, or
            the first strong view.
        mixed_label: Its classes, (B, H, W) int64, 255 ignored.
        mixed_weight: Its weights, (B, H, W) float in [0, 1].
        mix_mask: True where a mixed image shows the source, bool (B, H, W).
        mixed_boxes: Detail crops (y1, y2, x1, x2) of the mixed images, where a pass has chosen
            them.
        masked_image: Input of the masked pass, normalized (B, 3, H, W).
        strong_views: Strong views that an alignment term has seen ahead, normalized (B, 3, H, W)
            each.
        source_features: Encoder maps per scale of the source pass, with their graph.
        distance_mask: Cells that enter the feature distance, bool (B, h, w).
        alignment_images: What an alignment term saw of the first pass and compares in the second.
        alignment_memory: What the term itself keeps for the second pass, without a graph.
        alignment_losses: Losses of the first pass that wait for the second, by log name.
        noisy_image: Input of a denoiser, normalized (B, 3, H, W).
        denoised_image: Its output, (B, 3, H, W).
    """
    context: Optional[StepContext] = None
    pseudo_label: Optional[Tensor] = None
    pseudo_weight: Optional[Tensor] = None
    own_pseudo: 'Optional[PseudoLabels]' = None
    mix_pseudo: 'Optional[PseudoLabels]' = None
    mixed_image: Optional[Tensor] = None
    mixed_label: Optional[Tensor] = None
    mixed_weight: Optional[Tensor] = None
    mix_mask: Optional[Tensor] = None
    mixed_boxes: Optional[list[CropBox]] = None
    masked_image: Optional[Tensor] = None
    strong_views: Optional[list[Tensor]] = None
    source_features: Optional[list[Sequence[Tensor]]] = None
    distance_mask: Optional[Tensor] = None
    alignment_images: 'Optional[list[AlignmentImages]]' = None
    alignment_memory: Optional[list] = None
    alignment_losses: Optional[dict[str, Tensor]] = None
    noisy_image: Optional[Tensor] = None
    denoised_image: Optional[Tensor] = None

    @property
    def iteration(self) -> int:
        """0-based iteration of the run."""
        return 0 if self.context is None else self.context.iteration

    @property
    def total(self) -> Optional[int]:
        """Iterations of the run, None where unknown."""
        return None if self.context is None else self.context.total

    def pseudo_labels(self) -> tuple[Tensor, Tensor]:
        """Classes and weights (B, H, W) of the unlabeled images, where a pass has left them."""
        assert self.pseudo_label is not None and self.pseudo_weight is not None
        return self.pseudo_label, self.pseudo_weight

    def left(self) -> dict[str, Any]:
        """What the passes have left, by name of the field; the context is not of it."""
        return {
            name: value
            for name, value in vars(self).items() if value is not None and name != 'context'
        }


class StepRecord(NamedTuple):
    """Everything a picture of the step needs: batch, draws, and the state the passes left.

    Attributes:
        batch: Preprocessed streams.
        draws: Random decisions of the step, with what its passes chose themselves filled in: a
            replay takes the same.
        state: As the last pass left it.
    """
    batch: dict[str, Any]
    draws: Any
    state: StepState


class StepRecorder:
    """Keeps the record of a step as long as somebody reads it.

    A hook that wants a record asks before the step (:meth:`request`) and gives it back after having
    read it (:meth:`release`); the record goes when the last reader has.

    Attributes:
        record: Of the latest step that was asked for; None without a reader, and of a step that was
            left out because it was not finite.
    """
    def __init__(self) -> None:
        self.record: Optional[StepRecord] = None
        self._readers: set[str] = set()

    @property
    def wanted(self) -> bool:
        """Whether the next step is recorded."""
        return bool(self._readers)

    def request(self, reader: str) -> None:
        """Ask for the record of the steps from here on.

        Args:
            reader: Name of who reads it, one per reader.
        """
        self._readers.add(reader)

    def release(self, reader: str) -> None:
        """Give the record back, which ``reader`` has read; it is dropped with the last reader."""
        self._readers.discard(reader)
        if not self._readers:
            self.record = None

    def clear(self) -> None:
        """Forget the record and all readers."""
        self._readers.clear()
        self.record = None
