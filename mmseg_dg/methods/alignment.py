"""How a training method takes an alignment term (PiXL, CLUDA) into its passes.

Shapes: B images, C classes, D channels of a feature, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple, Optional

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from mmseg_dg.models.decode_heads.classifier import ShowsFeatures
from mmseg_dg.models.losses.alignment import AlignmentImages, DecoderFacts
from mmseg_dg.models.segmentors.hrda import HRDAEncoderDecoder
from mmseg_dg.models.segmentors.network import NetworkLosses, main_head
from mmseg_dg.ops import CropBox, entropy_guided_boxes
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator, kept_random_state

from .step import PassResult, StepState

#: Why a method has no ``alignment``, for
#: :func:`mmseg_dg.utils.arguments.unsupported_arguments`; which methods do: docs/pixl.md.
NO_ALIGNMENT = ('a term between pixels (PiXL, CLUDA) is taken by DACS, Supervised, FixMatch, '
                'UniMatch and UniMatchV2. ')
#: Terms are built by name or by the config of any registered module with this interface.
DEFAULT = 'PixelAlignment'


class AlignmentMixin:
    """For methods with a ``student``: one more loss between the pixels of one pass, or of two.

    In ``__init__``, after the base class's: ``self.build_alignment(alignment)``. In ``draw_step``,
    last: ``self.draw_alignment(rng)``. In the passes: ``self.align(...)`` after the forward pass;
    the first of two passes returns ``self.hold_losses(state, values)`` and the second adds
    ``self.held_losses(state)``.

    With ``pair='joint'`` the first pass's graph must wait for the second, so its losses wait too:
    one backward goes through both graphs, where a backward of its own and a retained graph would go
    through the first one twice. With ``pair='recompute'`` nothing waits: the first pass is told by
    ``ahead`` how to see the second one's images.
    """

    # the method's, into which this is mixed
    student: BaseSegmentor
    #: A term of :mod:`mmseg_dg.models.losses`, or any module with its interface; None: no term. It
    #: says from which iteration it counts (``start``), whether it wants a seed (``needs_seed``),
    #: how two passes are paired (``pair``, see above) and its log name (``loss_name``).
    alignment: Any

    def build_alignment(self, config: Optional[dict]) -> None:
        """Build the term and keep it as ``self.alignment`` (None for none); what it trains lies in
        the method, so that an exported network does not contain it.

        Args:
            config: ``dict(type='PixelAlignment' | 'PixelContrast', ...)``, or None for none.

        Raises:
            ValueError: The network's head does not show the features of its pixels.
        """
        self.alignment = None
        if config is None:
            return
        # widths and positions of the features, which the term's own layers must fit
        decoder = decoder_facts(self.student)
        self.alignment = MODELS.build(dict(dict(type=DEFAULT), **config),
                                      default_args=dict(decoder=decoder))

    def init_weights(self) -> None:
        """Initialize the method, and the term's own head where it has one."""
        super().init_weights()  # type: ignore[misc]  # of the method
        for part in self.alignment.children() if self.alignment is not None else ():
            if isinstance(part, BaseModule):
                part.init_weights()

    def draw_alignment(self, rng: StepGenerator) -> Optional[int]:
        """The seed of this step for a term with random decisions; None, and nothing is drawn, for
        any other.
        """
        if self.alignment is None or not self.alignment.needs_seed:
            return None
        return int(rng.numpy.randint(0, 2**31 - 1))

    def alignment_starts(self, state: StepState) -> bool:
        """Whether there is a term, and the run has reached the iteration from which it counts."""
        return self.alignment is not None and state.iteration >= self.alignment.start

    def alignment_holds_graph(self, state: StepState) -> bool:
        """Whether the second pass back-propagates through the first one's graph, too
        (``pair='joint'``).
        """
        return self.alignment_starts(state) and self.alignment.pair == 'joint'

    def alignment_looks_ahead(self, state: StepState) -> bool:
        """Whether the first pass needs to see the images of the second one ahead of it
        (``pair='recompute'``).
        """
        return self.alignment_starts(state) and self.alignment.pair == 'recompute'

    def hold_losses(self, state: StepState, result: PassResult) -> PassResult:
        """The first pass's result, without its losses if these wait for the second pass.

        Call it after :meth:`align`; :meth:`held_losses` gives the losses back.
        """
        # ``align`` has left images there only if the term waits for those of the second pass
        if state.alignment_images is None:
            return result
        state.alignment_losses = result.losses
        return PassResult(logs=result.logs)

    def held_losses(self, state: StepState) -> PassResult:
        """The losses that :meth:`hold_losses` took out of the first pass, under their names there,
        for the second pass to return; an empty result if none wait.
        """
        losses, state.alignment_losses = state.alignment_losses, None
        return PassResult(losses or {})

    def align(self, state: StepState, result: NetworkLosses, labels: Tensor,
              weight: Optional[Tensor] = None, pass_follows: bool = False,
              seed: Optional[int] = None,
              ahead: Optional[Callable[[], Sequence[AlignmentImages]]] = None) -> PassResult:
        """The term's loss and logs for one pass, under names without the pass's prefix; an empty
        result where the term waits for the next pass or has not begun.

        Methods whose passes hold several sets of images call :meth:`align_images`.

        Args:
            state: Of the step; holds what the next pass needs.
            result: Of :func:`mmseg_dg.models.segmentors.network.segmentation_losses` on the pass's
                images.
            labels: (B, H, W) int64, 255 ignored.
            weight: (B, H, W) factor per pixel, or None.
            pass_follows: A second pass follows whose image i is the partner of image i here.
            seed: Of :meth:`draw_alignment`.
            ahead: With ``pass_follows``: passes the images of the second pass through the student
                as that pass will, and gives what the term sees of them. Called without gradients;
                BatchNorm and random state are put back.

        Raises:
            ValueError: The network gave no features.
        """
        if not self.alignment_starts(state):
            return PassResult()
        images = AlignmentImages(result.views, labels, weight, result.features[0])
        return self.align_images(state, [images], pass_follows, seed, ahead)

    def align_images(self, state: StepState, images: Sequence[AlignmentImages],
                     pass_follows: bool = False, seed: Optional[int] = None,
                     ahead: Optional[Callable[[], Sequence[AlignmentImages]]] = None) -> PassResult:
        """The term's values for a pass with several sets of images (the strong views): image i of
        every set is a view of one and the same image. Arguments as of :meth:`align`.

        Returns:
            The term's loss and logs; empty where it has not begun, or where it waits for the
            images of the pass that follows.

        Raises:
            ValueError: The network gave no features.
        """
        if not self.alignment_starts(state):
            return PassResult()
        images = [*(state.alignment_images or ()), *self._with_views(images)]
        state.alignment_images = None
        if pass_follows and self.alignment.pair == 'joint':
            # one term over the images of both passes: those of the first wait for the second
            state.alignment_images = images
            return PassResult()
        iteration, total = state.iteration, state.total
        # ``alignment_memory``: what the term gave the step's earlier pass to hand on
        options = dict(memory=state.alignment_memory, pass_follows=pass_follows, seed=seed,
                       reduce_count=self.mean_over_processes())
        state.alignment_memory = None
        if pass_follows and self.alignment.pair == 'recompute':
            # the second pass's images are passed once more now, as constants of this pass's term
            assert ahead is not None  # the methods of two passes give it
            with without_traces(self.student, self.alignment):
                # the last argument: how many sets of images come before those of the second pass
                options['ahead'] = self.alignment.look_ahead(self._with_views(ahead()), iteration,
                                                             total, seed, len(images))
        answer = self.alignment(images, iteration, total, **options)
        if pass_follows:
            state.alignment_memory = answer.memory
        # the log of the last pass is that of the step
        logs = {} if pass_follows else {f'alignment_{k}': v for k, v in (answer.log or {}).items()}
        return PassResult({self.alignment.loss_name: answer.loss}, logs)

    def _with_views(self, images: Sequence[AlignmentImages]) -> Sequence[AlignmentImages]:
        """The images themselves, or ValueError if the network gives no features to align."""
        if not all(pass_images.views for pass_images in images):
            raise ValueError(no_features(self.student))
        return images

    def mean_over_processes(self) -> Optional[Callable[[Tensor], Tensor]]:
        """A function from this process's count (0-d) to the mean count of all processes, for
        methods that share statistics; None, as here: every process divides by its own count.
        """
        return None

    def log_alignment(self) -> None:
        """One line for the log before training."""
        if self.alignment is not None:
            term = self.alignment
            print_log(
                f'alignment: {type(term).__name__}, weight {term.weight}, pair '
                f'{term.pair!r}, from iteration {term.start}, '
                f'{sum(p.numel() for p in term.parameters())} parameters of its own',
                logger='current')


