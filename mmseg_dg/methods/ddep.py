"""Decoder denoising pretraining.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
import os.path as osp
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_dg.models.data_preprocessor import normalization_of, stream_preprocessor
from mmseg_dg.models.decode_heads.classifier import ShowsFeatures, decode
from mmseg_dg.ops.denoising import TARGETS, add_noise, check_noise, clean_estimate, draw_sigma, psnr
from mmseg_dg.ops.noise import seeded_noise
from mmseg_dg.ops.resize import resize
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.arguments import refuse_unknown, unsupported_arguments
from mmseg_dg.utils.seeding import StepGenerator, derive_seed

from .alignment import NO_ALIGNMENT
from .base import BaseMethod
from .step import Pass, PassResult, StepState

#: Mean, and standard deviation too, of the normalization that brings 0..255 to [-1, 1].
UNIT = 127.5
#: What float arithmetic of a preprocessor may add to the range.
TOLERANCE = 1e-3
#: Largest stride of a pyramid: a decoder's features may reach that far beyond an image.
COARSEST = 32
SCALE_ADVICE = (
    'images are 0..255 before mean=[127.5, 127.5, 127.5] and std=[127.5, 127.5, 127.5] of '
    "model.data_preprocessor; the encoder's own normalization belongs in model.encoder_norm")


@dataclass(frozen=True)
class DDePDraws:
    """Random decisions of a denoising step.

    Attributes:
        sigma: Noise level of each image, (B,) float32.
        noise_seed: Seed of the standard normal noise, which is drawn on the images' device.
    """
    sigma: Tensor
    noise_seed: int


class NoiseHead(nn.Module):
    """Decoder features -> three channels at image resolution.

    Args:
        channels: Of the features.
        kernel_size: Of the convolution, odd.
        upsample: ``bilinear`` resizes the features to the image before the convolution.
            ``pixel_shuffle`` predicts ``stride x stride`` pixels per feature instead, which a
            decoder that ends at stride 4 needs to predict noise of single pixels (our extension,
            not in the paper); what reaches beyond an image whose size is no multiple of the stride
            is cut off, because resizing would mix the noise of neighbors.
        stride: Of the features, for ``pixel_shuffle``; ignored with ``bilinear``.

    Raises:
        ValueError: Unknown option; on the first image, a stride that is not the decoder's.
    """
    def __init__(self, channels: int, kernel_size: int = 3, upsample: str = 'bilinear',
                 stride: int = 1) -> None:
        super().__init__()
        # bilinear: features are enlarged, then convolved; pixel_shuffle: each place gives the
        # stride x stride pixels below it
        if upsample not in ('bilinear', 'pixel_shuffle'):
            raise ValueError("noise_head.upsample is 'bilinear' or 'pixel_shuffle', got "
                             f"{upsample!r}")
        if kernel_size % 2 == 0 or stride < 1:
            raise ValueError(f'noise_head: kernel_size={kernel_size} must be odd and '
                             f'stride={stride} at least 1')
        self.upsample = upsample
        self.stride = stride if upsample == 'pixel_shuffle' else 1
        self.conv = nn.Conv2d(channels, 3 * self.stride**2, kernel_size, padding=kernel_size // 2)

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:
        """Features (B, C, h, w) to noise or image, (B, 3, H, W) with (H, W) = ``size``."""
        if self.upsample == 'bilinear':
            return self.conv(resize(features, size))
        height, width = size
        # an encoder that pads gives up to one place too many: by how many pixels the features
        # reach beyond the image, per axis
        surplus = [n * self.stride - wanted for n, wanted in zip(features.shape[-2:], size)]
        if not all(0 <= n < COARSEST for n in surplus):
            raise ValueError(f'noise_head.stride={self.stride} is not the stride of the decoder, '
                             f'which gives {tuple(features.shape[-2:])} features for an image of '
                             f'{(height, width)}')
        # (B, 3 stride^2, h, w) -> (B, 3, stride h, stride w)
        pixels = nn.functional.pixel_shuffle(self.conv(features), self.stride)
        return pixels[..., :height, :width]


@MODELS.register_module()
@unsupported_arguments(alignment=NO_ALIGNMENT + 'Denoising has no classes: align the finetuning, '
                       'model.type=Supervised')
class DDeP(BaseMethod):
    """Decoder denoising pretraining (Brempong et al., TMLR 2022): a decoder learns to predict the
    noise of an image.

    Noise is added to the image on the scale [-1, 1]; the noisy image is then mapped to the
    encoder's own normalization. The encoder is frozen, in evaluation mode and without gradients, so
    that its BatchNorm statistics stay those of clean images; everything else of the network is
    trained, with a three-channel head in place of the classifier. The loss is ``mean((predicted -
    noise)^2)``: 1.0 for a network that predicts zero. No label is read. Validation gives denoised
    images and their PSNR (``DenoisingMetric``), on noise that is a function of the image's name.
    Source: docs/behavior/ddep.md#objective.

    Args:
        network: Config of an encoder-decoder; its classes do not matter, the classifier is taken
            off.
        encoder_norm: ``dict(mean=[...], std=[...])`` of the images the encoder was trained on, RGB,
            scale 0..255; None for an encoder that takes [-1, 1] (HybridViT).
        data_preprocessor: Must bring images to [-1, 1] (mean and std 127.5), as the default does.
        stream: Name of the stream of images.
        noise: ``form``: ``scaled`` (x + sigma e) / sqrt(1 + sigma^2), or ``simple`` x + sigma e.
            ``sigma``: a number, or (lowest, highest) to draw one uniformly for every image; 0 adds
            none, and there is nothing to learn.
        target: Predict the ``noise`` or the clean ``image``.
        train_encoder: Train the encoder as well (DeP).
        noise_head: Arguments of :class:`NoiseHead`.
        base: Of :class:`BaseMethod`, except ``fixed_arguments``.

    Raises:
        ValueError: Unknown option, sigma below 0, an ``encoder_norm`` on another scale, a network
            without encoder or decoder, or with an auxiliary head; when training begins, another
            scale of images than [-1, 1].
    """

    fixed_arguments = ('evaluate', 'teacher_precision')  # it has one network, and no teacher
    trains_heads = False

    def __init__(self, network: dict, encoder_norm: Optional[dict],
                 data_preprocessor: Optional[dict] = None, stream: str = 'images',
                 noise: Optional[dict] = None, target: str = 'noise', train_encoder: bool = False,
                 noise_head: Optional[dict] = None, **base: Any) -> None:
        # arguments of the base that DDeP fixes itself
        refuse_unknown(type(self), set(base) & set(self.fixed_arguments))
        data_preprocessor = data_preprocessor or dict(
            type='MultiStreamDataPreprocessor', mean=[UNIT] * 3, std=[UNIT] * 3, bgr_to_rgb=True)
        super().__init__(network, data_preprocessor, **base)
        if target not in TARGETS:
            raise ValueError(f'target must be one of {", ".join(TARGETS)}, got {target!r}')
        self.streams = (stream, )
        self.target, self.train_encoder = target, train_encoder
        if not train_encoder:
            # the reason that the error gives where no pretrained encoder is loaded
            self.needs_pretrained_encoder = ('it stays frozen, and a decoder would learn to read '
                                             'noise')
        self.form, self.sigma = _noise_settings(noise)
        for key, values in zip(('mean', 'std'), _encoder_scale(encoder_norm)):
            # kept in checkpoints: a finetuning must normalize alike
            # (1, 3, 1, 1), against images (B, 3, H, W)
            self.register_buffer(f'encoder_{key}', torch.tensor(values).view(1, 3, 1, 1))
        self.noise_head = NoiseHead(_take_off_classifier(self.student), **(noise_head or {}))
        if not train_encoder:
            self.student.backbone.requires_grad_(False)

    # ------------------------------------------------------------------ training
    def train(self, mode: bool = True) -> 'DDeP':
        """Training mode; a frozen encoder stays in evaluation mode, or its BatchNorm statistics
        would drift.
        """
        super().train(mode)
        if not self.train_encoder:
            self.student.backbone.eval()
        return self

    def draw_step(self, batch: dict[str, dict], generator: Any) -> DDePDraws:
        """Draw the noise level of each image, and the seed of the noise of all of them."""
        generator = StepGenerator.wrap(generator).torch
        sigma = draw_sigma(*self.sigma, len(batch[self.streams[0]]['inputs']), generator)
        return DDePDraws(sigma, int(torch.randint(2**31, (), generator=generator)))

    def passes(self, batch: dict[str, dict], draws: DDePDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        """The one pass of a step: the loss of predicting the noise (or the image) from noisy
        images.
        """
        images = batch[self.streams[0]]['inputs']
        state = StepState() if state is None else state

        def denoising() -> PassResult:
            """Loss of the prediction for noisy images, and how well it denoises them (PSNR)."""
            check_range(images)
            noise = seeded_noise(images, draws.noise_seed)
            noisy = add_noise(images, noise, draws.sigma, self.form)
            prediction = self.predict(noisy)
            wanted = noise if self.target == 'noise' else images
            loss = (prediction - wanted).square().mean()
            with torch.no_grad():
                # ``start``: the noisy images on the clean ones' scale, not denoised
                start, denoised = self.restore(noisy, prediction.detach(), draws.sigma)
                scores = dict(psnr=psnr(denoised, images), input_psnr=psnr(start, images))
            if self.recorder.wanted:  # only a record needs the images after the pass
                state.noisy_image, state.denoised_image = start, denoised
            result = PassResult({f'loss_{self.target}': loss},
                                {k: v.mean()
                                 for k, v in scores.items()})
            return result.prefixed(self.streams[0])

        return [Pass('denoising', denoising)]

    # ------------------------------------------------------------------ the network
    def predict(self, noisy: Tensor) -> Tensor:
        """What the network predicts (noise or image) for noisy images (B, 3, H, W), float32 of the
        same size.
        """
        # from [-1, 1] back to 0..255, then as the encoder was trained
        inputs = ((noisy + 1) * UNIT - self.encoder_mean) / self.encoder_std
        with torch.set_grad_enabled(self.train_encoder and torch.is_grad_enabled()):
            features = self.student.backbone(inputs)
        if self.student.with_neck:
            features = self.student.neck(features)
        return self.noise_head(decoder_features(self.student.decode_head, features),
                               noisy.shape[-2:]).float()

    def restore(self, noisy: Tensor, prediction: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The noisy image on the clean image's scale, and the denoised image; both (B, 3, H, W), as
        ``noisy`` and ``prediction`` are, with ``sigma`` (B,).
        """
        # an estimate by noise of zero changes the scale only
        start = clean_estimate(noisy, torch.zeros_like(noisy), sigma, self.form)
        if self.target == 'image':
            return start, prediction
        return start, clean_estimate(noisy, prediction, sigma, self.form)

    # ------------------------------------------------------------------ evaluation
    @property
    def evaluated_network(self) -> nn.Module:
        """The method itself: its network has no classifier."""
        return self

    @property
    def out_channels(self) -> int:
        """3: noise or colors instead of classes."""
        return 3

    def forward(self, inputs: Tensor, data_samples: Optional[list] = None,
                mode: str = 'tensor') -> Union[Tensor, list]:
        """``tensor``: prediction for noisy images. ``predict``: add noise to clean ones and denoise
        them.

        Returns:
            (B, 3, H, W), or for ``predict`` data samples with ``noisy_image`` and
            ``denoised_image`` (PixelData) and ``denoising``, a dict of the scores ``PSNR``,
            ``input_PSNR`` (dB) and ``noise_loss``.
        """
        if mode == 'tensor':
            return self.predict(inputs)
        if mode != 'predict':
            return super().forward(inputs, data_samples, mode)
        data_samples = data_samples or [SegDataSample() for _ in inputs]
        check_range(inputs)
        for index, (image, sample) in enumerate(zip(inputs.split(1), data_samples)):
            self._denoise(image, sample, index)
        return data_samples

    def _denoise(self, image: Tensor, sample: SegDataSample, index: int) -> None:
        """Attach noisy and denoised image and the scores to the sample of one clean image (1, 3, H,
        W); the noise follows from the file's name (or ``index``), the same in every validation.
        """
        name = osp.basename(str(sample.metainfo.get('img_path', index)))
        draws = self.draw_step({self.streams[0]: dict(inputs=image)},
                               derive_seed('denoising validation', name))
        noise = seeded_noise(image, draws.noise_seed)
        noisy = add_noise(image, noise, draws.sigma, self.form)
        prediction = self.predict(noisy)
        start, denoised = self.restore(noisy, prediction, draws.sigma)
        wanted = noise if self.target == 'noise' else image
        scores = dict(PSNR=psnr(denoised, image), input_PSNR=psnr(start, image),
                      noise_loss=(prediction - wanted).square().mean())
        sample.set_data(
            dict(noisy_image=PixelData(data=start[0]), denoised_image=PixelData(data=denoised[0])))
        sample.set_field({k: float(v.detach()) for k, v in scores.items()}, 'denoising')

    def before_training(self) -> None:
        """Besides the base's last checks, refuse images on another scale than the noise's, and log
        the task.
        """
        super().before_training()
        check_scale(self.data_preprocessor, self.streams[0])
        low, high = self.sigma
        level = f'{low:g}' if low == high else f'uniform in [{low:g}, {high:g}]'
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        print_log(
            f'DDeP: {self.form} noise, sigma {level}, predicts the {self.target}; encoder '
            f'{"trained (DeP)" if self.train_encoder else "frozen"}, {trained / 1e6:.2f} M '
            'parameters trained', logger='current')


