"""What a decode head's classifier sees and gives: the features of pixels, and their logits.

Shapes: B images, C classes, D channels, h x w places of a smaller map.
"""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional, Protocol, Union, runtime_checkable

from torch import Tensor, nn

#: A head's prediction: one map (B, C, h, w), or several of which the first predicts (DAHead).
Logits = Union[Tensor, Sequence[Tensor]]


@runtime_checkable
class ShowsFeatures(Protocol):
    """A head in two steps, as all of this package (:class:`FusedFeatureHead`)."""
    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """Features (B, D, h, w) before dropout and classifier, of encoder maps (B, C_i, h_i,
        w_i)."""

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Logits (B, C, h, w) of these features."""


@runtime_checkable
class FusesScales(Protocol):
    """A head of two resolutions (:class:`HRDAHead`), whose inner ``head`` both share."""
    def fuse(self, context: Tensor, detail: Tensor, attention: Tensor,
             crop_box: Optional[tuple[int, int, int, int]] = None) -> Any:
        """The fusion of the logits of both, (B, C, h, w)."""


class Classified(NamedTuple):
    """One call of a classifier.

    Attributes:
        features: What it got, before dropout, (B, D, h, w).
        logits: What it gave, (B, C, h, w).
    """
    features: Tensor
    logits: Tensor


class Decoded(NamedTuple):
    """What a head gives for the maps of an encoder.

    Attributes:
        logits: The prediction.
        calls: The calls of the head's classifier, in order; empty for heads without a classifier of
            maps.
        features: (B, D, h, w) before dropout, of a head that shows them (:class:`ShowsFeatures`);
            else None.
    """
    logits: Logits
    calls: Sequence[Classified]
    features: Optional[Tensor] = None


def decode(head: nn.Module, inputs: Sequence[Tensor]) -> Decoded:
    """Run a head, and tell what its classifier saw.

    Args:
        head: Any decode head.
        inputs: Encoder maps, (B, C_i, h_i, w_i) each.

    Returns:
        Its logits, and features and logits of every call of its classifier.
    """
    if isinstance(head, ShowsFeatures):
        features = head.fused_features(inputs)
        logits = head.cls_seg(features)
        return Decoded(logits, [Classified(features, logits)], features)
    with classifier_calls(head) as calls:
        logits = head(inputs)
    return Decoded(logits, calls)


@contextmanager
def classifier_calls(head: nn.Module) -> Iterator[list[Classified]]:
    """Inside, the calls of a head's classifier are noted by forward hooks, which may be nested.

    For heads of MMSegmentation: their ``cls_seg`` applies ``dropout``, where there is any, and then
    ``conv_seg``. Heads without these layers leave the list empty.
    """
    calls: list[Classified] = []
    dropped: list[tuple[Tensor, Tensor]] = []  # the last input and output of the dropout
    parts = dict(head.named_children())

    def note_dropout(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        """Remember what went into the dropout, the features of a call, and what came out of it."""
        dropped[:] = [(inputs[0], output)]

    def note_classifier(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        """Add a call on maps to ``calls``, with the features before the dropout, if any."""
        features, = inputs
        # the input of the classifier is what the dropout has just given: take what that got
        if dropped and dropped[0][1] is features:
            features = dropped[0][0]
        if all(isinstance(x, Tensor) and x.dim() == 4 for x in (features, output)):
            calls.append(Classified(features, output))
        dropped.clear()

    handles = [
        parts[name].register_forward_hook(note)
        for name, note in (('dropout', note_dropout), ('conv_seg', note_classifier))
        if parts.get(name) is not None
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def main_logits(output: Logits) -> Tensor:
    """The map (B, C, h, w) a head predicts with: the first one of heads that give several (DAHead).
    """
    return output if isinstance(output, Tensor) else output[0]