@contextmanager
def without_traces(*modules: nn.Module) -> Iterator[None]:
    """Inside, forward passes leave nothing behind: they make no graph, and buffers and random state
    are put back at the end.

    Args:
        modules: Whose buffers (BatchNorm's running statistics) are put back.
    """
    buffers = [b for module in modules for b in module.buffers()]
    before = [b.clone() for b in buffers]
    device = next((p.device for module in modules for p in module.parameters()),
                  torch.device('cpu'))
    with torch.no_grad(), kept_random_state(device):
        try:
            yield
        finally:
            for buffer, old in zip(buffers, before):
                # a live graph may have kept the buffer, whose values it finds unchanged; a write
                # that autograd counts would nevertheless be an error in its backward pass: .data
                buffer.data.copy_(old)


class EntropyCrop(NamedTuple):
    """Detail crops of mixed images where the context prediction is most uncertain
    (docs/behavior/pixl.md#cludas-contrastive-term, item 8).

    Attributes:
        size: (height, width) of the crop in pixels.
        start: First iteration that uses it.
        stride: Distance of neighboring windows in pixels.
    """
    size: tuple[int, int]
    start: int = 12001
    stride: int = 256

    @classmethod
    def from_config(cls, network: nn.Module, config: dict) -> 'EntropyCrop':
        """The settings of a config, ``dict(type='entropy', start=..., stride=...)``, for a network.

        Raises:
            ValueError: An unknown type or argument, a network without a detail crop, or a stride it
                cannot take.
        """
        config = dict(config)
        kind = config.pop('type', None)
        unknown = sorted(set(config) - {'start', 'stride'})
        if kind != 'entropy' or unknown:
            raise ValueError("detail_crop is dict(type='entropy', start=12001, stride=256) or "
                             f"None, got type={kind!r}" + (f' and {unknown}' if unknown else ''))
        if not isinstance(network, HRDAEncoderDecoder):
            raise ValueError('detail_crop is for networks with a detail crop '
                             f'(HRDAEncoderDecoder), not {type(network).__name__}')
        size = network.hr_crop_size
        crop = cls(size, **config)
        divisor = network.crop_coord_divisible
        if crop.start < 0 or crop.stride < 1 or crop.stride % divisor or crop.stride > min(size):
            raise ValueError(f'detail_crop: start={crop.start} is an iteration, and '
                             f'stride={crop.stride} a multiple of crop_coord_divisible={divisor} '
                             f'up to the crop {size}')
        return crop

    def starts(self, state: StepState) -> bool:
        """Whether this step's iteration is one from ``start`` on, which uses these crops."""
        return state.iteration >= self.start

    def boxes(self, image_size: tuple[int, int], logits: Tensor) -> list[CropBox]:
        """One detail crop (y1, y2, x1, x2) in pixels for each of B images.

        Args:
            image_size: (H, W) of the images.
            logits: (B, C, h, w) of the whole images (the context scale).
        """
        return entropy_guided_boxes(logits, image_size, self.size, self.stride)


