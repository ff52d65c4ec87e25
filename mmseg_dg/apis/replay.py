"""Replay a training step recorded from the official DAFormer/HRDA code and compare every number it
left.

A record holds the batch, every random draw, and what the step computed; the start weights lie
beside it. Replaying feeds the recorded draws to :meth:`DACS.train_step`, so that nothing is random.

Shapes: B images, C classes, D channels of a feature, H x W pixels, h x w places of a smaller map.
"""
import copy
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods.base import stack_labels
from mmseg_dg.methods.dacs import DACS, StepDraws
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.models.decode_heads.classifier import FusesScales
from mmseg_dg.ops import cut_boxes, downscale_labels
from mmseg_dg.registry import MODELS
from mmseg_dg.weights.official_names import from_official, official_gradients

from .replay_record import fit_to_record, official_log_name, to_batch, to_draws

#: Label of pixels that belong to no class.
IGNORED = 255


class ReplayedStep(NamedTuple):
    """What our step computed, under the official names.

    Attributes:
        log_vars: Logged values.
        grad_norms_after: Per backward pass, L2 norm of the accumulated gradient of each parameter.
        gradients_after: Per backward pass, the accumulated gradients themselves.
        state: Pseudo-labels, mixed images and so on (:class:`StepState`); beside them
            ``teacher_logits`` (of the teacher's head, before they are enlarged), ``source_feature``
            (last level of the source pass) and ``distance_labels`` (classes of the feature
            distance's cells).
        student: Parameters after the step.
        teacher: Teacher parameters used in the step.
        student_moved: Parameters after the step minus those at the start of the run.
        teacher_moved: Likewise of the teacher.
        student_buffers: BatchNorm buffers after the step.
        teacher_buffers: Likewise of the teacher.
        official_accuracies: Logged accuracies in percent of all pixels, as mmseg 0.x counts (1.x:
            of labeled ones).
        modes: Training modes of teacher and ImageNet encoder during the step, under the names of a
            record.
    """
    log_vars: dict[str, float]
    grad_norms_after: list[dict[str, float]]
    gradients_after: list[dict[str, Tensor]]
    state: dict[str, Any]
    student: dict[str, Tensor]
    teacher: dict[str, Tensor]
    student_moved: dict[str, Tensor]
    teacher_moved: dict[str, Tensor]
    student_buffers: dict[str, Tensor]
    teacher_buffers: dict[str, Tensor]
    official_accuracies: dict[str, float]
    modes: dict[str, Any]