def _encoder_scale(encoder_norm: Optional[dict]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (three numbers each) with which the encoder was trained, on the
    scale 0..255.

    Args:
        encoder_norm: ``dict(mean=..., std=...)``; None: the encoder takes images on [-1, 1].

    Raises:
        ValueError: Other keys, not three values, or a std as of images on [0, 1].
    """
    if encoder_norm is None:
        return [UNIT] * 3, [UNIT] * 3
    advice = ('give three values each of mean and std, RGB on the scale 0..255 (ImageNet: '
              'mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]), or None for an '
              'encoder that takes [-1, 1]')
    if set(encoder_norm) != {'mean', 'std'} or any(
            len(values) != 3 for values in encoder_norm.values()):
        raise ValueError(f'encoder_norm={dict(encoder_norm)}: {advice}')
    mean, std = ([float(v) for v in encoder_norm[key]] for key in ('mean', 'std'))
    if min(std) <= 0 or max(std) <= 1:  # 1: those of images on [0, 1], a common slip
        raise ValueError(f'encoder_norm.std={std}: {advice}')
    return mean, std


def _noise_settings(noise: Optional[dict]) -> tuple[str, tuple[float, float]]:
    """``(form, (lowest, highest sigma))`` of the ``noise`` argument; ValueError for other keys."""
    # by default the paper's best magnitude, and the better of its two forms
    settings = dict(dict(form='scaled', sigma=0.22), **(noise or {}))
    unknown = sorted(set(settings) - {'form', 'sigma'})
    if unknown:
        raise ValueError(f'noise has no option {", ".join(unknown)}; it takes form and sigma')
    return settings['form'], check_noise(settings['form'], settings['sigma'])


def _take_off_classifier(network: nn.Module) -> int:
    """Remove the classifier, which denoising does not train, and tell how many channels it read.

    Raises:
        ValueError: The network is no plain encoder-decoder.
    """
    parts = dict(network.named_children())
    head = parts.get('decode_head')
    classifier = None if head is None else dict(head.named_children()).get('conv_seg')
    if head is None or 'backbone' not in parts or not isinstance(classifier, nn.Conv2d):
        raise ValueError('DDeP pretrains an encoder-decoder whose decode_head ends in a '
                         f'classifier conv_seg; {type(network).__name__} with '
                         f'{type(head).__name__} has none')
    if parts.get('auxiliary_head') is not None:
        raise ValueError('DDeP trains no auxiliary head: set network.auxiliary_head=None')
    channels = classifier.in_channels
    head.conv_seg = nn.Identity()
    return channels


def decoder_features(head: nn.Module, features: Sequence[Tensor]) -> Tensor:
    """Features of a head before its dropout and classifier, (B, C, h, w).

    Raises:
        ValueError: The head does not give them.
    """
    if isinstance(head, ShowsFeatures):
        return head.fused_features(features)
    # mmseg's own heads: what they hand to dropout and classifier
    calls = decode(head, features).calls
    if len(calls) != 1:
        raise ValueError(f'{type(head).__name__} does not give the features before its classifier: '
                         'give it a method fused_features(levels), as the heads of mmseg_dg have')
    return calls[0].features


def check_scale(preprocessor: nn.Module, stream: str) -> None:
    """Refuse a preprocessor that does not bring 0..255 to [-1, 1], in training (``stream``) and
    validation.

    Values within the range would not tell: images on [0, 1] are in it, with the noise twice too
    strong.

    Raises:
        ValueError: Another mean or std, or none.
    """
    # a set: the stream's may be the same object
    for part in {preprocessor, stream_preprocessor(preprocessor, stream)}:
        known = normalization_of(part)  # (mean, std), or None
        if known is None or not all(bool((value == UNIT).all()) for value in known):
            # each (3, 1, 1), shown as three numbers
            values = 'mean=None, std=None' if known is None else ', '.join(
                f'{key}={value.flatten().tolist()}' for key, value in known._asdict().items())
            raise ValueError('DDeP adds noise to images on the scale [-1, 1], but '
                             f'data_preprocessor has {values}: {SCALE_ADVICE}')


def check_range(images: Tensor) -> None:
    """Refuse images (B, 3, H, W) that are not on the scale [-1, 1] on which the noise is defined.

    Raises:
        ValueError: Values outside, with the range that was found.
    """
    low, high = (float(v) for v in torch.aminmax(images.detach()))
    # NaN passes this check, being no matter of scale; the step says which image has it
    if low < -1 - TOLERANCE or high > 1 + TOLERANCE:
        raise ValueError('DDeP adds noise to images on the scale [-1, 1], but these reach from '
                         f'{low:.3g} to {high:.3g}: {SCALE_ADVICE}')
