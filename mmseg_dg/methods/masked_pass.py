"""The masked pass of self-training: the student predicts labels of whole images from images with
holes (MIC).

Shapes: B images, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import torch
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor

from mmseg_dg.models.backbones.encoder_interfaces import HasTokens
from mmseg_dg.models.segmentors.network import draw_crop_box, interface_of
from mmseg_dg.ops import CropBox, JitterParams, draw_jitter_params, draw_kept_blocks, enlarge_blocks
from mmseg_dg.ops.pairs import pair
from mmseg_dg.ops.transfer import on_device
from mmseg_dg.utils.options import check_options
from mmseg_dg.utils.seeding import StepGenerator

#: Which images may be masked: those of the target, or half of them and half of the source.
IMAGES = ('target', 'both')
#: What is masked: pixels of the image, or tokens of a plain vision transformer.
MODES = ('pixel', 'token')


@dataclass(frozen=True)
class MaskedDraws:
    """Random decisions of the masked pass; the names are those of the mixed pass in ``StepDraws``.

    Attributes:
        jitter: Color jitter on (one decision for all images).
        blur: Gaussian blur on (likewise).
        jitter_params: Per image; factors of its own, one order for all. Empty when off.
        sigma: Per image, blur standard deviation in pixels, one value for all. Empty when off.
        kept: Visible blocks (``mode='pixel'``) or tokens, bool (B, 1, h, w).
        crop_box: Detail crop (y1, y2, x1, x2) of a multi-resolution network, else None.
    """
    jitter: bool = False
    blur: bool = False
    jitter_params: list[JitterParams] = field(default_factory=list)
    sigma: list[float] = field(default_factory=list)
    kept: Optional[Tensor] = None
    crop_box: Optional[CropBox] = None


class MaskedPass(NamedTuple):
    """Settings of the masked pass, the argument ``masked`` of ``DACS`` (docs/behavior/mic.md).

    Attributes:
        ratio: Share of blocks (tokens) that is masked, in [0, 1].
        block_size: Side of a block in pixels of the training crop (64 at 1024, 32 at 512).
        images: ``'target'``, or ``'both'``: the first half of the source and the first half of the
            target images (of a batch of two, one each).
        augment: Color jitter and blur before masking, drawn anew.
        weight: Factor of the pass's losses.
        mode: ``'pixel'`` covers blocks of the image with the mean color; ``'token'`` hands a mask
            to an encoder that has mask tokens (``PlainViT``).
    """
    ratio: float = 0.7
    block_size: int = 64
    images: str = 'target'
    augment: bool = True
    weight: float = 1.0
    mode: str = 'pixel'

    @classmethod
    def from_config(cls, network: BaseSegmentor, config: dict) -> 'MaskedPass':
        """The settings that a method's config gives, after a check of their values.

        Args:
            network: The student.
            config: Arguments of this class.

        Raises:
            ValueError: An unknown argument, a value without meaning, or mask tokens of an encoder
                without.
        """
        check_options(cls, config, 'masked')
        masked = cls(**config)
        if not 0 <= masked.ratio <= 1:
            raise ValueError('masked.ratio is the share of blocks that is covered, in [0, 1], got '
                             f'{masked.ratio}')
        if masked.block_size < 1:
            raise ValueError(f'masked.block_size counts pixels, got {masked.block_size}')
        for name, value, known in (('images', masked.images, IMAGES), ('mode', masked.mode, MODES)):
            if value not in known:
                raise ValueError(f'masked.{name} must be one of {known}, got {value!r}')
        if masked.weight <= 0:
            raise ValueError(f'masked.weight must be positive, got {masked.weight}: masked=None '
                             'switches the pass off')
        if masked.mode == 'token' and not isinstance(network.backbone, HasTokens):
            raise ValueError("masked.mode='token' needs an encoder with mask tokens (PlainViT), "
                             f"not {type(network.backbone).__name__}: use mode='pixel'")
        if masked.mode == 'token' and not interface_of(network).plain:
            raise ValueError("masked.mode='token' masks the tokens of one image, but "
                             f"{type(network).__name__} encodes context and detail: use "
                             "mode='pixel'")
        return masked

    def draw(self, network: BaseSegmentor, count: int, size: tuple[int, int], rng: StepGenerator,
             jitter: tuple[float, float], blur: Optional[tuple[float, float]]) -> MaskedDraws:
        """Every random decision of the pass.

        Args:
            network: The student.
            count: Images of the pass.
            size: (H, W) of the training crop.
            rng: Of the step; asked last, so that the step's other draws are those of a step without
                the pass.
            jitter: Probability and strength of the color jitter.
            blur: Range of the blur's standard deviation, or None for no blur.

        Raises:
            ValueError: A block larger than the crop.
        """
        probability, strength = jitter
        jitters = blurs = False  # whether images are jittered, and blurred
        if self.augment:
            jitters = bool(rng.numpy.uniform() > 1 - probability) and strength > 0
            # half of the passes are blurred (docs/behavior/mic.md)
            blurs = bool(rng.numpy.uniform() > 0.5) and blur is not None
        params = [draw_jitter_params(rng.torch, strength) for _ in range(count)] if jitters else []
        sigma = []
        if blurs and blur is not None:
            sigma = [float(rng.numpy.uniform(blur[0], blur[1]))] * count  # one for all images
        if self.mode == 'token':
            # (h, w) tokens; one token is a block (1 below), where pixels have blocks of block_size
            grid = network.backbone.token_grid(*size)
            kept = draw_kept_blocks(count, grid, 1, self.ratio, rng.torch)
        else:
            kept = draw_kept_blocks(count, size, self.block_size, self.ratio, rng.torch)
        # strengths are drawn per image, the order of the four color changes is that of the first
        return MaskedDraws(jitter=jitters, blur=blurs,
                           jitter_params=[p._replace(order=params[0].order) for p in params],
                           sigma=sigma, kept=kept, crop_box=draw_crop_box(network, size, rng.numpy))

    def count(self, batch_size: int) -> int:
        """How many images the pass has, with ``batch_size`` images per stream: all of the target,
        or with ``images='both'`` half of source and half of target.

        Raises:
            ValueError: Half of the batch is no image.
        """
        if self.images == 'both' and batch_size < 2:
            raise ValueError("masked.images='both' takes the first half of the source and of the "
                             f"target images, but batch_size={batch_size}: use 2 or more, or "
                             "images='target'")
        return batch_size if self.images == 'target' else 2 * (batch_size // 2)

    def select(self, source: Tensor, target: Tensor) -> Tensor:
        """The entries that the pass takes of two batches (B, ...), of images, labels or weights:
        all of the target, or with ``images='both'`` the first B // 2 of the source and then the
        first B // 2 of the target.
        """
        if self.images == 'target':
            return target
        half = len(target) // 2
        return torch.cat([source[:half], target[:half]])

    def cover(self, images: Tensor, draws: MaskedDraws) -> Tensor:
        """Images (B, 3, H, W), normalized, with masked blocks at the mean color; same shape. With
        ``mode='token'`` they stay as they are: the encoder masks (:meth:`tokens`).
        """
        if self.mode == 'token':
            return images
        # 1 where the image is kept; the mean color is 0 after normalization
        mask = enlarge_blocks(on_device(_kept(draws), images.device), pair(images.shape[-2:]))
        return images * mask.to(images.dtype)

    @contextmanager
    def tokens(self, network: BaseSegmentor, draws: MaskedDraws) -> Iterator[None]:
        """Inside, with ``mode='token'``, the network's encoder gets the mask as its argument
        ``mask``, bool (B, h, w), True where a token is masked."""
        if self.mode != 'token':
            yield
            return
        device = next(network.parameters()).device
        mask = ~on_device(_kept(draws), device).squeeze(1)  # kept (B, 1, h, w) -> masked (B, h, w)
        handle = network.backbone.register_forward_pre_hook(
            lambda module, args, kwargs: (args, dict(kwargs, mask=mask)), with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def check_draws(self, draws: Optional[MaskedDraws], count: int) -> MaskedDraws:
        """The draws as they came; ValueError where recorded ones lack the pass, or are of another
        number of images than ``count``.
        """
        if draws is None:
            raise ValueError('masked is on, but the draws of this step have no masked pass: take '
                             'them from draw_step of this method, or set masked=None to replay a '
                             'record without it')
        if len(_kept(draws)) != count:
            raise ValueError(f'draws.masked is of {len(_kept(draws))} images, but the pass has '
                             f'{count}')
        return draws


def _kept(draws: MaskedDraws) -> Tensor:
    """The drawn mask of what stays visible, bool (B, 1, h, w)."""
    assert draws.kept is not None  # every draw has them
    return draws.kept