class Replay:
    """Runs recorded steps, one after the other, on a method built from a config.

    Args:
        config: Config with the ``model`` (DACS with the recorded network, drop path and dropout 0)
            and ``optim_wrapper``.
        record: First element of :func:`load_record`.
        student_start: Second element.
        imnet_start: Third element.
        dtype: float32 as recorded, or float64 to see what rounding does.
        shared_backward: One backward for source loss and feature distance; None keeps the config's
            choice.
    """
    def __init__(self, config: Config, record: dict, student_start: dict, imnet_start: dict,
                 dtype: torch.dtype = torch.float32,
                 shared_backward: Optional[bool] = False) -> None:
        init_default_scope('mmseg_dg')
        model = copy.deepcopy(dict(config.model))
        if shared_backward is not None:  # None: as the config says
            model['shared_backward'] = shared_backward
        fit_to_record(model, record, student_start['state_dict'])
        self.method: DACS = MODELS.build(model)
        self.record, self.dtype = record, dtype
        self.method.student.load_state_dict(from_official(student_start['state_dict']), strict=True)
        self.method.teacher.copy_from(self.method.student)
        self._load_buffers(student_start.get('ema_buffers_before_iter0', {}))
        if self.method.imnet is not None:
            backbone = {
                k[len('backbone.'):]: v
                for k, v in from_official(imnet_start['state_dict']).items()
                if k.startswith('backbone.')
            }
            self.method.imnet.load_state_dict(backbone, strict=True)
        self.method.to(dtype)
        # parameters before the first step, under official names: movements are measured from here
        self._start = _official(self.method.student.named_parameters())
        self.optim_wrapper = self._optim_wrapper(config)

    def _load_buffers(self, buffers: dict[str, Tensor]) -> None:
        """Put the record's BatchNorm buffers (official name -> tensor) into the teacher; an empty
        dict, of a record without any, changes nothing.
        """
        if not buffers:
            return
        ours = dict(teacher_of(self.method).module.named_buffers())
        for name, value in from_official(buffers).items():
            ours[name].copy_(value)

    def _optim_wrapper(self, config: Config) -> OptimWrapper:
        """The optimizer wrapper of the config, for the parameters of the method.

        The config's ``constructor`` is not looked up: it is always :class:`MergedParamGroups`,
        which takes the rest of the config and ``paramwise_cfg`` as two arguments.
        """
        cfg = dict(config.optim_wrapper)
        cfg.pop('constructor', None)
        return MergedParamGroups(cfg, cfg.pop('paramwise_cfg', None))(self.method)

    # ------------------------------------------------------------------ one step
    def step(self, index: int) -> ReplayedStep:
        """Replay one step with the recorded images and draws.

        Args:
            index: Of the step in the record, 0-based. Steps must be replayed in order, as each
                changes the weights.

        Returns:
            All that can be compared.
        """
        recorded, method = self.record['steps'][index], self.method
        method.train()
        # the official code updates the teacher before the step; a run has a hook for it
        beta = self.record['cfg']['uda']['alpha']
        teacher_of(method).configure(beta, ramp=True, buffers='batch')
        teacher_of(method).update_parameters(method.student)
        # the step then leaves its pseudo-labels and mixed images in ``method.recorder.record``
        method.recorder.request('replay')
        norms: list[dict[str, float]] = []
        gradients: list[dict[str, Tensor]] = []

        def keep_gradients(name: str) -> None:
            """Called after each backward pass, with the pass's ``name``: keep the gradients
            accumulated so far, under the parameters' official names, and their norms.
            """
            grads = {
                n: p.grad.detach().clone()
                for n, p in method.student.named_parameters() if p.grad is not None
            }
            gradients.append(official_gradients(grads))
            norms.append({k: v.double().norm().item() for k, v in gradients[-1].items()})

        batch = to_batch(recorded['batch'], method, self.dtype)
        draws = to_draws(recorded, batch, method)
        with StepObserver(method) as seen:
            values = method.train_step(batch, self.optim_wrapper, draws=draws,
                                       on_backward=keep_gradients, preprocess=False)
        record = method.recorder.record
        assert record is not None  # it was requested
        # ``left()``: fields of the step's state that are not None, by name
        state = dict(record.state.left(), **seen.maps)
        method.recorder.release('replay')
        cells = distance_labels(method, batch, seen.maps.get('source_feature'))
        if cells is not None:
            state['distance_labels'] = cells
        # 'loss' is the total; a record has the terms alone
        log_vars = {official_log_name(k): float(v) for k, v in values.items() if k != 'loss'}
        student = _official(method.student.named_parameters())
        teacher = _official(teacher_of(method).module.named_parameters())
        return ReplayedStep(
            log_vars=log_vars, grad_norms_after=norms, gradients_after=gradients, state=state,
            student=student, teacher=teacher, student_moved=self._moved(student),
            teacher_moved=self._moved(teacher),
            student_buffers=_official(method.student.named_buffers()),
            teacher_buffers=_official(teacher_of(method).module.named_buffers()),
            official_accuracies=official_accuracies(log_vars, method, batch, draws,
                                                    state), modes=seen.modes)

    def _moved(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters (by official name) minus those of the student before the first step, which the
        teacher began with too.
        """
        return {k: v - self._start[k] for k, v in tensors.items()}


def teacher_of(method: DACS) -> EMATeacher:
    """The teacher of a method; ``teacher`` is optional by its type, but DACS always has one."""
    assert method.teacher is not None
    return method.teacher


class StepObserver:
    """Within its context, notes what passes through a method's networks without changing it.

    Args:
        method: The method whose step runs in the context.

    Attributes:
        maps: ``teacher_logits`` (B, C, h, w) and ``source_feature`` (B, D, h, w), as far as they
            were seen.
        modes: See :attr:`ReplayedStep.modes`.
    """
    def __init__(self, method: DACS) -> None:
        self.method = method
        self.maps: dict[str, Tensor] = {}
        self.modes: dict[str, Any] = {}

    def __enter__(self) -> 'StepObserver':
        """Begin to note maps (``maps``) and modes (``modes``), by forward hooks."""
        method, head = self.method, teacher_of(self.method).module.decode_head
        # of the hooks, which __exit__ removes
        self._handles = [
            method.student.backbone.register_forward_hook(self._note_source),
            teacher_of(method).module.backbone.register_forward_hook(self._note_modes)
        ]
        if method.imnet is not None:
            self._handles.append(method.imnet.register_forward_hook(self._note_reference))
        # a head of two resolutions predicts by ``fuse``, a method, which has no forward hooks
        if isinstance(head, FusesScales):
            fuse = head.fuse

            def noted(*args: Any, **kwargs: Any) -> Any:
                """Call the head's own ``fuse`` and note the fused logits (B, C, h, w)."""
                result = fuse(*args, **kwargs)
                self.maps['teacher_logits'] = result.fused.detach().clone()
                return result

            head.__dict__['fuse'] = noted  # hides the method of the class, for this instance only
        else:
            self._handles.append(head.register_forward_hook(self._note_logits))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the forward hooks and uncover the head's own ``fuse``."""
        for handle in self._handles:
            handle.remove()
        teacher_of(self.method).module.decode_head.__dict__.pop('fuse', None)

    def _note_source(self, module: nn.Module, inputs: tuple, outputs: Sequence[Tensor]) -> None:
        """Forward hook of the student's backbone: keep the last level of its first pass in the
        step, which is that of the source images (of HRDA their context).
        """
        if 'source_feature' not in self.maps:
            self.maps['source_feature'] = outputs[-1].detach().clone()

    def _note_logits(self, module: nn.Module, inputs: tuple, outputs: Tensor) -> None:
        """Forward hook of the teacher's decode head: keep its logits (B, C, h, w)."""
        self.maps['teacher_logits'] = outputs.detach().clone()

    def _note_modes(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        """Forward hook of the teacher's backbone: in which modes the teacher is when it is used."""
        teacher = teacher_of(self.method).module
        norms = [m.training for m in teacher.modules() if isinstance(m, _BatchNorm)]
        drops = [m for m in teacher.modules() if 'Drop' in type(m).__name__ and m.training]
        self.modes.update({
            'teacher.bn_training': all(norms), 'teacher.n_bn': len(norms),
            'teacher.any_dropout_training': bool(drops),
            'teacher.requires_grad': any(p.requires_grad for p in teacher.parameters())
        })

    def _note_reference(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        """Forward hook of the frozen ImageNet encoder (``imnet``): whether it was in training mode.
        """
        self.modes['imnet.training'] = module.training


def distance_labels(method: DACS, batch: dict[str, dict],
                    feature: Optional[Tensor]) -> Optional[Tensor]:
    """The source labels shrunk to the cells of the feature distance.

    Args:
        method: Its ``feature_distance`` says which share of a cell a class must have, and for which
            classes (``classes``; None: the distance is taken over all pixels, without cells).
        batch: Of the step, by stream.
        feature: Last level of the source pass, (B, D, h, w), one place per cell; None: not seen.

    Returns:
        (B, h, w) class ids, ``ignore_index`` where no class dominates a cell; None for a method
        without the distance, or one without cells.
    """
    distance = method.feature_distance
    if distance is None or feature is None or distance.classes is None:
        return None
    labels = stack_labels(batch[method.source_stream]['data_samples'], method.source_stream)
    return downscale_labels(labels, labels.shape[-1] // feature.shape[-1], distance.min_ratio,
                            distance.num_classes, distance.ignore_index)


def official_accuracies(log_vars: dict[str, float], method: DACS, batch: dict[str, dict],
                        draws: StepDraws, state: dict[str, Any]) -> dict[str, float]:
    """Accuracies of a step by log name, in percent of all pixels as the official code logs them;
    mmseg 1.x logs percents of the pixels that are not ignored.

    Args:
        log_vars: Values of the step under official log names; only ``*acc_seg`` are used.
        method: Names the source stream.
        batch: Of the step, by stream; has the source labels.
        draws: Of the step; HRDA's detail accuracies (``.hr.`` in the name) are of these crops.
        state: Of the step; has ``mixed_label``.
    """
    # prefix of the log name -> labels (B, H, W) that the accuracy is taken on
    labels = {
        '': stack_labels(batch[method.source_stream]['data_samples'], method.source_stream),
        'mix.': state['mixed_label']
    }
    boxes = {'': draws.crop_box_source, 'mix.': draws.crop_box_mix}
    result = {}
    for name, value in log_vars.items():
        if name.endswith('acc_seg'):
            stream = 'mix.' if name.startswith('mix.') else ''
            judged = cut_boxes(labels[stream], boxes[stream]) if '.hr.' in name else labels[stream]
            labeled_share = (judged != IGNORED).double().mean().item()
            result[name] = value * labeled_share
    return result


def _official(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Copies of parameters or buffers, which later steps do not change, under official names."""
    return official_gradients({k: v.detach().clone() for k, v in named})
