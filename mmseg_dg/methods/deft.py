"""DeFT: decoupled finetuning of encoder and decoder, each against a slowly moving partner."""
from collections.abc import Mapping
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any, Callable, Optional

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_dg.models.segmentors.network import draw_crop_box, segmentation_losses
from mmseg_dg.ops.lab_style import LABStyleDraws
from mmseg_dg.ops.precision import module_in_lower_precision
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.arguments import refuse_unknown, unsupported_arguments
from mmseg_dg.utils.seeding import StepGenerator

from .alignment import NO_ALIGNMENT
from .base import BaseMethod, stack_labels
from .lab_style import LABStyle
from .step import Pass, PassResult, StepState
from .supervised import Supervised, SupervisedDraws
from .teacher import EMATeacher

#: Name of a network that can be evaluated -> (whose encoder, whose decoder).
PAIRS = {
    'retentive': ('retentive', 'retentive'),
    'adaptive': ('adaptive', 'adaptive'),
    'encoder_adaptive': ('adaptive', 'retentive'),
    'decoder_adaptive': ('retentive', 'adaptive'),
}
_ENCODER = ('backbone', 'neck')  # names of the encoder's parts in a segmentor


@dataclass(frozen=True)
class StyledDraws(SupervisedDraws):
    """Random decisions of a step whose batch may be doubled by restyled copies.

    Attributes:
        style: Decisions of the style augmentation, None without one.
    """
    style: Optional[LABStyleDraws] = None


@MODELS.register_module()
@unsupported_arguments(alignment=NO_ALIGNMENT
                       + 'Encoder and decoder of DeFT learn against different partners: '
                       'the pixels of a pass have no feature that both learn from. '
                       'Leave it out, or align the joint baseline, model.type=Supervised')
