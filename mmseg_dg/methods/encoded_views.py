"""What of a method's images can be encoded before training: its views, strong, mixed and masked
ones.

Shapes: B images, H x W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, Optional

import torch
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor

from mmseg_dg.models.data_preprocessor import MultiStreamDataPreprocessor
from mmseg_dg.models.segmentors.network import interface_of
from mmseg_dg.ops import draw_strong_view
from mmseg_dg.utils.frozen import KnowsFrozen
from mmseg_dg.utils.seeding import StepGenerator

from .dacs import BLUR_SIGMA, DACS
from .encoded_mix import FROM_TARGET
from .fixmatch import FixMatch
from .semi_supervised import SemiSupervised
from .supervised import Supervised
from .unimatch import UniMatch
from .unimatch_v2 import UniMatchV2

#: Methods whose steps take maps in the place of images.
METHODS = (Supervised, DACS, FixMatch, UniMatch, UniMatchV2)
#: How images of two are mixed: their maps, cell by cell, or the pictures before they are encoded.
MIXES = ('maps', 'images')


class Variant(NamedTuple):
    """A further picture of each view of a batch, which is encoded as well.

    Attributes:
        images: Normalized (B, 3, H, W).
        labels: uint8 (B, H, W) that go with it (``FROM_TARGET`` where the teacher's count), or
            None.
        encoding: The encoder is called inside this context (a mask of its tokens).
    """

    images: Tensor
    labels: Optional[Tensor]
    encoding: Callable[[], AbstractContextManager]


def check_encoded(method: Any, mix: str) -> None:
    """Refuse a method or settings that need pixels in every step.

    Args:
        method: Any training method.
        mix: One of ``MIXES``.

    Raises:
        ValueError: The setting, its value and what to set instead.
    """
    kind, what = type(method).__name__, 'train_cfg.cached_features'  # both for messages
    if type(method) not in METHODS:
        raise ValueError(
            f'{what}: {kind} needs pixels in every step; methods that train on cached features '
            f'are {", ".join(m.__name__ for m in METHODS)}')
    _check_frozen(method.student, what)
    if not isinstance(method.data_preprocessor, MultiStreamDataPreprocessor):
        raise ValueError(f'{what} needs data_preprocessor.type=MultiStreamDataPreprocessor, not '
                         f'{type(method.data_preprocessor).__name__}')
    for preprocessor in (method.data_preprocessor, *method.data_preprocessor.streams.values()):
        if preprocessor.batch_augments is not None:
            raise ValueError(
                f'{what}: model.data_preprocessor.batch_augments={preprocessor.batch_augments} '
                'draws anew for every batch, but each view is encoded once: set it to None, and '
                "let the streams' pipelines augment")
    if mix not in MIXES:
        raise ValueError(f'{what}.mix={mix!r}: use one of {MIXES}')
    if isinstance(method, Supervised) and (method.feature_distance or method.projected_distance):
        raise ValueError(f'{what}: a frozen encoder keeps its features by itself: set '
                         'model.feature_distance=None')
    if isinstance(method, DACS):
        _check_self_training(method, what)
    elif isinstance(method, SemiSupervised) and mix == 'images' and method.cutmix is not None:
        raise ValueError(
            f"{what}.mix='images': {kind} draws boxes and partners of CutMix in every step, so "
            "that the pasted pictures cannot be encoded before: use mix='maps', or "
            'model.cutmix=None')


def _check_frozen(network: BaseSegmentor, what: str) -> None:
    """Refuse (ValueError) a network whose encoder is trained, or sees other pixels in every step.

    ``what`` is the setting's name, for the message.
    """
    # plain: encoder and head see each whole crop once, unlike HRDA's with its drawn detail crops
    if not interface_of(network).plain:
        raise ValueError(
            f'{what}: {type(network).__name__} encodes drawn crops at several resolutions, which '
            'cannot be kept: use EncoderDecoder')
    encoder = network.backbone
    # encoders of this package say what of them is trained: 'all', 'adapters' or 'none'
    trainable = network.backbone.trainable if isinstance(encoder, KnowsFrozen) else 'all'
    if trainable != 'none':
        raise ValueError(
            f'{what} keeps the maps of an encoder that never changes, but model.network.backbone '
            f'({type(network.backbone).__name__}) has trainable={trainable!r}: set '
            "trainable='none', or remove cached_features")


def _check_self_training(method: DACS, what: str) -> None:
    """Refuse (ValueError) settings that need maps which the cache does not hold."""
    if method.pseudo_label_tta:
        raise ValueError(
            f'{what}: model.pseudo_label_tta={method.pseudo_label_tta} needs the maps of mirrored '
            'images, which are not kept: set it to ()')
    if method.masked is not None and method.masked.images == 'both':
        raise ValueError(
            f"{what}: model.masked.images='both' masks source images as well, which are not kept: "
            "use images='target'")


def variant_names(method: Any, stream: str, mix: str) -> tuple[str, ...]:
    """Names of the variants of a stream's views that a step reads.

    Args:
        method: One that :func:`check_encoded` lets pass.
        stream: One of its streams.
        mix: One of ``MIXES``.

    Returns:
        Of ``'mixed'``, ``'masked'``, ``'strong1'``, ``'strong2'`` those that are read besides the
        view itself; empty for a stream that is used as it is.
    """
    if isinstance(method, DACS) and stream == method.target_stream:
        return (
            *(('mixed', ) if mix == 'images' else ()),
            *(('masked', ) if method.masked is not None else ()),
        )
    if isinstance(method, SemiSupervised) and stream in (
            method.unlabeled_stream,
            method.mix_stream,
    ):
        return tuple(f'strong{k + 1}' for k in range(method.num_views))
    return ()


def variant_settings(method: Any, names: Sequence[str]) -> dict[str, Any]:
    """What the pictures of variants depend on besides the images.

    Args:
        method: One that :func:`check_encoded` lets pass.
        names: Of :func:`variant_names`.

    Returns:
        Plain values by name. The stored maps carry a fingerprint of them, so that maps of other
        settings are not taken for these.
    """
    settings: dict[str, Any] = {}
    if 'mixed' in names or 'masked' in names:
        settings['augmentation'] = (
            method.blur,
            BLUR_SIGMA,
            method.color_jitter_strength,
            method.jitter_probability,
        )
    if 'masked' in names:
        settings['masked'] = method.masked._asdict()
    if any(name.startswith('strong') for name in names):
        settings['strong_view'] = method.strong_view
    return settings


@torch.no_grad()
def make_variant(method: Any, name: str, stream: str, batch: dict[str, dict], seed: int) -> Variant:
    """The pictures of one variant, made by the code that makes them in a step with pixels.

    Args:
        method: One that :func:`check_encoded` lets pass.
        name: One of :func:`variant_names`.
        stream: Whose views they are.
        batch: Preprocessed streams: ``stream``, and for ``'mixed'`` the labeled one with as many
            images.
        seed: All random decisions follow from it.

    Returns:
        Pictures (B, 3, H, W), labels uint8 (B, H, W) of mixed ones (else None), and a function that
        opens the context in which they must be encoded.
    """
    images = batch[stream]['inputs']
    rng = StepGenerator(seed)
    if name == 'mixed':
        labels = torch.full((len(images), *images.shape[-2:]), FROM_TARGET, device=images.device)
        # teacher labels are not known yet: FROM_TARGET stands where they will be
        with _drawn_alone(method):  # the batch has two streams, and other processes draw nothing
            draws = method.draw_step(batch, rng)
        # weights of pixels are mixed in the step, when the teacher has given them: any will do here
        mixed, labels, _, _ = method.mix_batch(batch, draws, labels, labels.float())
        return Variant(mixed, labels.byte(), nullcontext)
    if name == 'masked':
        draws = method.masked.draw(
            method.student,
            len(images),
            tuple(images.shape[-2:]),
            rng,
            (method.jitter_probability, method.color_jitter_strength),
            BLUR_SIGMA if method.blur else None,
        )
        masked = method.masked_images(images, draws)
        return Variant(masked, None, lambda: method.masked.tokens(method.student, draws))
    # 'strong1' or 'strong2': made alike, ``seed`` tells them apart
    views = [draw_strong_view(rng.numpy, **method.strong_view) for _ in images]
    return Variant(method.strong_images(images, views), None, nullcontext)


@contextmanager
def _drawn_alone(method: DACS) -> Iterator[None]:
    """Inside, the method draws for one process that makes views: without waiting for counts of
    other processes, for no labeled target stream and no masked pass.
    """
    before = method.sync_statistics, method.target_labeled_stream, method.masked
    method.sync_statistics, method.target_labeled_stream, method.masked = False, None, None
    try:
        yield
    finally:
        method.sync_statistics, method.target_labeled_stream, method.masked = before
