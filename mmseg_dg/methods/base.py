"""What every training method shares: streams in, passes out, one network to judge.

Shapes: B images, C classes, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Any, Optional, Protocol, Union, runtime_checkable

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.models.backbones.style_hallucination import StyleHallucination
from mmseg_dg.models.segmentors.network import check_interface
from mmseg_dg.ops.precision import check_precision
from mmseg_dg.registry import MODELS, WEIGHT_INITIALIZERS
from mmseg_dg.utils.arguments import refuse_unknown
from mmseg_dg.utils.interfaces import refuse_near_misses
from mmseg_dg.weights.files import check_pretrained, encoder_start, passing_over_surplus

from .checkpoints import accept_checkpoint
from .loss_checks import check_losses, check_network_config
from .step import Pass, StepRecorder, StepState, run_step
from .teacher import EMATeacher


@runtime_checkable
class HandsOver(Protocol):
    """A method of two stages (DeFT), the first of which is a decoder warm-up; ``DecoderWarmupHook``
    ends it.

    Attributes:
        warmup_iters: Length of the first stage in iterations.
        warmup_logs: Beginnings of the log names that end with it.
        handed_over: Whether it is over.
    """
    warmup_iters: int
    warmup_logs: tuple[str, ...]
    handed_over: bool

    def begin_warmup(self, length: int, iteration: int) -> None:
        """Settle which stage the run begins in; called once before its first iteration.

        Args:
            length: Iterations of the first stage.
            iteration: The first iteration, 0-based; above 0 in a resumed run.
        """

    def hand_over(self) -> None:
        """End the first stage; called before the first iteration of the second."""


class BaseMethod(BaseModel):
    """A network (or several) and the passes of one training step.

    Subclasses define :meth:`passes`, and :meth:`draw_step` if a step takes random decisions.
    Nothing in them calls ``backward``: the stepper does, pass by pass. A misspelled override is an
    error when the class is defined.

    Args:
        network: Config of the segmentor that is trained (``EncoderDecoder``,
            ``HRDAEncoderDecoder``, ...).
        data_preprocessor: Config, usually of ``MultiStreamDataPreprocessor``.
        evaluate: Name of the network that validation, test and inference use.
        norm_eval: Keep every BatchNorm layer on its running statistics during training.
        teacher_precision: ``'bf16'`` or ``'fp16'`` autocasts the networks that learn nothing
            (teachers, frozen copies); their softmax, entropies, losses and distances stay in
            float32. None: the precision of the other passes.
        init_cfg: mmengine's, or ``dict(type='PretrainedDenoiser', ...)``; applied after the
            student's own.

    Raises:
        TypeError: An argument that the method does not take; the message names the closest one.
        ValueError: Heads that cannot be trained here (one output channel, one class), class weights
            of a wrong length, or a loss that does not heed the weight of pixels (see
            ``weighs_pixels``), or a network that defines answers nobody asks it for
            (:func:`mmseg_dg.models.segmentors.network.check_interface`).

    Attributes:
        student: The network that receives gradients.
        recorder: Keeps the record of a step for the hooks that ask for it.
        step_skipped: uint8 buffer, 1 if the last optimizer step was skipped: by a loss scaler, or
            because it was not finite (kept in checkpoints, because a teacher that updates before
            the step needs it after a resume).
    """

    #: Arguments of base classes that this class sets itself, so that a config cannot.
    fixed_arguments: tuple[str, ...] = ()
    #: Names of the streams a step reads; the first one defines the batch size of a run.
    streams: tuple[str, ...] = ()
    #: Streams among them whose samples must carry labels.
    labeled_streams: tuple[str, ...] = ()
    #: Whether every label is read before iteration 0 (few labels are read fast; a wrong one may
    #: turn up hours later).
    reads_all_labels: bool = False
    #: Names of hooks without which the method does not train as it should.
    required_hooks: tuple[str, ...] = ()
    #: Arguments of hooks as the paper has them, for the lines a config is advised to have.
    hook_settings: dict[str, dict] = {}
    #: Why the encoder must not start from random weights by oversight; empty where it may.
    needs_pretrained_encoder: str = ''
    #: Whether ``EMAUpdateHook`` moves the averages now (DeFT's wait while its decoder is warmed
    #: up).
    averages_follow: bool = True
    #: How often an image passes the network: 2 where a style augmentation doubles each batch.
    copies: int = 1
    #: Whether the method gives losses a weight per pixel; every loss is then probed with weights
    #: when it is built.
    weighs_pixels: bool = True
    #: What the passes of a step leave for one another; a subclass of it where a method needs fields
    #: of its own.
    state_type: type[StepState] = StepState
    #: The id of ignored pixels that the method itself has written down; None: it has none.
    fixed_ignore_index: Optional[int] = None
    #: Whether the losses of the network's heads are used at all.
    trains_heads: bool = True
    #: Whether the method knows what to do with an encoder that appends stylized copies of a batch.
    trains_styles: bool = False

    def __init__(self, network: dict, data_preprocessor: Optional[dict] = None,
                 evaluate: str = 'student', norm_eval: bool = False,
                 teacher_precision: Optional[str] = None, init_cfg: Optional[dict] = None,
                 **unknown: Any) -> None:
        refuse_unknown(type(self), unknown)
        super().__init__(
            data_preprocessor=data_preprocessor or dict(type='MultiStreamDataPreprocessor'),
            init_cfg=init_cfg)
        # 'given', 'none' or 'absent': what the config says about pretrained weights of the encoder;
        # the preflight reports 'absent'
        self.encoder_start = encoder_start(network)
        if self.trains_heads:
            check_network_config(network)
        self.student: BaseSegmentor = MODELS.build(network)
        check_interface(self.student)
        if self.trains_heads:
            check_losses(self.student, self.weighs_pixels, type(self).__name__)
        self.evaluate = evaluate
        self.teacher_precision = check_precision('teacher_precision', teacher_precision)
        self.norm_eval = norm_eval
        # set by the loop (train_cfg.new_classifier): ``accept_checkpoint`` leaves the classifier of
        # the next checkpoint out
        self.new_classifier = False
        self.recorder = StepRecorder()
        # 1 after a step that changed nothing; a buffer, so that a GPU need not be waited for
        self.register_buffer('step_skipped', torch.zeros((), dtype=torch.uint8))
        # also takes checkpoints of a plain segmentor, and refuses those of other networks
        self.register_load_state_dict_pre_hook(accept_checkpoint)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse (TypeError) a subclass with a public name that is nearly one of this class: a
        misspelled override would never be called.
        """
        super().__init_subclass__(**kwargs)
        refuse_near_misses(cls, BaseMethod)

    # ------------------------------------------------------------------ to be defined by subclasses
    @classmethod
    def network_config(cls, model: dict) -> dict:
        """Config of the network that a method's config builds; an exported segmentor is built from
        it.

        Args:
            model: The method's config (``model`` of a training config).

        Returns:
            Its ``network``. A subclass that hands other arguments down to the network adds them.
        """
        return model['network']

    def draw_step(self, batch: dict[str, dict], generator: Any) -> Any:
        """Every random decision of a step, as a frozen object; None for a method without any.

        Args:
            batch: Preprocessed streams.
            generator: :class:`mmseg_dg.utils.seeding.StepGenerator` (a ``torch.Generator`` or a
                seed will do).
        """
        return None

    def passes(self, batch: dict[str, dict], draws: Any,
               state: Optional[StepState] = None) -> list[Pass]:
        """The passes of one step, in order.

        Args:
            batch: ``{stream: {'inputs': (B, 3, H, W), 'data_samples': [...]}}``.
            draws: Result of :meth:`draw_step`.
            state: Where passes leave what later ones need; None makes a new one.
        """
        raise NotImplementedError(f'{type(self).__name__} must define passes()')

    def taken_draws(self, draws: Any, state: StepState) -> Any:
        """The draws with which a replay of this step does the same again.

        Passes never change ``draws``. What they choose by themselves (crops that follow a
        prediction) they leave in ``state``; a method whose passes choose overrides this and puts it
        into the draws.

        Args:
            draws: Result of :meth:`draw_step`, with which the step was taken.
            state: As the step's passes left it.
        """
        return draws

    def ema_pairs(self) -> dict[str, tuple[nn.Module, EMATeacher]]:
        """Name -> (source module, its average): what ``EMAUpdateHook`` updates. Empty without a
        teacher.
        """
        return {}

    def networks(self) -> dict[str, BaseSegmentor]:
        """Networks that may be evaluated, by name."""
        return {'student': self.student}

    def forward_sizes(self, batch_sizes: dict[str, int]) -> dict[str, tuple[str, int]]:
        """How many images pass the network together, for checks of BatchNorm.

        Args:
            batch_sizes: Images of each stream per step and process.

        Returns:
            One entry per joint forward pass: its name in a message, and as a pair one of its
            streams and the number of images. Here each stream passes alone; a style augmentation
            doubles the images.
        """
        return {
            f'stream "{name}" (batch_size={batch_sizes[name]})':
                (name, self.copies * batch_sizes[name])
            for name in self.streams
        }

    # ------------------------------------------------------------------ one step
    def train_step(self, data: Union[dict, Sequence[dict]], optim_wrapper: OptimWrapper,
                   draws: Any = None, **kwargs: Any) -> dict[str, Tensor]:
        """One optimizer step; see :func:`mmseg_dg.methods.step.run_step` for the arguments.

        Returns:
            Detached losses and logs by name, 0-d each.
        """
        return run_step(self, data, optim_wrapper, draws=draws, **kwargs)

    def note_step(self, skipped: Union[bool, Tensor]) -> None:
        """Keep in the buffer ``step_skipped`` whether the last optimizer step was skipped.

        Args:
            skipped: A bool, or a 0-d bool tensor, which is copied without waiting for its device.
        """
        if isinstance(skipped, Tensor):
            self.step_skipped.copy_(skipped)
        else:
            self.step_skipped.fill_(int(skipped))

    # ------------------------------------------------------------------ evaluation
    @property
    def evaluated_network(self) -> BaseSegmentor:
        """The network behind ``val_step``, ``test_step`` and inference."""
        networks = self.networks()
        if self.evaluate not in networks:
            raise ValueError(f'evaluate={self.evaluate!r} is not a network of '
                             f'{type(self).__name__}: use one of {sorted(networks)}')
        return networks[self.evaluate]

    @property
    def out_channels(self) -> int:
        """Channels of the evaluated network's logits (mmseg's test-time augmentation reads it)."""
        return self.evaluated_network.out_channels

    def forward(self, inputs: Tensor, data_samples: Optional[list] = None,
                mode: str = 'tensor') -> Union[Tensor, list]:
        """mmengine's interface for evaluation; to train, call :meth:`train_step`.

        Args:
            inputs: Normalized images, (B, 3, H, W).
            data_samples: Of these images; the predictions are added to them.
            mode: ``'predict'`` or ``'tensor'``.

        Returns:
            For ``'predict'`` the data samples, for ``'tensor'`` logits at the output stride of the
            network's head, (B, C, h, w).

        Raises:
            ValueError: ``mode='loss'``, which would be a step of a single pass.
        """
        if mode == 'loss':
            raise ValueError(
                f'{type(self).__name__} trains in passes: call train_step (under torch DDP use '
                "model_wrapper_cfg=dict(type='MethodDistributedWrapper'))")
        return self.evaluated_network(inputs, data_samples, mode=mode)

    # ------------------------------------------------------------------ modes and weights
    def train(self, mode: bool = True) -> 'BaseMethod':
        """Training mode; with ``norm_eval`` BatchNorm stays on its running statistics.

        Returns:
            The method itself, as ``nn.Module.train``.
        """
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
            # ``super().train`` has given teachers with the BatchNorm policy 'own' hooks that move
            # running statistics in every forward pass; with ``norm_eval`` these stay, too
            for _, average in self.ema_pairs().values():
                average.forget_statistics_hooks()
        return self

    def init_weights(self) -> None:
        """Initialize the student, report how much of its backbone was loaded, and copy its weights
        into teacher and frozen references.

        Raises:
            FileNotFoundError: A pretrained file named in the config is not there.
        """
        shares = check_pretrained(self.student)  # also logs the share of tensors each file fills
        with passing_over_surplus(self.student, shares):
            self.student.init_weights()
        # the method's own initializers (PretrainedDenoiser: one config, or a list) come after those
        # of the student's parts, whose values they replace
        configs = self.init_cfg or []
        for config in configs if isinstance(configs, (list, tuple)) else [configs]:
            WEIGHT_INITIALIZERS.build(config)(self)
        self.sync_copies()

    def sync_copies(self) -> None:
        """Make teachers and frozen copies equal to the freshly initialized student."""
        for source, average in self.ema_pairs().values():
            average.copy_from(source)

    def before_training(self) -> None:
        """Last checks, after weights are loaded and before iteration 0."""
        if not self.trains_styles and any(
                isinstance(m, StyleHallucination) for m in self.student.modules()):
            raise ValueError(f'{type(self).__name__} cannot train an encoder that hallucinates '
                             'styles: set model.type=DomainGeneralization, or '
                             'network.backbone.style_hallucination=None')
        # asked for here, so that a wrong name raises before hours of training
        self.evaluated_network  # noqa: B018
        print_log(f'{type(self).__name__}: streams {self.streams}, evaluates the {self.evaluate}',
                  logger='current')


def stack_labels(data_samples: Sequence, stream: str) -> Tensor:
    """Labels of a batch, (B, H, W) int64.

    Args:
        data_samples: Of B images; ``gt_sem_seg.data`` is (1, H, W), ids of classes and of ignored
            pixels.
        stream: Name of their stream, for the message.

    Raises:
        ValueError: A sample of this stream has no label.
    """
    labels = []
    for sample in data_samples:
        if 'gt_sem_seg' not in sample:
            raise ValueError(f'stream "{stream}" needs labels, but '
                             f'{sample.metainfo.get("img_path", "a sample")} has none: add '
                             'LoadAnnotations to its pipeline and check seg_map_path of its '
                             'data_prefix')
        labels.append(sample.gt_sem_seg.data)
    return torch.stack(labels).squeeze(1).long()  # (B, 1, H, W) -> (B, H, W)