class DeFT(BaseMethod):
    """Domain generalization by decoupled finetuning.

    Adaptive encoder E_a and decoder D_a (the ``student``) are trained; retentive ones, E_r
    (``encoder``) and D_r (``decoder``), are their exponential moving averages, kept near the
    initialization by a large beta.

    Stage 1, decoder warm-up: D_a learns on the features of E_r, which still is the pretrained
    encoder. Then :meth:`hand_over` copies D_a to D_r. Stage 2: E_a learns against D_r (the gradient
    flows through D_r, which is not trained), D_a learns on the features of E_r, and after every
    optimizer step the retentive components follow. The two losses reach disjoint parameters. Tested
    and exported is the pair (E_r, D_r): one ordinary network.
    Source: DeFT (Pahk et al., ICLR 2025); docs/behavior/deft.md#two-stages.

    Which stage it is lies in the buffer ``stage``; ``DecoderWarmupHook`` ends the first one,
    ``EMAUpdateHook`` (after the step, no ramp) moves the averages in the second. Its ``buffers``
    chooses what E_r and D_r do with BatchNorm: ``'batch'`` is the released code's (batch statistics
    while training, running statistics of each component's own batches; those of D_r then come from
    features of E_a). Retentive components run without dropout and drop path.

    Args:
        network: Config of a segmentor with ``backbone`` (and perhaps ``neck``) and ``decode_head``.
        stream: Name of the labeled stream.
        warmup_iters: Length of stage 1 (paper: 8000 on GTA, 2000 on Cityscapes); 0: none.
            ``DecoderWarmupHook`` may set another.
        style_augmentation: ``dict(type='LABStyle', ...)`` doubles every batch by restyled copies
            (the released scripts); None: not.
        distance: Distance regularization, ``dict(weight_encoder=1e-3, weight_decoder=1e-3,
            form='squared')``: in stage 2 the weight times the distance of E_a to the pretrained
            encoder, and of D_a to the warmed-up decoder. ``form``: see :func:`parameter_distance`;
            which one the paper has is not known. None: off.
        evaluate: ``'retentive'`` (E_r, D_r), ``'adaptive'`` (E_a, D_a), ``'encoder_adaptive'``
            (E_a, D_r) or ``'decoder_adaptive'`` (E_r, D_a). Before the hand-over, D_r has learned
            nothing: D_a stands in for it.
        base: Of :class:`BaseMethod`. ``teacher_precision`` is that of E_r where D_a learns on its
            features: no gradient flows there.

    Raises:
        ValueError: A network without encoder or decoder or with auxiliary heads, negative numbers,
            unknown options.
    """

    required_hooks = ('DecoderWarmupHook', )
    hook_settings = {'EMAUpdateHook': dict(beta=0.9999, when='after_step')}
    needs_pretrained_encoder = 'its pathways hold the network near the pretrained encoder'
    #: Log names that end with the decoder warm-up.
    warmup_logs = ('warmup.', )
    weighs_pixels = False

    def __init__(self, network: dict, stream: str = 'source', warmup_iters: int = 8000,
                 style_augmentation: Optional[dict] = None, distance: Optional[dict] = None,
                 evaluate: str = 'retentive', **base: Any) -> None:
        _check_network(network)
        super().__init__(network, evaluate=evaluate, **base)
        if 'decode_head' not in dict(self.student.named_children()):
            raise ValueError(f'{type(self.student).__name__} has no decode_head: DeFT trains '
                             'encoder and decoder apart')
        if warmup_iters < 0:
            raise ValueError(f'warmup_iters={warmup_iters} must not be negative (0: no decoder '
                             'warm-up)')
        self.source_stream = stream
        self.streams = self.labeled_streams = (stream, )
        self.warmup_iters = warmup_iters
        self.style: Optional[LABStyle] = MODELS.build(
            style_augmentation) if style_augmentation else None
        self.copies = 1 if self.style is None else 2  # images of a pass per image of the batch
        self.encoder = EMATeacher(self._adaptive_encoder(), beta=0.9999, ramp=False)
        self.decoder = EMATeacher(self._adaptive_decoder(), beta=0.9999, ramp=False)
        self.distance = _checked_distance(distance)
        self.encoder_init: Optional[nn.Module] = None
        self.decoder_init: Optional[nn.Module] = None
        if self.distance is not None:
            self.encoder_init = deepcopy(self.student.backbone).requires_grad_(False)
            self.decoder_init = deepcopy(self.student.decode_head).requires_grad_(False)
        self._stage_read: tuple = (None, 0)  # handed_over's: (place and version, value) of stage
        # 1 decoder warm-up, 2 finetuning of both; a buffer, so that checkpoints keep it
        self.register_buffer('stage', torch.tensor(2 if warmup_iters == 0 else 1))

    # ------------------------------------------------------------------ components
    def _adaptive_encoder(self) -> nn.ModuleDict:
        """E_a: the student's own encoder parts (not copies), in a container made anew."""
        parts = dict(self.student.named_children())
        return nn.ModuleDict({name: parts[name] for name in _ENCODER if name in parts})

    def _adaptive_decoder(self) -> nn.ModuleDict:
        """D_a: the student's own decode head, likewise."""
        return nn.ModuleDict(dict(decode_head=self.student.decode_head))

    def ema_pairs(self) -> dict[str, tuple[nn.Module, EMATeacher]]:
        """``encoder`` (E_a, E_r) and ``decoder`` (D_a, D_r)."""
        return dict(encoder=(self._adaptive_encoder(), self.encoder),
                    decoder=(self._adaptive_decoder(), self.decoder))

    def networks(self) -> dict[str, nn.Module]:
        """The four pairs as segmentors that share the weights of the method."""
        return {name: self.pair(*kinds) for name, kinds in PAIRS.items()}

    def pair(self, encoder: str, decoder: str) -> nn.Module:
        """A segmentor of two components, each ``'adaptive'`` or ``'retentive'``; before the
        hand-over the adaptive decoder stands in for the retentive one.
        """
        parts = dict(self.encoder.module.items()) if encoder == 'retentive' else {}
        if decoder == 'retentive' and self.handed_over:
            parts.update(self.decoder.module.items())
        return with_parts(self.student, parts)

    # ------------------------------------------------------------------ stages
    @property
    def handed_over(self) -> bool:
        """Whether the decoder warm-up is over."""
        # ``_version`` counts writes: a GPU is asked only after one (hand-over, a loaded checkpoint)
        written = self.stage.data_ptr(), self.stage._version
        if self._stage_read[0] != written:
            self._stage_read = written, int(self.stage)
        return self._stage_read[1] == 2

    @property
    def averages_follow(self) -> bool:  # type: ignore[override]  # it changes in the run
        """Whether ``EMAUpdateHook`` moves the retentive components now."""
        return self.handed_over

    def begin_warmup(self, length: int, iteration: int) -> None:
        """Settle the stage; ``DecoderWarmupHook`` calls it before the first iteration of a process.

        Args:
            length: Iterations of the warm-up.
            iteration: The first iteration of this process.

        Raises:
            ValueError: A new run with a warm-up starts from weights that are beyond it, or a
                resumed run is beyond the hand-over although the warm-up should still last.
        """
        self.warmup_iters = length
        if iteration:
            if iteration < length and self.handed_over:
                raise ValueError(f'the checkpoint of iteration {iteration} is beyond the '
                                 f'hand-over, but the decoder warm-up should last {length} '
                                 'iterations: resume with the length it was begun with')
            return
        # averages that have counted steps come from a run that is beyond its warm-up
        learned = int(self.encoder.steps) or int(self.decoder.steps)
        if not length:
            # weights of load_from: no hand-over will come that makes them the reference
            if self.decoder_init is not None and not learned:
                self.decoder_init.load_state_dict(self.student.decode_head.state_dict())
            return
        if learned:
            raise ValueError('load_from gives weights of a DeFT run that is beyond its decoder '
                             f'warm-up, but this run starts with one of {length} iterations: set '
                             'warmup_iters=0 to go on finetuning, or load the exported segmentor')
        self.stage.fill_(1)

    @torch.no_grad()
    def hand_over(self) -> None:
        """End the decoder warm-up: the adaptive decoder becomes the retentive one (BatchNorm
        buffers included) and the reference of the distance.
        """
        self.decoder.copy_from(self._adaptive_decoder())
        if self.decoder_init is not None:
            self.decoder_init.load_state_dict(self.student.decode_head.state_dict())
        for average in (self.encoder, self.decoder):
            average.steps.zero_()
        self.stage.fill_(2)

    # ------------------------------------------------------------------ passes
    def draw_step(self, batch: dict[str, dict], generator: Any) -> StyledDraws:
        """Draw the detail crop, then the styles."""
        return styled_draws(self, batch, generator)

    def passes(self, batch: dict[str, dict], draws: StyledDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        """One pass in the decoder warm-up, then two: one per adaptive component."""
        stream = styled(self, batch[self.source_stream], draws)
        images, labels = stream['inputs'], stack_labels(stream['data_samples'], self.source_stream)
        box = draws.crop_box_source

        def losses(prefix: str, network: nn.Module) -> PassResult:
            """A network's losses on the step's images, each name after ``prefix`` and a dot."""
            result = segmentation_losses(network, images, labels, crop_box=box)
            return result.terms.prefixed(prefix)

        into_encoder = self.pair('adaptive', 'retentive')  # (E_a, D_r): gradients reach E_a alone
        into_decoder = self.pair('retentive', 'adaptive')  # (E_r, D_a): gradients reach D_a alone
        if not self.handed_over:
            return [
                Pass('warmup', lambda: self._on_retentive(lambda: losses('warmup', into_decoder)))
            ]

        def encoder_path() -> PassResult:
            """E_a learns against D_r, and is held near its initial parameters if wanted."""
            distance = self._distance('encoder', self.student.backbone, self.encoder_init)
            return losses('encoder', into_encoder).joined(distance)

        def decoder_path() -> PassResult:
            """D_a learns on features of E_r, and is held near its warmed-up self if wanted."""
            distance = self._distance('decoder', self.student.decode_head, self.decoder_init)
            return self._on_retentive(lambda: losses('decoder', into_decoder)).joined(distance)

        return [Pass('encoder', encoder_path), Pass('decoder', decoder_path)]

    def _on_retentive(self, losses: Callable[[], PassResult]) -> PassResult:
        """Losses of a pass through E_r, whose encoder runs in ``teacher_precision``."""
        with module_in_lower_precision(self.encoder.module['backbone'], self.teacher_precision):
            return losses()

    def _distance(self, name: str, module: nn.Module, reference: Optional[nn.Module]) -> PassResult:
        """The weighted distance of a part to its initial parameters; empty where it is off."""
        weight = self.distance[name] if self.distance else 0.
        if not self.distance or not weight:
            return PassResult()
        assert reference is not None  # with a distance there is one
        distance = parameter_distance(module, reference, self.distance['form'])
        return PassResult({f'{name}.loss_distance': weight * distance})

    # ------------------------------------------------------------------ modes and weights
    def sync_copies(self) -> None:
        """Copy the student's weights into its averages and the references of the distance."""
        super().sync_copies()
        if self.distance is not None:
            assert self.encoder_init is not None and self.decoder_init is not None
            self.encoder_init.load_state_dict(self.student.backbone.state_dict())
            self.decoder_init.load_state_dict(self.student.decode_head.state_dict())

    def before_training(self) -> None:
        """Besides the base's last checks, check the styles, and log the settings."""
        super().before_training()
        if self.style is not None:
            self.style.check(self.data_preprocessor, self.source_stream)
        print_log(
            f'DeFT: style augmentation {"on" if self.style else "off"}, distance '
            f'regularization {self.distance or "off"}', logger='current')


@MODELS.register_module()
@unsupported_arguments(alignment=NO_ALIGNMENT
                       + 'Use model.type=Supervised, which is this method without the '
                       'style augmentation')
class JointFinetuning(Supervised):
    """The baseline of DeFT: encoder and decoder trained together, with the same style augmentation.

    Args:
        network: Config of the segmentor.
        style_augmentation: As of :class:`DeFT`.
        supervised: Of :class:`Supervised`, except ``fixed_arguments``.
    """

    fixed_arguments = ('feature_distance', 'shared_backward', 'sync_statistics',
                       'teacher_precision')

    def __init__(self, network: dict, style_augmentation: Optional[dict] = None,
                 **supervised: Any) -> None:
        refuse_unknown(type(self), set(supervised) & set(self.fixed_arguments))
        super().__init__(network, **supervised)
        self.style: Optional[LABStyle] = MODELS.build(
            style_augmentation) if style_augmentation else None
        self.copies = 1 if self.style is None else 2  # images of a pass per image of the batch

    def draw_step(self, batch: dict[str, dict], generator: Any) -> StyledDraws:
        """Draw the detail crop, then the styles."""
        return styled_draws(self, batch, generator)

    def passes(self, batch: dict[str, dict], draws: StyledDraws,
               state: Optional[StepState] = None) -> list[Pass]:
        """Those of :class:`Supervised`, on images that are doubled by restyled copies if wanted."""
        stream = styled(self, batch[self.source_stream], draws)
        return super().passes({**batch, self.source_stream: stream}, draws, state)

    def before_training(self) -> None:
        """Besides the base's last checks, check that images can be restyled."""
        super().before_training()
        if self.style is not None:
            self.style.check(self.data_preprocessor, self.source_stream)


def styled_draws(method: Any, batch: dict[str, dict], generator: Any) -> StyledDraws:
    """Draws of a step of DeFT or JointFinetuning (``source_stream``, ``student``, ``style``)."""
    rng = StepGenerator.wrap(generator)
    images = batch[method.source_stream]['inputs']
    box = draw_crop_box(method.student, images.shape[-2:], rng.numpy)
    style = method.style.draw(len(images), rng.torch) if method.style else None
    return StyledDraws(crop_box_source=box, style=style)


def styled(method: Any, batch: dict[str, Any], draws: StyledDraws) -> dict[str, Any]:
    """A stream's ``batch``, with restyled copies appended (labels repeated) if a style is on."""
    if method.style is None:
        return batch
    return method.style.double(batch, draws.style, method.data_preprocessor, method.source_stream)


def with_parts(network: nn.Module, parts: dict[str, nn.Module]) -> nn.Module:
    """A copy of ``network`` with some submodules exchanged; it shares all weights with both."""
    view = copy(network)
    view._modules = {**network._modules, **parts}  # nn.Module's table of submodules
    return view


#: Forms of the distance of two sets of parameters, from the differences of each.
_DISTANCES = {
    'squared': lambda terms: 0.5 * torch.stack([d.square().sum() for d in terms]).sum(),
    'l2': lambda terms: torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(d) for d in terms])),
    'l1': lambda terms: torch.stack([d.abs().sum() for d in terms]).sum(),
}


