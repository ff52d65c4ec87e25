"""Segmentation as mask diffusion: an encoder-decoder gives an image feature, a denoiser samples the
label map from it.

Source: DiffMatch (Sun et al., ICLR 2025). Its network is a reconstruction after DDP
(docs/behavior/unimatch.md#ddp): confirmed are the mask denoiser with L = 4 layers, b = 0.1, three
sampling steps and DeepLabV3+; see ``docs/diffmatch.md``.

Shapes: B images, K classes, C channels, H x W pixels, h x w places of a smaller map.
"""
import os.path as osp
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from mmseg.models import EncoderDecoder
from torch import Tensor, nn

from mmseg_dg.models.decode_heads.classifier import ShowsFeatures
from mmseg_dg.ops import at_least_float32
from mmseg_dg.ops.diffusion import (
    check_steps,
    ddim_step,
    downscale_label_map,
    noise_maps,
    noised_code,
    time_pairs,
)
from mmseg_dg.ops.pairs import pair
from mmseg_dg.ops.resize import resize
from mmseg_dg.ops.transfer import on_device
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.arguments import unsupported_arguments
from mmseg_dg.utils.pass_result import PassResult
from mmseg_dg.utils.seeding import derive_seed

from .network import CropChoice, NetworkLosses, TrainableSegmentor, auxiliary_losses, head_result
from .prior_adjustment import PriorAdjustment
from .sliding import average_windows

#: Edges of the time bins whose cross-entropy is logged: with b = 0.1 the code of the lowest bin
#: nearly tells the labels, that of the last nothing.
TIME_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_LAST = len(TIME_BINS) - 2  # index of the last bin


class NoiseDraws(NamedTuple):
    """Random decisions of one noised forward pass; seeds, not maps, so that they are small and can
    be replayed.

    Attributes:
        times: Noise times in [0, 1], one per image.
        seeds: Seeds of the noise maps, one per image.
    """
    times: list[float]
    seeds: list[int]

    def joined(self, other: 'NoiseDraws') -> 'NoiseDraws':
        """Those of two batches that pass the network together."""
        return NoiseDraws(self.times + other.times, self.seeds + other.seeds)


class DenoisedLabels(NamedTuple):
    """One noised forward pass.

    Attributes:
        logits: Raw logits of the denoiser, (B, K, h, w); of a residual one those of the plain
            classifier are in them.
        adjusted: What the loss compares with labels, (B, K, h, w); ``logits`` where the loss is not
            adjusted.
        times: (B,) float64.
        plain: Logits of the plain classifier, (B, K, h, w), where they were needed; else None.
        host_times: ``times`` as the host drew them (to be read without waiting for a GPU), or None.
    """
    logits: Tensor
    adjusted: Tensor
    times: Tensor
    plain: Optional[Tensor] = None
    host_times: Optional[list[float]] = None

    def part(self, start: int, stop: Optional[int] = None) -> 'DenoisedLabels':
        """The same of the images ``start:stop`` of the batch."""
        logits, adjusted, times = (x[start:stop] for x in self[:3])
        plain = None if self.plain is None else self.plain[start:stop]
        host_times = None if self.host_times is None else self.host_times[start:stop]
        return DenoisedLabels(logits, adjusted, times, plain, host_times)


@MODELS.register_module()
@unsupported_arguments(
    time_weighting='losses are not weighted by the noise time; time_range leaves times out '
    '(docs/diffmatch.md, "Not built")',
    self_aligned='training on codes of the network\'s own predictions is absent '
    '(docs/diffmatch.md, "Not built")',
    plain_head='the plain classifier is the decode head\'s own 1x1 convolution, weighted by '
    'plain_weight; a convolutional head on the image feature is absent '
    '(docs/diffmatch.md, "Not built")')