def decoder_facts(network: BaseSegmentor) -> DecoderFacts:
    """What a term needs to know of a network's decode head to build its own trained parts.

    Returns:
        The width D of the features (B, D, h, w) before the classifier, width and position of each
        encoder level the head takes, and how many views of each image a pass gives.

    Raises:
        ValueError: The head has neither the classifier ``conv_seg`` of mmseg's heads nor the
            methods of :class:`ShowsFeatures`: its features cannot be had.
    """
    head = main_head(network)
    classifier = dict(head.named_children()).get('conv_seg')
    if classifier is None and not isinstance(head, ShowsFeatures):
        raise ValueError(no_features(network))
    # a head without conv_seg, with fused_features() instead, states that width as ``channels``
    channels = head.channels if classifier is None else classifier.in_channels
    index = head.in_index if isinstance(head.in_index, (list, tuple)) else [head.in_index]
    widths = head.in_channels
    if not isinstance(widths, (list, tuple)):
        widths = [widths]
    # heads with input_transform='resize_concat' keep the sum of the widths only: levels unknown
    if len(widths) != len(index):
        widths, index = (), ()
    # main_head returns an inner head for HRDA only, whose passes give a context and a detail view
    resolutions = 1 if head is network.decode_head else 2
    return DecoderFacts(channels, tuple(widths), tuple(index), resolutions)


def no_features(network: nn.Module) -> str:
    """The error message about a network whose decode head shows no features to align."""
    head = main_head(network)
    return (f'{type(head).__name__} shows no feature per pixel: an alignment term needs a decode '
            'head that ends in cls_seg(features (B, D, h, w)), as DAFormerHead, '
            'DepthwiseSeparableASPPHead and most heads of MMSegmentation do. Use such a head, or '
            'alignment=None')