def parameter_distance(module: nn.Module, reference: nn.Module, form: str = 'squared') -> Tensor:
    """Distance of all trainable parameters to those of a module of the same structure.

    Args:
        module: Has the trainable parameters.
        reference: Has parameters of the same names and shapes.
        form: ``'squared'``, half the sum of squared differences (L2-SP); ``'l2'``, its unsquared
            form, the root of the sum of squares; ``'l1'``, the sum of absolute differences.

    Returns:
        0-d; 0 with a gradient of 0 where nothing differs.
    """
    theirs = dict(reference.named_parameters())
    return _DISTANCES[form](
        [p - theirs[name] for name, p in module.named_parameters() if p.requires_grad])


def _checked_distance(distance: Optional[Mapping]) -> Optional[dict[str, Any]]:
    """The ``distance`` setting as ``dict(encoder=weight, decoder=weight, form=...)``; None where
    no weight is above 0. ValueError for other keys or forms, or a negative weight.
    """
    if distance is None:
        return None
    unknown = sorted(set(distance) - {'weight_encoder', 'weight_decoder', 'form'})
    weights = {name: float(distance.get(f'weight_{name}', 0.)) for name in ('encoder', 'decoder')}
    if unknown or min(weights.values()) < 0:
        raise ValueError('distance takes weight_encoder and weight_decoder, neither negative, and '
                         f'form, got {dict(distance)}')
    form = distance.get('form', 'squared')
    if form not in _DISTANCES:
        raise ValueError(f'distance.form is one of {list(_DISTANCES)}, got {form!r}')
    return dict(weights, form=form) if any(weights.values()) else None


def _check_network(network: Mapping) -> None:
    """Refuse (ValueError) a network that does not divide into encoder and decoder."""
    kind = network.get('type')
    for part in ('backbone', 'decode_head'):
        if not network.get(part):
            raise ValueError(f'DeFT trains encoder and decoder apart, but network.type={kind!r} is '
                             f'configured without {part}: use a segmentor with backbone and '
                             'decode_head, e.g. EncoderDecoder')
    if network.get('auxiliary_head'):
        raise ValueError('DeFT has no auxiliary heads (they would tie the encoder to a third '
                         'decoder): set network.auxiliary_head=None')