class MaskDiffusionEncoderDecoder(TrainableSegmentor, EncoderDecoder):
    """Encoder, decoder and mask denoiser.

    The image feature is what the decoder's classifier would see (``fused_features``). In training
    the code of a label map is noised at a random time and the denoiser predicts the clean classes;
    at test it samples: from noise, in ``sampling_steps`` DDIM steps, the encoder running once. The
    decoder's own classifier is an auxiliary loss on the image feature ("plain"). DDP's form never
    uses it at test; with ``residual=True`` the denoiser predicts what is missing from it, at every
    time and every sampling step: ``logits = plain + denoiser``.

    Test noise of an image is a function of ``noise_seed``, the image's file name and the position
    of a sliding window, drawn on the CPU: scores repeat, whatever the order, the batch size or the
    number of processes.

    Args:
        backbone, decode_head, neck, auxiliary_head: As in mmseg's ``EncoderDecoder``; the decode
            head must have ``fused_features``.
        train_cfg, test_cfg, data_preprocessor, pretrained, init_cfg: As in mmseg's
            ``EncoderDecoder``; ``test_cfg.mode='slide'`` takes ``window_sum='logits'`` (default) or
            ``'softmax'``.
        denoiser: Config of ``MaskDenoiserHead``; its ``num_classes`` is the decode head's.
        plain_weight: Weight of the plain classifier's loss; 0 switches it off (reconstruction:
            0.4).
        residual: Add the plain classifier's logits to the denoiser's, whose last layer starts at
            zero, so that an untrained denoiser predicts what the plain classifier does and the
            encoder is taught through it from the first step on (ours; reconstruction, after DDP:
            False). The plain classifier's own loss stays as it is: never adjusted, weighted by
            ``plain_weight``.
        adjustment: Arguments of :class:`PriorAdjustment`; None adjusts nothing.
        sampling_steps: T at test (paper: 3).
        time_difference: td of the sampler (reconstruction: 1).
        noise_draws: Independent samples per image, whose softmax is averaged (reconstruction: 1); a
            teacher's pseudo-labels take as many.
        accumulate: Average the softmax of all steps instead of taking the last (reconstruction:
            False).
        noise_seed: Seed of the noise at test; report the spread over a few.
        time_range: Range of the uniform time in training (reconstruction: (0, 0.999)). The sampler
            tells the denoiser no time outside it: one it never met in training (1, the first of
            every sampling) means nothing to it.

    Raises:
        ValueError: No sampling step, no noise draw, a time range outside [0, 1], a decode head
            without ``fused_features``, or a residual of two heads that differ in ``align_corners``.
    """

    plain = False  # see TrainableSegmentor: a denoiser reads what the decode head makes

    def __init__(self, backbone: dict, decode_head: dict, denoiser: dict,
                 neck: Optional[dict] = None, auxiliary_head: Optional[dict] = None,
                 plain_weight: float = 0.4, residual: bool = False,
                 adjustment: Optional[dict] = None, sampling_steps: int = 3,
                 time_difference: float = 1.0, noise_draws: int = 1, accumulate: bool = False,
                 noise_seed: int = 0, time_range: Sequence[float] = (0.0, 0.999),
                 train_cfg: Optional[dict] = None, test_cfg: Optional[dict] = None,
                 data_preprocessor: Optional[dict] = None, pretrained: Optional[str] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(backbone, decode_head, neck=neck, auxiliary_head=auxiliary_head,
                         train_cfg=train_cfg, test_cfg=test_cfg,
                         data_preprocessor=data_preprocessor, pretrained=pretrained,
                         init_cfg=init_cfg)
        _check_arguments(self.decode_head, sampling_steps, time_difference, noise_draws, time_range,
                         plain_weight)
        if residual:  # the denoiser then starts by adding nothing
            denoiser = dict(denoiser, zero_init=True)
        self.denoiser = MODELS.build(
            dict(denoiser, num_classes=self.num_classes, time_range=time_range))
        self.residual = residual
        self.adjustment = PriorAdjustment(self.num_classes, **(adjustment or {}))
        self.plain_weight = plain_weight
        if residual and self.decode_head.align_corners != self.denoiser.align_corners:
            ours, others = self.decode_head.align_corners, self.denoiser.align_corners
            raise ValueError('residual=True adds the maps of two heads: '
                             f'decode_head.align_corners={ours} and '
                             f'denoiser.align_corners={others} must be the same')
        if not plain_weight and not residual:  # the plain classifier is not used
            self.decode_head.conv_seg.requires_grad_(False)
        self.sampling_steps, self.time_difference = sampling_steps, time_difference
        self.noise_draws, self.accumulate, self.noise_seed = noise_draws, accumulate, noise_seed
        self.time_range = tuple(time_range)

    # ------------------------------------------------------------------ training
    def image_feature(self, levels: Sequence[Tensor]) -> Tensor:
        """The condition of the denoiser, (B, C, h, w), from the encoder's levels."""
        return self.decode_head.fused_features(levels)

    def draw_noise(self, count: int, generator: Optional[torch.Generator] = None) -> NoiseDraws:
        """Times and seeds for ``count`` images; None draws from torch's global generator."""
        low, high = self.time_range
        times = low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)
        return NoiseDraws(times.tolist(),
                          torch.randint(2**31, (count, ), generator=generator).tolist())

    def denoise(self, feature: Tensor, labels: Tensor, draws: NoiseDraws) -> DenoisedLabels:
        """Noise the code of label maps and predict their classes.

        Args:
            feature: (B, C, h, w).
            labels: (B, H, W) int64, 255 ignored; resized to (h, w) by nearest neighbors.
            draws: Times and seeds of B images.

        Raises:
            ValueError: The draws are for another number of images.
        """
        if not len(draws.times) == len(draws.seeds) == len(feature):
            raise ValueError(f'{len(feature)} images need as many times and seeds, got '
                             f'{len(draws.times)} and {len(draws.seeds)}')
        times = on_device(draws.times, feature.device, torch.float64)
        code = self.denoiser.encode(labels, tuple(feature.shape[-2:]))
        noise = noise_maps(draws.seeds, code.shape[1:], code.device, code.dtype, on_cpu=False)
        logits = self.denoiser(feature, noised_code(code, noise, *self.denoiser.levels(times)),
                               times)
        plain = self.plain_logits(feature) if self.residual or self.plain_weight else None
        if plain is not None and self.residual:
            logits = at_least_float32(logits) + at_least_float32(plain)
        return DenoisedLabels(logits=logits, adjusted=self.adjustment.in_loss(logits, times),
                              times=times, plain=plain, host_times=list(draws.times))

    def plain_logits(self, feature: Tensor) -> Tensor:
        """Logits of the plain classifier, (B, K, h, w)."""
        return self.decode_head.cls_seg(feature)

    def segmentation_losses(self, images: Tensor, labels: Tensor, weight: Optional[Tensor] = None,
                            crop_box: Optional[CropChoice] = None,
                            draws: Optional[NoiseDraws] = None) -> NetworkLosses:
        """Losses of a labeled batch: ``decode.`` the denoiser, ``plain.`` the plain classifier,
        ``aux.`` others.

        Args:
            images: (B, 3, H, W).
            labels: (B, H, W) int64.
            weight: Per-pixel weight, see
                :func:`mmseg_dg.models.segmentors.network.segmentation_losses`.
            crop_box: Not used.
            draws: Times and noise; None draws them from torch's global generator.
        """
        levels = self.extract_feat(images)
        feature = self.image_feature(levels)
        result = self.denoise(feature, labels, draws or self.draw_noise(len(images)))
        terms = self.label_losses(result, levels, labels, weight)
        return NetworkLosses(terms, [levels], result.logits, feature)

    def label_losses(self, result: DenoisedLabels, levels: Sequence[Tensor], labels: Tensor,
                     weight: Optional[Tensor] = None) -> PassResult:
        """Losses of every head on labeled images with what denoiser and plain classifier gave for
        them (``result``); auxiliary heads read the encoder's ``levels``. Labels int64 and weight
        (None: 1), (B, H, W)."""
        terms = head_result(self.denoiser, result.adjusted, labels, weight).prefixed('decode')
        terms = terms.joined(PassResult(logs=self.time_bins(result, labels)))
        if result.plain is not None and self.plain_weight:
            plain = head_result(self.decode_head, result.plain, labels, weight)
            terms = terms.joined(plain.weighted(self.plain_weight).prefixed('plain'))
        return terms.joined(*auxiliary_losses(self, levels, labels, weight))

    @torch.no_grad()
    def time_bins(self, result: DenoisedLabels, labels: Tensor,
                  keep: Optional[Tensor] = None) -> dict[str, Tensor]:
        """Cross-entropy by noise time, for the log: losses of different times are not comparable.

        Args:
            result: A noised forward pass.
            labels: (B, H, W) int64.
            keep: Pixels that count, bool (B, H, W); None: all that are not ignored.

        Returns:
            ``ce_t0.2-0.4`` and the like, mean over the pixels of a bin, for bins with any. On a
            GPU with ``host_times``, which save waiting for it: for bins with an image, NaN where
            none of its pixels count.
        """
        labels = downscale_label_map(labels, pair(result.logits.shape[-2:]))
        if keep is not None:
            labels = torch.where(
                downscale_label_map(keep, pair(labels.shape[-2:])) > 0, labels, 255)
        values = F.cross_entropy(result.adjusted.detach().float(), labels, ignore_index=255,
                                 reduction='none')
        # the bin of each image's time, (B,); the last edge belongs to the last bin
        bins = (torch.bucketize(result.times, result.times.new_tensor(TIME_BINS), right=True)
                - 1).clamp(max=_LAST)
        # row 0 sums of the cross-entropy, row 1 numbers of pixels
        totals = torch.zeros(2, len(TIME_BINS) - 1, dtype=torch.float64, device=labels.device)
        # (B, h, w) -> (B,), added up by bin
        totals[0].index_add_(0, bins, values.flatten(1).sum(1).double())
        # pixels that count, (B, h, w) -> (B,), added up by bin
        totals[1].index_add_(0, bins, (labels != 255).flatten(1).sum(1).double())
        if totals.device.type == 'cpu' or result.host_times is None:
            filled = [i for i, count in enumerate(totals[1].tolist()) if count]
        else:
            filled = sorted({min(bisect_right(TIME_BINS, t) - 1, _LAST) for t in result.host_times})
        return {
            f'ce_t{TIME_BINS[i]:g}-{TIME_BINS[i + 1]:g}': totals[0, i] / totals[1, i]
            for i in filled
        }

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """For MMSegmentation's own training loop on images (B, 3, H, W); times and noise come
        from torch's global generator."""
        labels = torch.stack([sample.gt_sem_seg.data for sample in data_samples]).squeeze(1).long()
        return self.segmentation_losses(inputs, labels).terms.named()

    # ------------------------------------------------------------------ sampling
    @torch.no_grad()
    def sample(self, feature: Tensor, seeds: Sequence[int], steps: Optional[int] = None,
               noise_on_cpu: bool = True) -> Tensor:
        """Sample label maps by DDIM.

        Args:
            feature: (B, C, h, w).
            seeds: One per image.
            steps: T; None: ``sampling_steps``.
            noise_on_cpu: See :func:`mmseg_dg.ops.diffusion.noise_maps`.

        Returns:
            Logits (B, K, h, w), at least float32: of the last step, or log of the averaged
            probabilities.
        """
        pairs = time_pairs(self.sampling_steps if steps is None else steps, self.time_difference)
        if self.noise_draws == 1 and not self.accumulate:
            return self._chain(feature, seeds, pairs, noise_on_cpu)[-1]
        total: Optional[Tensor] = None  # sum of ``count`` maps of probabilities
        count = 0
        for draw in range(self.noise_draws):
            # the first draw has the noise that a single one would have
            draw_seeds = [derive_seed(seed, 'noise draw', draw) if draw else seed for seed in seeds]
            chain = self._chain(feature, draw_seeds, pairs, noise_on_cpu)
            for logits in chain if self.accumulate else chain[-1:]:
                probabilities = logits.softmax(dim=1)
                total = probabilities if total is None else total + probabilities
                count += 1
        assert total is not None  # a draw has a step
        return (total / count).clamp(min=torch.finfo(total.dtype).tiny).log()  # not log(0)

    def _chain(self, feature: Tensor, seeds: Sequence[int], pairs: list[tuple[float, float]],
               noise_on_cpu: bool) -> list[Tensor]:
        """Adjusted logits (B, K, h, w) of every step of one sampling from pure noise; ``pairs`` are
        (time now, time after) of the steps, see :func:`time_pairs`."""
        head, size = self.denoiser, tuple(feature.shape[-2:])
        plain = at_least_float32(self.plain_logits(feature)) if self.residual else 0.
        noisy = noise_maps(seeds, (head.code.channels, *size), feature.device, on_cpu=noise_on_cpu)
        chain = []
        for i, times in enumerate(pairs):
            now, after = (feature.new_full((len(feature), ), time, dtype=torch.float64)
                          for time in times)
            logits = plain + at_least_float32(head(feature, noisy, now))
            chain.append(self.adjustment.in_sampling(logits, now))
            if i < len(pairs) - 1:  # the predicted labels, noised to the next time
                code = head.code(chain[-1].argmax(dim=1)).to(noisy.dtype)
                noisy = ddim_step(noisy, code, *head.levels(now), *head.levels(after))
        return chain

    def predict_logits(self, images: Tensor, seeds: Optional[Sequence[int]] = None,
                       steps: Optional[int] = None, noise_on_cpu: bool = True) -> Tensor:
        """Sampled logits (B, K, H, W) at image resolution, no windows; all images share a seed if
        none are given."""
        seeds = self._seeds(len(images), None) if seeds is None else seeds
        feature = self.image_feature(self.extract_feat(images))
        return self.to_size(self.sample(feature, seeds, steps, noise_on_cpu),
                            pair(images.shape[-2:]))

    def _seeds(self, count: int, metas: Optional[list], *place: int) -> list[int]:
        """Seeds of the noise at test for ``count`` images, functions of ``noise_seed``, the file
        name in mmseg's ``metas`` (empty without) and numbers ``place`` (the box of a window)."""
        names = [
            osp.basename(str((meta or {}).get('img_path') or ''))
            for meta in metas or [None] * count
        ]
        return [derive_seed(self.noise_seed, 'mask noise', name, *place) for name in names]

    def to_size(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bilinear resize of logits (B, K, h, w), at least float32."""
        return resize(at_least_float32(logits), size, self.denoiser.align_corners)

    def _forward(self, inputs: Tensor, data_samples: Optional[list] = None) -> Tensor:
        """For mmseg's mode 'tensor': sampled logits (B, K, h, w) at the size of the feature."""
        metas = None if data_samples is None else [sample.metainfo for sample in data_samples]
        feature = self.image_feature(self.extract_feat(inputs))
        return self.sample(feature, self._seeds(len(inputs), metas))

    def encode_decode(self, inputs: Tensor, batch_img_metas: Optional[list] = None) -> Tensor:
        """Sampled logits (B, K, H, W) of whole images."""
        return self.predict_logits(inputs, self._seeds(len(inputs), batch_img_metas))

    def slide_inference(self, inputs: Tensor, batch_img_metas: Optional[list] = None) -> Tensor:
        """Logits (B, K, H, W); each window has noise of its own, see :func:`average_windows`."""
        return average_windows(
            inputs, self.test_cfg, self.out_channels, lambda window, box: self.predict_logits(
                window, self._seeds(len(window), batch_img_metas, *box)))


def _check_arguments(head: nn.Module, steps: int, time_difference: float, draws: int,
                     time_range: Sequence[float], plain_weight: float) -> None:
    """Refuse (ValueError) a head or settings that mask diffusion cannot work with."""
    if not isinstance(head, ShowsFeatures):
        raise ValueError('mask diffusion needs the features of the decoder, but '
                         f'{type(head).__name__} has no fused_features: use DAFormerHead, the '
                         'DeepLabV3+ head of this package, ...')
    check_steps(steps, 'sampling_steps')
    time_pairs(steps, time_difference)
    check_steps(draws, 'noise_draws')
    if len(time_range) != 2 or not 0 <= time_range[0] < time_range[1] <= 1:
        raise ValueError(f'time_range={tuple(time_range)} must be (low, high) with 0 <= low < high '
                         '<= 1')
    if plain_weight < 0:
        raise ValueError(f'plain_weight={plain_weight} must not be negative')
